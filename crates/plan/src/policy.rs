//! NetworkPolicy for the Pods of one node.
//!
//! Selectors are resolved to addresses and named ports to numbers; the verdict for a connection is the union over
//! the rules of all policies that isolate the Pod in that direction (semantics NP1, NP2).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;
use types::{NamespacedName, PodName, Port, Prefix, Protocol};

/// Policy for every local Pod, and the peers the rules speak of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTable {
    /// This node's Pods, by each of their addresses. A Pod that no policy selects has no isolation.
    pub pods: BTreeMap<IpAddr, PodPolicy>,
    /// Peers, shared between rules with equal peers. Rules name them by index.
    pub peer_sets: Vec<PeerSet>,
}

/// What limits one Pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodPolicy {
    /// The Pod.
    pub pod: PodName,
    /// Traffic to the Pod; `None` when not isolated.
    pub ingress: Option<Isolation>,
    /// Traffic from the Pod; `None` when not isolated.
    pub egress: Option<Isolation>,
}

/// One direction of an isolated Pod: denied unless a rule allows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Isolation {
    /// The policies that isolate it; never empty.
    pub policies: BTreeSet<NamespacedName>,
    /// All that is allowed.
    pub rules: Vec<PolicyRule>,
}

/// One entry of `spec.ingress` or `spec.egress`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRule {
    /// The policy it stands in.
    pub policy: NamespacedName,
    /// Its index in `spec.ingress` or `spec.egress`.
    pub index: usize,
    /// The other side.
    pub peers: Peers,
    /// Ports at the destination.
    pub ports: PolicyPorts,
}

/// Who may be at the other side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Peers {
    /// Everybody, inside and outside the cluster.
    Any,
    /// One of [`PolicyTable::peer_sets`].
    Set(usize),
}

/// A set of peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerSet {
    /// Pod addresses that selectors stand for.
    pub addresses: BTreeSet<IpAddr>,
    /// `ipBlock` entries.
    pub blocks: BTreeSet<IpBlock>,
}

impl PeerSet {
    /// Whether this address is among the peers.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address) || self.blocks.iter().any(|block| block.contains(address))
    }
}

/// `ipBlock`: a range less its exceptions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IpBlock {
    /// `cidr`.
    pub cidr: Prefix,
    /// `except`, each inside `cidr`.
    pub except: BTreeSet<Prefix>,
}

impl IpBlock {
    /// Whether this address is inside the range and outside all exceptions.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.cidr.contains(address) && !self.except.iter().any(|except| except.contains(address))
    }
}

/// Which destination ports a rule allows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PolicyPorts {
    /// Every port of every protocol.
    Any,
    /// Only these; may be empty when a named port matched nothing, and then the rule allows nothing.
    ///
    /// For egress, a named port can mean another number on each peer; `compile` then splits the rule by peers.
    Only(BTreeSet<PortRange>),
}

/// Ports `first` to `last`, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PortRange {
    /// Protocol.
    pub protocol: Protocol,
    /// First port; `None` means every port of the protocol.
    pub first: Option<Port>,
    /// Last port, `endPort`; equal to `first` for a single port and `None` when `first` is.
    pub last: Option<Port>,
}

impl PortRange {
    /// Whether a destination port is in the range.
    #[must_use]
    pub fn contains(&self, protocol: Protocol, port: Port) -> bool {
        let after_first = self.first.is_none_or(|first| first <= port);
        let before_last = self.last.is_none_or(|last| port <= last);
        self.protocol == protocol && after_first && before_last
    }
}
