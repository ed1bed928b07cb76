//! The network between the lab's nodes: one bridge, one link and one namespace for each node.

use std::net::IpAddr;
use std::sync::Arc;

use apply_netlink::Netlink;
use apply_netlink::underlay::Port;
use netns::{Netns, run_in};
use types::{LinkName, Prefix};

use crate::address::{FamilyAddresses, LabFamilies, LabNode};
use crate::state::StateDir;

/// The bridge, in the lab's own namespace.
const BRIDGE: &str = "sealane-lab";
/// A node's link to the other nodes, as agents are told.
pub(crate) const NODE_LINK: &str = "eth0";

/// Makes the network and the nodes' namespaces.
pub(crate) fn make(
    state: &StateDir,
    nodes: Vec<LabNode>,
    families: LabFamilies,
) -> anyhow::Result<Vec<(LabNode, Arc<Netns>)>> {
    let mut netlink = Netlink::open()?;
    let bridge = LinkName::from(BRIDGE);
    let first = families.primary();
    netlink.make_underlay(&bridge, first.outside, first.underlay_prefix_len)?;
    for at in families.addresses().skip(1) {
        netlink.add_underlay_address(&bridge, at.outside, at.underlay_prefix_len)?;
    }
    let mut made = Vec::new();
    for node in nodes {
        let netns = Netns::create(&state.netns(node.name.as_str()))?;
        let port = Port {
            bridge: bridge.clone(),
            host_link: LinkName(format!("sl-{}", node.name)),
            link: LinkName::from(NODE_LINK),
            address: node.address(),
            prefix_len: first.underlay_prefix_len,
            gateway: Some(first.outside),
        };
        netlink.join_underlay(&netns, &port)?;
        for (at, address) in families.addresses().zip(&node.addresses).skip(1) {
            run_in(&netns, || add_family(at, *address))??;
        }
        // As the router that nodes have in a network of their own knows the Pod ranges: Pods can be reached from
        // outside, which is how one looks at a single one.
        for (range, address) in node.pod_cidrs.iter().zip(&node.addresses) {
            netlink.route_through(*range, *address)?;
        }
        made.push((node, Arc::new(netns)));
    }
    Ok(made)
}

/// Gives a node, from inside, its address of one more family and the way out.
fn add_family(at: FamilyAddresses, address: IpAddr) -> anyhow::Result<()> {
    let mut netlink = Netlink::open()?;
    netlink.add_underlay_address(&LinkName::from(NODE_LINK), address, at.underlay_prefix_len)?;
    Ok(netlink
        .route_through(Prefix::new(at.outside, 0).expect("0 is a length in both families"), at.outside)?)
}
