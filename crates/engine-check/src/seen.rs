//! What was seen of a node, and what its cluster is known to be.

use std::collections::{BTreeMap, BTreeSet};

use types::{IpFamily, NodeNetwork, Prefix, SubnetAddress};

/// What was seen of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Settings below `/proc/sys` that could be read, such as `net/ipv4/ip_forward`.
    pub settings: BTreeMap<String, String>,
    /// All links.
    pub links: Vec<Link>,
    /// Routes of the main table.
    pub routes: Vec<Route>,
    /// Chains of others that Pods' packets meet: base chains, and those they lead to; or why they could not be read.
    pub chains: Result<Vec<Chain>, String>,
    /// Tables of legacy iptables that could not be read, such as `iptables-legacy filter`, and why.
    pub unread_tables: BTreeMap<String, String>,
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
    /// CNI configurations in the runtime's order; `None` when not looked at.
    pub cni: Option<Result<Vec<CniFile>, String>>,
}

/// A CNI configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CniFile {
    /// Path.
    pub path: String,
    /// `type` of each of its plugins, in order; none where the file cannot be read.
    pub plugins: Vec<String>,
}

/// `type` of our plugin in a CNI configuration.
const PLUGIN: &str = "sealane";

impl CniFile {
    /// Whether our plugin makes the links of Pods.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.plugins.first().is_some_and(|plugin| plugin == PLUGIN)
    }

    /// The plugin that makes the links of Pods, where ours stands behind it.
    #[must_use]
    pub fn chained_behind(&self) -> Option<&str> {
        let (first, others) = self.plugins.split_first()?;
        (first != PLUGIN && others.iter().any(|plugin| plugin == PLUGIN)).then_some(first)
    }
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

/// A chain of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Family, table and name, as `nft list chain` takes them, or the program and the table of legacy iptables.
    pub name: String,
    /// Where its packets come from.
    pub hook: Hook,
    /// The base chain that leads here; none of a base chain.
    pub reached_from: Option<String>,
    /// What becomes of packets at the end of a base chain.
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
    /// Families of which nobody can say here where Services are.
    pub unknown_services: BTreeSet<IpFamily>,
    /// The link that faces the other nodes.
    pub underlay_link: String,
}

/// What agent and controller take for the ranges of Pods and Services when nobody names any.
const USUAL_PODS: &str = "10.244.0.0/16";
const USUAL_SERVICES: &str = "10.96.0.0/16";

impl Expected {
    /// Fills in ranges that nobody named, with what is known of the node: its own Pod ranges, or the usual range where that
    /// has them; Services in the usual range, where the node has IPv4.
    #[must_use]
    pub fn completed(mut self, network: Option<&NodeNetwork>) -> Self {
        let usual = |text: &str| -> Prefix { text.parse().expect("the constant is a range") };
        let own = network.map(|network| network.pod_cidrs.clone()).unwrap_or_default();
        if self.pod_cidrs.is_empty() {
            let pods = usual(USUAL_PODS);
            let around = |own: &Prefix| if pods.overlaps(*own) { pods } else { *own };
            self.pod_cidrs = own.iter().map(around).collect();
            if own.is_empty() {
                self.pod_cidrs.insert(pods);
            }
        }
        if self.service_cidrs.is_empty() {
            let mut families: BTreeSet<_> = self.pod_cidrs.iter().map(|range| range.family()).collect();
            if families.remove(&IpFamily::V4) {
                self.service_cidrs.insert(usual(USUAL_SERVICES));
            }
            self.unknown_services = families;
        }
        self
    }
}
