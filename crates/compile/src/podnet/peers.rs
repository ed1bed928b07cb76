//! The other nodes, and the way to each of their Pod ranges.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::{Node, Snapshot};
use plan::{Peer, PeerPath, Via, Vxlan};
use types::{IpFamily, NodeName, ObjectRef, Prefix};

use super::tunnel_mac;
use crate::findings::{Findings, error};
use crate::{NodeContext, TunnelMode, UnderlayAddress, underlay};

/// The other nodes; of two whose ranges overlap, the one with the lower name keeps its route.
pub(super) fn compile(
    snapshot: &Snapshot,
    context: &NodeContext,
    own: &[Prefix],
    tunnel: Option<&Vxlan>,
    findings: &mut Findings,
) -> BTreeMap<NodeName, Peer> {
    let here = Here {
        mode: context.tunnel,
        tunnel,
        v4: underlay::own(snapshot, context, IpFamily::V4),
        v6: underlay::own(snapshot, context, IpFamily::V6),
        mtu: context.underlay.mtu,
    };
    let mut taken: Vec<Prefix> = own.to_vec();
    let mut peers = BTreeMap::new();
    for node in snapshot.nodes.values().filter(|node| node.name != context.node) {
        let overlaps = |cidr: &Prefix| taken.iter().any(|other| other.overlaps(*cidr));
        let ranges: Vec<Prefix> = node.pod_cidrs.iter().filter(|cidr| !overlaps(cidr)).copied().collect();
        let mut paths = BTreeMap::new();
        for range in &ranges {
            match here.path(node, *range) {
                Ok(path) => {
                    paths.insert(*range, path);
                }
                // A Node without addresses, here or there, is told of as such.
                Err(_) if node.addresses.is_empty() || own.is_empty() => {}
                Err(why) => {
                    let object = ObjectRef::cluster("Node", node.name.as_str());
                    let message = format!("no way from Node {} to {range}: {why}", context.node);
                    findings.insert(error(object, "status.addresses", "NoPath", message));
                }
            }
        }
        taken.extend(&ranges);
        if let Some(underlay) = here.underlay_of(node)
            && !paths.is_empty()
        {
            peers.insert(
                node.name.clone(),
                Peer { underlay, paths, failing: context.failing_paths.get(&node.name).copied() },
            );
        }
    }
    peers
}

/// What this node can do.
struct Here<'a> {
    mode: TunnelMode,
    tunnel: Option<&'a Vxlan>,
    v4: Option<UnderlayAddress>,
    v6: Option<UnderlayAddress>,
    mtu: u32,
}

impl Here<'_> {
    fn path(&self, peer: &Node, range: Prefix) -> Result<PeerPath, String> {
        let direct = || self.direct(peer, range.family());
        let tunnelled = || self.tunnelled(peer, range);
        match self.mode {
            TunnelMode::Vxlan => tunnelled(),
            TunnelMode::Direct => direct(),
            TunnelMode::Auto => direct().or_else(|_| tunnelled()),
        }
    }

    fn direct(&self, peer: &Node, family: IpFamily) -> Result<PeerPath, String> {
        let own =
            self.own(family).ok_or_else(|| format!("this node has no {family} address on the underlay"))?;
        let nexthop = underlay::of(peer, family).ok_or_else(|| format!("it has no {family} InternalIP"))?;
        // Where the subnet is not known, only a tunnel is sure to get there.
        let is_near = own.subnet.map_or(self.mode == TunnelMode::Direct, |subnet| subnet.contains(nexthop));
        if !is_near {
            return Err(format!("{nexthop} is not on a subnet of this node; a tunnel would lead there"));
        }
        Ok(PeerPath { via: Via::Direct { nexthop }, mtu: self.mtu })
    }

    fn tunnelled(&self, peer: &Node, range: Prefix) -> Result<PeerPath, String> {
        let tunnel = self.tunnel.ok_or("this node has no address on the underlay for a tunnel")?;
        let (outer, family) = (IpFamily::of(tunnel.underlay), range.family());
        underlay::of(peer, outer)
            .ok_or_else(|| format!("the tunnel uses {outer} and it has no InternalIP of that"))?;
        if underlay::primary_family(peer) != Some(outer) {
            return Err(format!(
                "the tunnel of this node uses {outer} and that of the other does not; all nodes must list the \
                 InternalIP of one family first"
            ));
        }
        tunnel
            .address(family)
            .ok_or_else(|| format!("this node has no {family} Pod range and so no address in the tunnel"))?;
        let via = Via::Vxlan { address: range.first(), mac: tunnel_mac(&peer.name) };
        Ok(PeerPath { via, mtu: tunnel.mtu })
    }

    fn own(&self, family: IpFamily) -> Option<UnderlayAddress> {
        match family {
            IpFamily::V4 => self.v4,
            IpFamily::V6 => self.v6,
        }
    }

    fn underlay_of(&self, peer: &Node) -> Option<IpAddr> {
        let outer = self.tunnel.map(|tunnel| IpFamily::of(tunnel.underlay));
        outer.and_then(|family| underlay::of(peer, family)).or_else(|| peer.addresses.first().copied())
    }
}
