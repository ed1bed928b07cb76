//! The Pod network of one node: links, tunnel, addresses the node holds, masquerading; and Pod ranges.

mod bridge;
mod peers;
pub(crate) mod ranges;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::Snapshot;
use plan::{LbPlan, LocalAddress, Masquerade, PodNetwork, Via, Vxlan};
use types::{
    IpFamily, LinkName, LinkOrigin, Mac, Masquerading, NodeName, ObjectRef, PodLink, Prefix, TunnelMode,
};

use crate::findings::{Findings, error};
use crate::pods::PodDirectory;
use crate::{NodeContext, PodLinkMtu, underlay};

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
    ranges::check(snapshot, &context.service_cidrs, findings);
    let peers = peers::compile(snapshot, context, &pod_cidrs, tunnel.as_ref(), findings);
    let is_tunnelled = |path: &plan::PeerPath| matches!(path.via, Via::Vxlan { .. });
    let needs_tunnel = peers.values().flat_map(|peer| peer.paths.values()).any(is_tunnelled);
    PodNetwork {
        bridge: bridge::compile(context, &pod_cidrs),
        uplink: Some(context.underlay.link.clone()),
        link: pod_link(context, tunnel.as_ref(), &pod_cidrs),
        vxlan: tunnel.filter(|_| needs_tunnel),
        peers,
        other_nodes: other_nodes(snapshot, context),
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
    PodLink { mode: context.pod_links, mtu, path_mtu, local: pod_cidrs.to_vec() }
}

fn other_nodes(snapshot: &Snapshot, context: &NodeContext) -> BTreeSet<IpAddr> {
    let others = snapshot.nodes.values().filter(|node| node.name != context.node);
    others.flat_map(|node| node.addresses.iter().copied()).collect()
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
    let Masquerading::LeavingCluster { except } = &context.masquerade else { return Masquerade::default() };
    let nodes = snapshot.nodes.values().flat_map(|node| node.addresses.iter().copied());
    let addresses = nodes.chain(underlay::all(snapshot, context)).map(Prefix::host);
    let node_ranges = snapshot.nodes.values().flat_map(|node| node.pod_cidrs.iter().copied());
    let cluster = node_ranges.chain(context.pod_cidrs.iter().copied());
    let left_over: Vec<Prefix> = left_over(context, own).collect();
    Masquerade {
        sources: own.iter().chain(&left_over).copied().collect(),
        except: addresses.chain(cluster).chain(except.iter().copied()).chain(left_over.clone()).collect(),
    }
}

/// Addresses of Pods that live since before the node's ranges changed.
fn left_over<'a>(context: &'a NodeContext, own: &'a [Prefix]) -> impl Iterator<Item = Prefix> + 'a {
    let ours = context.attachments.values().filter(|attachment| attachment.origin == LinkOrigin::Own);
    let addresses = ours.flat_map(|attachment| attachment.addresses.iter().copied());
    let is_in_range = |address: IpAddr| own.iter().any(|range| range.contains(address));
    addresses.filter(move |address| !is_in_range(*address)).map(Prefix::host)
}
