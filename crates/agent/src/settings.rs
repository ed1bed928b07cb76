//! What a node agent and a cluster loop are told when they start, as meant.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use types::{LinkName, NodeName, Port, Prefix};

/// How Pods of different nodes reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tunnel {
    /// Through VXLAN.
    #[default]
    Vxlan,
    /// By routes; the nodes share a subnet.
    Direct,
}

/// What a node agent is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The Node it works for.
    pub node: NodeName,
    /// The kubeconfig file; none means the service account of the Pod it runs in.
    pub kubeconfig: Option<PathBuf>,
    /// Directory shared with the CNI plugin; see `types::attachment`.
    pub state_dir: PathBuf,
    /// Such as `cluster.local`, without trailing dot.
    pub cluster_domain: String,
    /// The cluster DNS addresses, one per address family.
    pub dns_addresses: BTreeSet<IpAddr>,
    /// Where names outside the cluster domain are asked.
    pub upstream_dns: Vec<SocketAddr>,
    /// Pod ranges of the whole cluster.
    pub pod_cidrs: BTreeSet<Prefix>,
    /// Service ranges of the cluster.
    pub service_cidrs: BTreeSet<Prefix>,
    /// The link that faces the other nodes.
    pub underlay_link: LinkName,
    /// How Pods of other nodes are reached.
    pub tunnel: Tunnel,
    /// Port of the HTTP entry; none turns it off.
    pub http_port: Option<Port>,
    /// Port of the HTTPS entry; none turns it off.
    pub https_port: Option<Port>,
    /// Where health, metrics and the plan are served; none turns them off.
    pub admin: Option<SocketAddr>,
}

/// What the cluster loop is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// The kubeconfig file; none means the service account of the Pod it runs in.
    pub kubeconfig: Option<PathBuf>,
    /// Pod ranges from which Nodes without one get theirs.
    pub pod_cidrs: BTreeSet<Prefix>,
    /// Prefix length of a Node's Pod range; kube-controller-manager's `--node-cidr-mask-size` is 24 for IPv4.
    pub node_prefix_len: u8,
    /// Ranges of LoadBalancer addresses; a single address is a /32.
    pub load_balancer_pool: Vec<(IpAddr, IpAddr)>,
    /// Where health, metrics and the plan are served; none turns them off.
    pub admin: Option<SocketAddr>,
}
