//! What a compilation must know besides the cluster's objects.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use engine_ipam::IpRange;
use model::Snapshot;
use types::{
    Attachment, FailingPath, IpFamily, LinkName, Masquerading, NetworkMode, NodeName, Port, Prefix,
    SubnetAddress, TunnelMode, UnderlayFacts,
};

/// What one node knows about itself and its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeContext {
    /// The node's name.
    pub node: NodeName,
    /// Its place on the network that joins the nodes.
    pub underlay: Underlay,
    /// How Pods of other nodes are reached.
    pub tunnel: TunnelMode,
    /// How Pods that are yet to come are joined to this node.
    pub pod_links: NetworkMode,
    /// MTU of the links between Pods and this node.
    pub pod_link_mtu: PodLinkMtu,
    /// Which packets of Pods get this node's address as their source.
    pub masquerade: Masquerading,
    /// Cluster domain, such as `cluster.local`.
    pub cluster_domain: String,
    /// The cluster DNS addresses, held by every node; at most one per family.
    pub dns_addresses: BTreeSet<IpAddr>,
    /// Pod ranges of the whole cluster.
    pub pod_cidrs: BTreeSet<Prefix>,
    /// Ranges of ClusterIPs.
    pub service_cidrs: BTreeSet<Prefix>,
    /// Where DNS asks for other names.
    pub upstreams: Vec<SocketAddr>,
    /// Search domains of the node, which its kubelet puts behind those of the cluster.
    pub search_domains: Vec<String>,
    /// The HTTP entry; `None` turns it off.
    pub http_entry: Option<HttpEntry>,
    /// `spec.controller` of the IngressClasses we serve.
    pub ingress_controllers: BTreeSet<String>,
    /// LoadBalancer addresses that are ours to announce.
    pub lb_pools: Vec<IpRange>,
    /// `spec.loadBalancerClass` that is ours besides none at all.
    pub lb_class: Option<String>,
    /// Network interfaces of local Pods, by container ID and name: known before the API says their addresses.
    pub attachments: BTreeMap<(String, LinkName), Attachment>,
    /// Peers that full-size packets do not reach, as probed.
    pub failing_paths: BTreeMap<NodeName, FailingPath>,
}

/// What a DNS server knows about its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamesContext {
    /// Cluster domain, such as `cluster.local`, unless the Corefile has another.
    pub cluster_domain: String,
    /// The cluster DNS addresses; at most one per family.
    pub dns_addresses: BTreeSet<IpAddr>,
    /// Pod ranges of the whole cluster.
    pub pod_cidrs: BTreeSet<Prefix>,
    /// Ranges of ClusterIPs.
    pub service_cidrs: BTreeSet<Prefix>,
    /// Where other names are asked.
    pub upstreams: Vec<SocketAddr>,
    /// Search domains that kubelets put behind those of the cluster.
    pub search_domains: Vec<String>,
}

impl NodeContext {
    /// What its DNS server is to know.
    pub(crate) fn names(&self) -> NamesContext {
        NamesContext {
            cluster_domain: self.cluster_domain.clone(),
            dns_addresses: self.dns_addresses.clone(),
            pod_cidrs: self.pod_cidrs.clone(),
            service_cidrs: self.service_cidrs.clone(),
            upstreams: self.upstreams.clone(),
            search_domains: self.search_domains.clone(),
        }
    }

    /// With the ranges of the cluster's ServiceCIDRs.
    pub(crate) fn with_ranges_of(&self, snapshot: &Snapshot) -> Cow<'_, Self> {
        match ranges_with(&self.service_cidrs, snapshot) {
            Some(service_cidrs) => Cow::Owned(Self { service_cidrs, ..self.clone() }),
            None => Cow::Borrowed(self),
        }
    }

    /// Whether both are the same but for what changes while a node runs: its attachments, and which paths fail.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let Self {
            node,
            underlay,
            tunnel,
            pod_links,
            pod_link_mtu,
            masquerade,
            cluster_domain,
            dns_addresses,
            pod_cidrs,
            service_cidrs,
            upstreams,
            search_domains,
            http_entry,
            ingress_controllers,
            lb_pools,
            lb_class,
            attachments: _,
            failing_paths: _,
        } = self;
        (node, underlay, tunnel, pod_links) == (&other.node, &other.underlay, &other.tunnel, &other.pod_links)
            && (pod_link_mtu, masquerade) == (&other.pod_link_mtu, &other.masquerade)
            && (cluster_domain, dns_addresses) == (&other.cluster_domain, &other.dns_addresses)
            && (pod_cidrs, service_cidrs) == (&other.pod_cidrs, &other.service_cidrs)
            && (upstreams, http_entry) == (&other.upstreams, &other.http_entry)
            && *search_domains == other.search_domains
            && *ingress_controllers == other.ingress_controllers
            && (lb_pools, lb_class) == (&other.lb_pools, &other.lb_class)
    }
}

impl NamesContext {
    /// With the ranges of the cluster's ServiceCIDRs.
    pub(crate) fn with_ranges_of(&self, snapshot: &Snapshot) -> Cow<'_, Self> {
        match ranges_with(&self.service_cidrs, snapshot) {
            Some(service_cidrs) => Cow::Owned(Self { service_cidrs, ..self.clone() }),
            None => Cow::Borrowed(self),
        }
    }
}

