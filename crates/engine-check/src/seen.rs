//! What was seen of a node, and what its cluster is known to be.

use std::collections::{BTreeMap, BTreeSet};

use types::{NodeNetwork, Prefix, SubnetAddress};

/// What was seen of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Settings below `/proc/sys` that could be read, such as `net/ipv4/ip_forward`.
    pub settings: BTreeMap<String, String>,
    /// All links.
    pub links: Vec<Link>,
    /// Routes of the main table.
    pub routes: Vec<Route>,
    /// Base chains of others on the hooks that Pods' packets meet; or why they could not be read.
    pub chains: Result<Vec<Chain>, String>,
    /// Tables of legacy iptables, from `/proc/net/ip_tables_names` and its IPv6 sister.
    pub legacy_tables: BTreeSet<String>,
    /// What the kernel can do, each tried in a namespace of its own.
    pub features: Vec<Feature>,
    /// Entries of connection tracking, and how many there may be.
    pub conntrack: Option<(u64, u64)>,
    /// UDP ports of the node that somebody has, the kernel's tunnels included.
    pub udp_ports: BTreeSet<u16>,
    /// What the agent wrote for the CNI plugin; `None` before it did.
    pub network: Result<Option<NodeNetwork>, String>,
    /// Whether the agent answers that ADD can be served.
    pub agent: Result<(), String>,
    /// CNI configurations in the runtime's order: file, and `type` of its first plugin; `None` when not looked at.
    pub cni: Option<Result<Vec<(String, String)>, String>>,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Name.
    pub name: String,
    /// Kind, such as `vxlan`; empty for hardware.
    pub kind: String,
    /// It carries our marks.
    pub is_ours: bool,
    /// It is up.
    pub is_up: bool,
    /// MTU in bytes.
    pub mtu: u32,
    /// Its addresses.
    pub addresses: Vec<SubnetAddress>,
    /// UDP port of a VXLAN link, and whether its outer packets are IPv6.
    pub tunnel: Option<(u16, bool)>,
}

/// A route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub destination: Prefix,
    /// Name of the link; empty when there is none.
    pub link: String,
    /// It carries our protocol number.
    pub is_ours: bool,
}

/// A base chain of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Family, table and name, as `nft list chain` takes them.
    pub name: String,
    /// Where it is.
    pub hook: Hook,
    /// What becomes of packets at its end.
    pub policy: Policy,
    /// How many rules it has.
    pub rules: usize,
    /// Rules of its own that drop or reject.
    pub dropping: usize,
}

/// A hook of nftables that Pods' packets meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Packets from or to Pods.
    Forward,
    /// Packets to the node, the tunnel's among them.
    Input,
}

/// What becomes of packets at a chain's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// They go on.
    Accept,
    /// They are lost.
    Drop,
}

/// Something that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// What, such as `VXLAN links`.
    pub name: &'static str,
    /// Kernel option or module.
    pub needs: &'static str,
    /// How it went.
    pub outcome: Result<(), String>,
}

/// What the cluster is known to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Pod ranges of the whole cluster.
    pub pod_cidrs: BTreeSet<Prefix>,
    /// Service ranges.
    pub service_cidrs: BTreeSet<Prefix>,
    /// The link that faces the other nodes.
    pub underlay_link: String,
}
