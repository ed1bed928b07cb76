//! The Pod network of one node: links, tunnel, addresses the node holds, masquerading; and Pod ranges.

mod peers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::Snapshot;
use plan::{LbPlan, LocalAddress, Masquerade, PodNetwork, Via, Vxlan};
use types::{IpFamily, LinkName, Mac, NetworkMode, NodeName, ObjectRef, PodLink, Prefix, TunnelMode};

use crate::findings::{Findings, error, warning};
use crate::pods::PodDirectory;
use crate::{ClusterContext, NodeContext, PodLinkMtu, underlay};

/// Name of the tunnel link.
const VXLAN_LINK: &str = "sealane-vx";
/// VXLAN network identifier; above 4094, so that it is not taken for a VLAN.
const VXLAN_VNI: u32 = 4096;
/// UDP port: the Linux kernel's default (`drivers/net/vxlan`), which every cloud lets through for flannel.
const VXLAN_PORT: u16 = 8472;
/// What VXLAN adds to a packet over IPv4: 14 inner Ethernet, 20 IPv4, 8 UDP, 8 VXLAN (RFC 7348).
const VXLAN_OVERHEAD_V4: u32 = 50;
/// The same over IPv6, whose header is 20 bytes longer.
const VXLAN_OVERHEAD_V6: u32 = 70;

pub(crate) fn compile(
    snapshot: &Snapshot,
    context: &NodeContext,
    pods: &PodDirectory<'_>,
    lb: &LbPlan,
    findings: &mut Findings,
) -> PodNetwork {
    let pod_cidrs = own_pod_cidrs(snapshot, context, findings);
    let tunnel = tunnel(snapshot, context, &pod_cidrs);
    let peers = peers::compile(snapshot, context, &pod_cidrs, tunnel.as_ref(), findings);
    let is_tunnelled = |path: &plan::PeerPath| matches!(path.via, Via::Vxlan { .. });
    let needs_tunnel = peers.values().flat_map(|peer| peer.paths.values()).any(is_tunnelled);
    PodNetwork {
        link: pod_link(context, tunnel.as_ref(), &pod_cidrs),
        vxlan: tunnel.filter(|_| needs_tunnel),
        peers,
        local_addresses: local_addresses(context, lb),
        local_pods: pods.local().clone(),
        masquerade: masquerade(snapshot, context, &pod_cidrs),
        pod_cidrs,
    }
}

/// The tunnel of this node, should it need one.
fn tunnel(snapshot: &Snapshot, context: &NodeContext, pod_cidrs: &[Prefix]) -> Option<Vxlan> {
    if context.tunnel == TunnelMode::Direct || pod_cidrs.is_empty() {
        return None;
    }
    let underlay = underlay::primary(snapshot, context)?.address;
    let overhead = match IpFamily::of(underlay) {
        IpFamily::V4 => VXLAN_OVERHEAD_V4,
        IpFamily::V6 => VXLAN_OVERHEAD_V6,
    };
    Some(Vxlan {
        link: LinkName::from(VXLAN_LINK),
        vni: VXLAN_VNI,
        port: VXLAN_PORT,
        underlay,
        addresses: pod_cidrs.iter().map(|range| range.first()).collect(),
        mac: tunnel_mac(&context.node),
        mtu: context.underlay.mtu.saturating_sub(overhead),
    })
}

fn pod_link(context: &NodeContext, tunnel: Option<&Vxlan>, pod_cidrs: &[Prefix]) -> PodLink {
    // Also in mode Auto without a tunnel now: a node on another subnet may join while Pods are running.
    let path_mtu = tunnel.map_or(context.underlay.mtu, |tunnel| tunnel.mtu);
    let mtu = match context.pod_link_mtu {
        PodLinkMtu::Path => path_mtu,
        PodLinkMtu::Bytes(bytes) => bytes.max(path_mtu),
    };
    PodLink { mode: NetworkMode::Routed, mtu, path_mtu, local: pod_cidrs.to_vec() }
}

/// The link-layer address of a node's tunnel link, which every node works out for itself and for its peers.
fn tunnel_mac(node: &NodeName) -> Mac {
    Mac::derived(&format!("{VXLAN_LINK} {node}"))
}

fn own_pod_cidrs(snapshot: &Snapshot, context: &NodeContext, findings: &mut Findings) -> Vec<Prefix> {
    let object = || ObjectRef::cluster("Node", context.node.as_str());
    match snapshot.nodes.get(&context.node) {
        None => {
            let message = "there is no Node of this name, so its Pods get no addresses";
            findings.insert(error(object(), "", "NodeMissing", message));
            Vec::new()
        }
        Some(node) => node.pod_cidrs.clone(),
    }
}