/// These ranges of ClusterIPs and those of ServiceCIDRs (KEP-1880), unless they are the same.
fn ranges_with(told: &BTreeSet<Prefix>, snapshot: &Snapshot) -> Option<BTreeSet<Prefix>> {
    let of_objects = snapshot.service_cidrs.values().flat_map(|cidr| &cidr.ranges);
    let mut added = of_objects.copied().filter(|range| !told.contains(range)).peekable();
    added.peek()?;
    Some(told.iter().copied().chain(added).collect())
}

/// A node's place on the network that joins the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underlay {
    /// The link that leads there.
    pub link: LinkName,
    /// Its addresses, IPv4 first.
    pub addresses: Vec<UnderlayAddress>,
    /// Its MTU, in bytes.
    pub mtu: u32,
}

impl Underlay {
    /// The place that a node's agent tells of; `None` while its link has no address.
    #[must_use]
    pub fn of(facts: &UnderlayFacts) -> Option<Self> {
        let held =
            |held: &SubnetAddress| UnderlayAddress { address: held.address, subnet: Some(held.subnet) };
        let addresses: Vec<_> = facts.addresses.iter().map(held).collect();
        let mtu = facts.mtu;
        (!addresses.is_empty()).then(|| Self { link: facts.link.clone(), addresses, mtu })
    }
}

/// An address of the link that leads to the other nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderlayAddress {
    /// The address.
    pub address: IpAddr,
    /// The subnet it is on; peers in it can be reached without a tunnel.
    pub subnet: Option<Prefix>,
}

/// MTU of the links between Pods and their node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodLinkMtu {
    /// That of the path to other nodes.
    Path,
    /// This many bytes, or that of the path where that is more.
    Bytes(u32),
}

/// Why something is not a [`PodLinkMtu`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodLinkMtuError {
    /// What was given.
    pub text: String,
}

impl fmt::Display for PodLinkMtuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is neither `path` nor a number of bytes from 1280 to 65535", self.text)
    }
}

impl std::error::Error for PodLinkMtuError {}

impl FromStr for PodLinkMtu {
    type Err = PodLinkMtuError;

    /// `path`, or bytes: no less than IPv6 needs (RFC 8200, section 5), no more than a veth can have.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.parse().ok().filter(|bytes| (1280..=65_535).contains(bytes));
        match (text, bytes) {
            ("path", _) => Ok(Self::Path),
            (_, Some(bytes)) => Ok(Self::Bytes(bytes)),
            _ => Err(PodLinkMtuError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for PodLinkMtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => f.write_str("path"),
            Self::Bytes(bytes) => write!(f, "{bytes}"),
        }
    }
}

/// As large as a veth can be (`ETH_MAX_MTU` of the kernel's `if_ether.h`).
impl Default for PodLinkMtu {
    fn default() -> Self {
        Self::Bytes(65_535)
    }
}

/// Ports of the HTTP entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpEntry {
    /// Plain HTTP, usually 80.
    pub http: Option<Port>,
    /// HTTPS, usually 443.
    pub https: Option<Port>,
}

/// Prefix lengths of the ranges that Nodes get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeMask {
    /// For IPv4.
    pub v4: u8,
    /// For IPv6.
    pub v6: u8,
}

/// kube-controller-manager's `--node-cidr-mask-size-ipv4` and `--node-cidr-mask-size-ipv6`.
impl Default for NodeMask {
    fn default() -> Self {
        Self { v4: 24, v6: 64 }
    }
}

impl NodeMask {
    /// The length for a family.
    #[must_use]
    pub fn of(self, family: IpFamily) -> u8 {
        match family {
            IpFamily::V4 => self.v4,
            IpFamily::V6 => self.v6,
        }
    }
}

/// What the cluster loop knows besides the cluster's objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterContext {
    /// Ranges from which Nodes without a podCIDR get one of each family, the first one first; empty leaves that to
    /// somebody else.
    pub pod_cidrs: Vec<Prefix>,
    /// How large the ranges of Nodes are.
    pub node_mask: NodeMask,
    /// Ranges of ClusterIPs.
    pub service_cidrs: BTreeSet<Prefix>,
    /// The cluster DNS addresses.
    pub dns_addresses: BTreeSet<IpAddr>,
    /// `spec.controller` of the IngressClasses we serve.
    pub ingress_controllers: BTreeSet<String>,
    /// Addresses for Services of type LoadBalancer.
    pub lb_pools: Vec<IpRange>,
    /// `spec.loadBalancerClass` that is ours besides none at all.
    pub lb_class: Option<String>,
}

impl ClusterContext {
    /// With the ranges of the cluster's ServiceCIDRs.
    pub(crate) fn with_ranges_of(&self, snapshot: &Snapshot) -> Cow<'_, Self> {
        match ranges_with(&self.service_cidrs, snapshot) {
            Some(service_cidrs) => Cow::Owned(Self { service_cidrs, ..self.clone() }),
            None => Cow::Borrowed(self),
        }
    }

    /// Addresses in the Service ranges that nodes answer themselves.
    pub(crate) fn local_vips(&self) -> BTreeSet<IpAddr> {
        self.dns_addresses.clone()
    }
}
