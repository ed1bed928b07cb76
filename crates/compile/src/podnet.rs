//! The Pod network of one node: peers and paths to them, addresses the node holds, masquerading; and Pod ranges.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{Node, Snapshot};
use plan::{LbPlan, LocalAddress, Masquerade, Peer, PeerPath, PodNetwork, Vxlan};
use types::{IpFamily, LinkName, Mac, NodeName, ObjectRef, Prefix, TunnelMode};

use crate::findings::{Findings, error, warning};
use crate::pods::PodDirectory;
use crate::{ClusterContext, NodeContext};

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
    let peers = peers(snapshot, context, &pod_cidrs, findings);
    let mtu = match context.tunnel {
        TunnelMode::Direct => context.underlay.mtu,
        // Also in mode Auto without a tunnel now: a node on another subnet may join while Pods are running.
        TunnelMode::Vxlan | TunnelMode::Auto => tunnel_mtu(context),
    };
    let needs_tunnel = peers.values().any(|peer| matches!(peer.path, PeerPath::Vxlan { .. }));
    let inner = pod_cidrs.first().filter(|_| needs_tunnel).map(|cidr| cidr.first());
    PodNetwork {
        mtu,
        vxlan: inner.map(|address| vxlan(context, address)),
        peers,
        local_addresses: local_addresses(context, lb),
        local_pods: pods.local().clone(),
        masquerade: masquerade(snapshot, context, &pod_cidrs),
        pod_cidrs,
    }
}

fn tunnel_mtu(context: &NodeContext) -> u32 {
    let overhead = match IpFamily::of(context.underlay.address) {
        IpFamily::V4 => VXLAN_OVERHEAD_V4,
        IpFamily::V6 => VXLAN_OVERHEAD_V6,
    };
    context.underlay.mtu.saturating_sub(overhead)
}

fn vxlan(context: &NodeContext, address: IpAddr) -> Vxlan {
    Vxlan {
        link: LinkName::from(VXLAN_LINK),
        vni: VXLAN_VNI,
        port: VXLAN_PORT,
        underlay: context.underlay.address,
        address,
        mac: tunnel_mac(&context.node),
        mtu: tunnel_mtu(context),
    }
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

/// The other nodes; of two whose ranges overlap, the one with the lower name keeps its route.
fn peers(
    snapshot: &Snapshot,
    context: &NodeContext,
    own: &[Prefix],
    findings: &mut Findings,
) -> BTreeMap<NodeName, Peer> {
    check_pod_cidrs(snapshot, findings);
    let mut taken: Vec<Prefix> = own.to_vec();
    let mut peers = BTreeMap::new();
    for node in snapshot.nodes.values().filter(|node| node.name != context.node) {
        let overlaps = |cidr: &Prefix| taken.iter().any(|other| other.overlaps(*cidr));
        let pod_cidrs: Vec<Prefix> = node.pod_cidrs.iter().filter(|cidr| !overlaps(cidr)).copied().collect();
        let (Some(first), Some(underlay)) = (pod_cidrs.first(), underlay_address(node, context)) else {
            continue;
        };
        let path = match uses_tunnel(context, underlay) {
            true => PeerPath::Vxlan { address: first.first(), mac: tunnel_mac(&node.name) },
            false => PeerPath::Direct,
        };
        taken.extend(&pod_cidrs);
        peers.insert(node.name.clone(), Peer { underlay, pod_cidrs, path });
    }
    peers
}

/// A peer's address of the family that this node uses on the underlay.
fn underlay_address(node: &Node, context: &NodeContext) -> Option<IpAddr> {
    let family = IpFamily::of(context.underlay.address);
    node.addresses.iter().copied().find(|address| IpFamily::of(*address) == family)
}

fn uses_tunnel(context: &NodeContext, peer: IpAddr) -> bool {
    match context.tunnel {
        TunnelMode::Vxlan => true,
        TunnelMode::Direct => false,
        TunnelMode::Auto => !context.underlay.subnet.is_some_and(|subnet| subnet.contains(peer)),
    }
}

fn local_addresses(context: &NodeContext, lb: &LbPlan) -> BTreeMap<IpAddr, LocalAddress> {
    let lb = lb.announce.keys().map(|address| (*address, LocalAddress::LoadBalancer));
    let dns = context.dns_addresses.iter().map(|address| (*address, LocalAddress::Dns));
    lb.chain(dns).collect()
}

fn masquerade(snapshot: &Snapshot, context: &NodeContext, own: &[Prefix]) -> Masquerade {
    let nodes = snapshot.nodes.values().flat_map(|node| node.addresses.iter().copied());
    let addresses = nodes.chain([context.underlay.address]).map(Prefix::host);
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