fn local_addresses(context: &NodeContext, lb: &LbPlan) -> BTreeMap<IpAddr, LocalAddress> {
    let lb = lb.announce.keys().map(|address| (*address, LocalAddress::LoadBalancer));
    let dns = context.dns_addresses.iter().map(|address| (*address, LocalAddress::Dns));
    lb.chain(dns).collect()
}

fn masquerade(snapshot: &Snapshot, context: &NodeContext, own: &[Prefix]) -> Masquerade {
    let nodes = snapshot.nodes.values().flat_map(|node| node.addresses.iter().copied());
    let addresses = nodes.chain(underlay::all(snapshot, context)).map(Prefix::host);
    let node_ranges = snapshot.nodes.values().flat_map(|node| node.pod_cidrs.iter().copied());
    Masquerade {
        sources: own.iter().copied().collect(),
        except: addresses.chain(node_ranges).chain(context.pod_cidrs.iter().copied()).collect(),
    }
}

/// Nodes that cannot take part in the Pod network, and ranges that two nodes claim.
pub(crate) fn check_pod_cidrs(snapshot: &Snapshot, findings: &mut Findings) {
    let mut owners: Vec<(&NodeName, Prefix)> = Vec::new();
    for node in snapshot.nodes.values() {
        let object = || ObjectRef::cluster("Node", node.name.as_str());
        if node.pod_cidrs.is_empty() {
            let message = "the Node has no Pod range, so its Pods get no addresses; \
                           set spec.podCIDR or let the cluster loop assign one";
            findings.insert(warning(object(), "spec.podCIDR", "NoPodCIDR", message));
        }
        if node.addresses.is_empty() {
            let message = "the Node has no address of type InternalIP, so other nodes cannot reach its Pods";
            findings.insert(warning(object(), "status.addresses", "NoNodeAddress", message));
        }
        for cidr in &node.pod_cidrs {
            if let Some((owner, other)) = owners.iter().find(|(_, other)| other.overlaps(*cidr)) {
                let message = format!("{cidr} overlaps {other} of Node {owner}, which keeps its route");
                findings.insert(error(object(), "spec.podCIDR", "PodCIDROverlap", message));
            }
            owners.push((&node.name, *cidr));
        }
    }
}

/// Ranges for Nodes that have none, one from each of the cluster's ranges.
pub(crate) fn assign_pod_cidrs(
    snapshot: &Snapshot,
    context: &ClusterContext,
    findings: &mut Findings,
) -> BTreeMap<NodeName, Vec<Prefix>> {
    let mut taken: BTreeSet<Prefix> =
        snapshot.nodes.values().flat_map(|node| node.pod_cidrs.iter().copied()).collect();
    let mut assigned = BTreeMap::new();
    if context.pod_cidrs.is_empty() {
        return assigned;
    }
    for node in snapshot.nodes.values().filter(|node| node.pod_cidrs.is_empty() && !node.deleting) {
        let mut cidrs = Vec::new();
        for range in &context.pod_cidrs {
            match free_subrange(*range, context.node_prefix_len, &taken) {
                Some(cidr) => cidrs.push(cidr),
                None => {
                    let message = format!("no range of {range} is free for the Node");
                    let object = ObjectRef::cluster("Node", node.name.as_str());
                    findings.insert(error(object, "spec.podCIDR", "PodCIDRExhausted", message));
                }
            }
        }
        taken.extend(&cidrs);
        if !cidrs.is_empty() {
            assigned.insert(node.name.clone(), cidrs);
        }
    }
    assigned
}

/// The first subrange of `range` that overlaps nothing in `taken`.
///
/// An IPv6 Node gets a /64, as by default in Kubernetes (kube-controller-manager `--node-cidr-mask-size-ipv6`).
fn free_subrange(range: Prefix, v4_len: u8, taken: &BTreeSet<Prefix>) -> Option<Prefix> {
    let len = match range.family() {
        IpFamily::V4 => v4_len.max(range.len()),
        IpFamily::V6 => 64.max(range.len()),
    };
    let first = Prefix::new(range.first(), len)?;
    let count = range.size() / first.size();
    (0..count)
        .filter_map(|index| Prefix::new(range.nth(index.checked_mul(first.size())?)?, len))
        .find(|candidate| !taken.iter().any(|other| other.overlaps(*candidate)))
}
