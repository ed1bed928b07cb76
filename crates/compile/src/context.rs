//! What a compilation must know besides the cluster's objects.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use engine_ipam::IpRange;
use types::{Attachment, LinkName, NodeName, Port, Prefix, TunnelMode, UnderlayFacts};

/// What one node knows about itself and its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeContext {
    /// The node's name.
    pub node: NodeName,
    /// Its place on the network that joins the nodes.
    pub underlay: Underlay,
    /// How Pods of other nodes are reached.
    pub tunnel: TunnelMode,
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
}

/// A node's place on the network that joins the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underlay {
    /// The node's address.
    pub address: IpAddr,
    /// The subnet the address is on; peers in it can be reached without a tunnel.
    pub subnet: Option<Prefix>,
    /// The link that has the address.
    pub link: LinkName,
    /// The link's MTU, in bytes.
    pub mtu: u32,
}

impl Underlay {
    /// The place that a node's agent tells of; `None` while its link has no address.
    #[must_use]
    pub fn of(facts: &UnderlayFacts) -> Option<Self> {
        let first = facts.addresses.first()?;
        Some(Self {
            address: first.address,
            subnet: Some(first.subnet),
            link: facts.link.clone(),
            mtu: facts.mtu,
        })
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

/// What the cluster loop knows besides the cluster's objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterContext {
    /// Ranges from which Nodes without a podCIDR get one; empty leaves that to somebody else.
    pub pod_cidrs: BTreeSet<Prefix>,
    /// Prefix length of an IPv4 Node's range, usually 24.
    pub node_prefix_len: u8,
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
    /// Addresses in the Service ranges that nodes answer themselves.
    pub(crate) fn local_vips(&self) -> BTreeSet<IpAddr> {
        self.dns_addresses.clone()
    }
}
