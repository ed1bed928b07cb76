//! The bridge that Pods are ports of: which of them, and what is reached through it.

use std::collections::{BTreeMap, BTreeSet};

use plan::{BridgePort, PodBridge};
use types::{LinkName, NetworkMode, POD_BRIDGE, Prefix, pod_bridge_mac};

use crate::NodeContext;

/// A node that was told to route again keeps its bridge for as long as there are Pods on it.
pub(super) fn compile(context: &NodeContext, pod_cidrs: &[Prefix]) -> Option<PodBridge> {
    let bridged = context.attachments.values().filter(|attachment| attachment.is_bridged());
    let ports: BTreeMap<LinkName, BridgePort> = bridged
        .map(|attachment| {
            let addresses = attachment.addresses.iter().copied().collect();
            (attachment.host_link.clone(), BridgePort { mac: attachment.pod_mac, addresses })
        })
        .collect();
    let ranges: &[Prefix] = match context.pod_links {
        NetworkMode::Bridge => pod_cidrs,
        NetworkMode::Routed => &[],
    };
    if ranges.is_empty() && ports.is_empty() {
        return None;
    }
    // Pods outlive the range that their addresses are from.
    let held = ports.values().flat_map(|port| port.addresses.iter().copied());
    let strays = held.filter(|address| !ranges.iter().any(|range| range.contains(*address)));
    let routes: BTreeSet<Prefix> = ranges.iter().copied().chain(strays.map(Prefix::host)).collect();
    Some(PodBridge { link: LinkName::from(POD_BRIDGE), mac: pod_bridge_mac(), routes, ports })
}
