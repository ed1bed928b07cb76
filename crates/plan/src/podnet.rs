//! The Pod network of one node: peers, tunnels, addresses of ours, masquerading.
//!
//! Links and routes of single Pods are not here: the CNI plugin makes them, and they live as long as the Pod.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;
use types::{FailingPath, IpFamily, LinkName, Mac, NodeName, PodLink, PodName, Prefix};

/// Routes, tunnels, addresses and masquerading of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodNetwork {
    /// This node's own Pod ranges; Pods and the VXLAN link take their addresses from here.
    pub pod_cidrs: Vec<Prefix>,
    /// The link that faces the other nodes; none where nobody said.
    pub uplink: Option<LinkName>,
    /// How links of Pods that are yet to come are made; those of running Pods stay as they are.
    pub link: PodLink,
    /// The bridge that Pods are ports of, when they are or will be.
    pub bridge: Option<PodBridge>,
    /// The tunnel link, when any peer needs it.
    pub vxlan: Option<Vxlan>,
    /// The other nodes.
    pub peers: BTreeMap<NodeName, Peer>,
    /// Every InternalIP of every other node, also of those that are no peers.
    pub other_nodes: BTreeSet<IpAddr>,
    /// Addresses that this node holds although no network assigned them: DNS and LoadBalancer addresses.
    pub local_addresses: BTreeMap<IpAddr, LocalAddress>,
    /// This node's running Pods with a network namespace of their own, by address.
    pub local_pods: BTreeMap<IpAddr, PodName>,
    /// Source translation for traffic that leaves the cluster.
    pub masquerade: Masquerade,
}

impl PodNetwork {
    /// Whether links, addresses, neighbours and routes of the node itself are the same in both: Pods that come and go
    /// do not change them, unless they are ports of the bridge.
    #[must_use]
    pub fn has_links_of(&self, other: &Self) -> bool {
        let Self {
            pod_cidrs,
            uplink,
            link,
            bridge,
            vxlan,
            peers,
            other_nodes: _,
            local_addresses,
            local_pods: _,
            masquerade: _,
        } = self;
        *pod_cidrs == other.pod_cidrs
            && *uplink == other.uplink
            && *link == other.link
            && *bridge == other.bridge
            && *vxlan == other.vxlan
            && *peers == other.peers
            && *local_addresses == other.local_addresses
    }
}

/// The bridge that Pods of a node are ports of.
///
/// A frame of a Pod is for the bridge itself and for nobody else on it: what it carries is routed, so that rules hold
/// between neighbours whatever the kernel does with bridged packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodBridge {
    /// Link name.
    pub link: LinkName,
    /// Link-layer address, which Pods have written down.
    pub mac: Mac,
    /// Destinations that are on it.
    pub routes: BTreeSet<Prefix>,
    /// The Pods' ends, by the name of the node's end of the link.
    pub ports: BTreeMap<LinkName, BridgePort>,
}

/// A Pod on the bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BridgePort {
    /// Link-layer address of the Pod's end.
    pub mac: Mac,
    /// Addresses that the Pod may use.
    pub addresses: BTreeSet<IpAddr>,
}

/// The one VXLAN link of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Vxlan {
    /// Link name.
    pub link: LinkName,
    /// VXLAN network identifier, 1 to 2^24 - 1.
    pub vni: u32,
    /// UDP port; 4789 by IANA, 8472 by Linux habit.
    pub port: u16,
    /// Outer source address: this node's address on the underlay.
    pub underlay: IpAddr,
    /// Inner addresses of this node, the first of each of its Pod ranges; source of node-to-Pod traffic across nodes.
    pub addresses: BTreeSet<IpAddr>,
    /// Link-layer address, the same that the peers' plans name for this node.
    pub mac: Mac,
    /// MTU of the tunnel link, in bytes: the underlay's less what VXLAN adds (RFC 7348).
    pub mtu: u32,
}

impl Vxlan {
    /// The inner address of a family.
    #[must_use]
    pub fn address(&self, family: IpFamily) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| IpFamily::of(*address) == family)
    }
}

/// Another node and how its Pods are reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Its address on the underlay, of the family that the tunnel uses if it has one of that.
    pub underlay: IpAddr,
    /// Its Pod ranges, and how packets get to each; at most one range per family.
    pub paths: BTreeMap<Prefix, PeerPath>,
    /// What probing has shown when full-size packets do not get there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<FailingPath>,
}

/// How packets get to one of a peer's Pod ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerPath {
    /// The way they take.
    pub via: Via,
    /// The largest packet that gets there in one piece, in bytes.
    pub mtu: u32,
}

/// The way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Via {
    /// Through the tunnel to the peer's underlay address.
    Vxlan {
        /// The peer's inner address, of the range's family.
        address: IpAddr,
        /// The peer's link-layer address.
        mac: Mac,
    },
    /// A route through the peer's address on a subnet that both share, of the range's family.
    Direct {
        /// That address.
        nexthop: IpAddr,
    },
}

impl Peer {
    /// The largest packet that a route to one of the peer's ranges may carry: what passes where that was probed to be
    /// less than planned, so that senders are told at this node instead of losing packets on the way. IPv6 knows no
    /// path below 1280 bytes (RFC 8200, section 5).
    #[must_use]
    pub fn route_mtu(&self, range: Prefix, path: &PeerPath) -> u32 {
        let least = match range.family() {
            IpFamily::V4 => 68,
            IpFamily::V6 => 1280,
        };
        let passes = self.failing.and_then(|failing| failing.passes);
        passes.map_or(path.mtu, |passes| passes.max(least).min(path.mtu))
    }

    /// How packets get to one of the peer's Pods.
    #[must_use]
    pub fn path_to(&self, address: IpAddr) -> Option<&PeerPath> {
        self.paths.iter().find(|(range, _)| range.contains(address)).map(|(_, path)| path)
    }
}

/// Why a node holds an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LocalAddress {
    /// The cluster DNS address, answered by this node's own server.
    Dns,
    /// A LoadBalancer address this node answers for.
    LoadBalancer,
}

/// Source translation (to the node's address) for traffic that leaves the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Masquerade {
    /// Sources to translate: this node's Pod ranges. Empty turns it off.
    pub sources: BTreeSet<Prefix>,
    /// Destinations never translated: all Pod ranges, the nodes' own addresses, and what was configured.
    pub except: BTreeSet<Prefix>,
}

impl Masquerade {
    /// Whether a packet of this source to this destination gets the node's address.
    #[must_use]
    pub fn translates(&self, source: IpAddr, destination: IpAddr) -> bool {
        self.sources.iter().any(|range| range.contains(source))
            && !self.except.iter().any(|range| range.contains(destination))
    }
}
