//! Service addresses and where they lead, as this node must forward them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::Serialize;
use types::{
    NamespacedName, NodeName, ObjectRef, PodName, Port, PortMapping, Prefix, Protocol, ServiceName, Shared,
    SharedMap,
};

use crate::Scheduling;

/// All frontends of the cluster, seen from one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceTable {
    /// What clients aim at, and what becomes of it.
    #[serde(serialize_with = "as_entries")]
    pub frontends: SharedMap<Frontend, FrontendRule>,
    /// This node's addresses on which NodePorts answer.
    pub node_addresses: BTreeSet<IpAddr>,
    /// This node's Pod ranges: a source outside them, and not this node, is an external client.
    ///
    /// Other nodes' Pods are external here. Their own nodes send them on to backends, except for a NodePort of this
    /// node; and then an answer from a third node would not come back through this one.
    pub pod_cidrs: BTreeSet<Prefix>,
    /// Ranges of ClusterIPs; an address in them that no Service has is dropped.
    pub service_cidrs: BTreeSet<Prefix>,
    /// Addresses in `service_cidrs` that this node answers itself, such as the cluster DNS address.
    pub local_vips: BTreeSet<IpAddr>,
    /// ClusterIPs of Services that another proxy serves, and which: their packets are that proxy's to translate.
    pub served_elsewhere: SharedMap<IpAddr, BTreeSet<ServiceName>>,
    /// Ports at which load balancers ask whether this node has endpoints of a Service.
    pub health_checks: BTreeMap<Port, HealthCheck>,
}

/// What a load balancer is told at a Service's `healthCheckNodePort`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// The Service.
    pub service: ServiceName,
    /// Addresses of ready endpoints on this node.
    pub local_endpoints: usize,
}

/// What a client aims at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Frontend {
    /// Where.
    pub address: FrontendAddress,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Service port, NodePort or host port.
    pub port: Port,
}

/// The address half of a [`Frontend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FrontendAddress {
    /// A virtual address.
    Vip(IpAddr),
    /// Any of [`ServiceTable::node_addresses`]: a `nodePort`, or a `hostPort`.
    NodePort,
}

impl From<&PortMapping> for Frontend {
    fn from(mapping: &PortMapping) -> Self {
        let address = mapping.host_ip.map_or(FrontendAddress::NodePort, FrontendAddress::Vip);
        Self { address, protocol: mapping.protocol, port: mapping.host_port }
    }
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            FrontendAddress::Vip(address @ IpAddr::V6(_)) => {
                write!(f, "[{address}]:{}/{}", self.port, self.protocol)
            }
            FrontendAddress::Vip(address) => write!(f, "{address}:{}/{}", self.port, self.protocol),
            FrontendAddress::NodePort => write!(f, "nodePort {}/{}", self.port, self.protocol),
        }
    }
}

/// What becomes of traffic to one [`Frontend`] on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendRule {
    /// The Service, or for [`FrontendScope::HostPort`] the Pod, or a container that is of none, in no Namespace.
    pub owner: NamespacedName,
    /// `spec.ports[].name` (of a Pod, its container port's name), empty when unnamed.
    pub port_name: String,
    /// Which kind of address this is.
    pub scope: FrontendScope,
    /// For clients on this node: its Pods, and the node itself.
    pub internal: Outcome,
    /// For all other clients.
    pub external: Outcome,
    /// `sessionAffinity: ClientIP` with this timeout in seconds, 1 to 86400.
    pub affinity_seconds: Option<u32>,
    /// How one of several backends is chosen.
    #[serde(skip_serializing_if = "Scheduling::is_default")]
    pub scheduling: Scheduling,
    /// `loadBalancerSourceRanges` of this address family; `None` lets every client in.
    pub source_ranges: Option<BTreeSet<Prefix>>,
    /// What its endpoints come from; for explain.
    pub endpoints: EndpointOrigin,
    /// Every endpoint that was considered, and why it is or is not used; for explain.
    pub candidates: Vec<Candidate>,
}

/// What the endpoints of a Service come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum EndpointOrigin {
    /// `spec.selector`: a controller writes the EndpointSlices.
    Selector,
    /// EndpointSlices of these names, which somebody writes by hand.
    Slices(BTreeSet<String>),
    /// The Pod that asks for the port is the only one.
    Pod,
}

/// Which field a frontend's address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum FrontendScope {
    /// `spec.clusterIPs`.
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// `spec.ports[].nodePort`.
    NodePort,
    /// `status.loadBalancer.ingress[].ip`.
    LoadBalancer,
    /// `spec.externalIPs`.
    #[serde(rename = "ExternalIP")]
    ExternalIp,
    /// `spec.containers[].ports[].hostPort` of a Pod of this node, or what its container runtime asked for.
    HostPort,
}

impl FrontendRule {
    /// The object that has the frontend.
    #[must_use]
    pub fn owner_ref(&self) -> ObjectRef {
        match self.scope {
            FrontendScope::HostPort if self.owner.namespace.is_empty() => {
                ObjectRef::cluster("Container", &self.owner.name)
            }
            FrontendScope::HostPort => ObjectRef::namespaced("Pod", &self.owner),
            _ => ObjectRef::namespaced("Service", &self.owner),
        }
    }
}

/// What becomes of a connection to a frontend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Sent to one of `backends`, as [`FrontendRule::scheduling`] says.
    Forward {
        /// Never empty.
        backends: Shared<BTreeSet<Backend>>,
        /// What the backend sees as the source address.
        source: SourceAddress,
    },
    /// No endpoint anywhere: refused (TCP reset, ICMP port unreachable).
    Reject,
    /// A `Local` traffic policy and no endpoint on this node: dropped.
    Drop,
}

/// What a backend sees as the source address. A Pod that reaches itself always sees the node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SourceAddress {
    /// The client's, always.
    Kept,
    /// The client's if it is a Pod, else this node's.
    KeptForPods,
    /// This node's.
    Node,
}

/// An address and port a frontend may send to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// Endpoint address.
    pub address: IpAddr,
    /// Endpoint port.
    pub port: Port,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", std::net::SocketAddr::new(self.address, self.port.number()))
    }
}

/// An endpoint that was considered for a frontend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Where it is.
    pub backend: Backend,
    /// `targetRef`, when it is a Pod.
    pub pod: Option<PodName>,
    /// `nodeName`.
    pub node: Option<NodeName>,
    /// Conditions of the endpoint.
    pub state: BackendState,
    /// Why it is not used for internal clients; `None` means it is used.
    pub excluded_internal: Option<Exclusion>,
    /// Why it is not used for external clients; `None` means it is used.
    pub excluded_external: Option<Exclusion>,
}

/// Conditions of an endpoint, as in EndpointSlice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendState {
    /// `conditions.ready`.
    pub ready: bool,
    /// `conditions.serving`.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
}

/// Why an endpoint is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Exclusion {
    /// `conditions.ready` is false.
    NotReady,
    /// It is terminating, and others are ready.
    Terminating,
    /// On another node, while the traffic policy is `Local`.
    OtherNode,
    /// Topology hints prefer endpoints in another place.
    OtherZone,
}

fn as_entries<S: serde::Serializer>(
    frontends: &SharedMap<Frontend, FrontendRule>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(frontends.iter().map(|(frontend, rule)| (frontend.to_string(), rule)))
}
