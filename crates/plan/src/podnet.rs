//! The Pod network of one node: peers, tunnels, addresses of ours, masquerading.
//!
//! Links and routes of single Pods are not here: the CNI plugin makes them, and they live as long as the Pod.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;
use types::{LinkName, Mac, NodeName, PodName, Prefix};

/// Routes, tunnels, addresses and masquerading of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodNetwork {
    /// This node's own Pod ranges; Pods and the VXLAN link take their addresses from here.
    pub pod_cidrs: Vec<Prefix>,
    /// MTU of Pod links, in bytes.
    pub mtu: u32,
    /// The tunnel link, when any peer needs it.
    pub vxlan: Option<Vxlan>,
    /// The other nodes.
    pub peers: BTreeMap<NodeName, Peer>,
    /// Addresses that this node holds although no network assigned them: DNS and LoadBalancer addresses.
    pub local_addresses: BTreeMap<IpAddr, LocalAddress>,
    /// This node's running Pods with a network namespace of their own, by address.
    pub local_pods: BTreeMap<IpAddr, PodName>,
    /// Source translation for traffic that leaves the cluster.
    pub masquerade: Masquerade,
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
    /// Inner address of this node, the first of its Pod range; source of node-to-Pod traffic across nodes.
    pub address: IpAddr,
    /// Link-layer address, the same that the peers' plans name for this node.
    pub mac: Mac,
    /// MTU of the tunnel link, in bytes: the underlay's less 50 (RFC 7348 over IPv4).
    pub mtu: u32,
}

/// Another node and how its Pods are reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Its address on the underlay.
    pub underlay: IpAddr,
    /// Its Pod ranges.
    pub pod_cidrs: Vec<Prefix>,
    /// How packets get there.
    pub path: PeerPath,
}

/// How packets get to a peer's Pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PeerPath {
    /// Through the tunnel.
    Vxlan {
        /// The peer's inner address.
        address: IpAddr,
        /// The peer's link-layer address.
        mac: Mac,
    },
    /// A route with the peer's underlay address as nexthop; both share a subnet.
    Direct,
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
    /// Destinations never translated: all Pod ranges and the nodes' own addresses.
    pub except: BTreeSet<Prefix>,
}
