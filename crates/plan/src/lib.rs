//! What should be true on a node and in the cluster: plain, ordered, printable data.
//!
//! `compile` writes plans; `ruleset`, the engines, `apply-*` and `serve-*` read them. Nothing here acts, and
//! nothing here knows how a plan is brought about. Plans are serialized outwards only, never read back.

pub mod cluster;
pub mod dns;
pub mod finding;
pub mod gateway;
pub mod lb;
pub mod podnet;
pub mod policy;
pub mod report;
pub mod scheduling;
pub mod services;

pub use cluster::{ClusterPlan, ConditionChange, ConditionText, StatusWrite};
pub use dns::{
    AccessAction, AccessRule, AnswerPart, AnswerRewrite, BlockedAnswer, CacheLimits, ClientFiles, DnsAccess,
    DnsBlock, DnsBlocklist, DnsCache, DnsEndpoint, DnsForward, DnsHosts, DnsKubernetes, DnsLog, DnsPlan,
    DnsPort, DnsRewrite, DnsService, DnsServiceKind, DnsSettings, DnsTemplate, ExposedNamespaces,
    Fallthrough, ForwardPolicy, ForwardTransport, LogClass, NameMatcher, OptionChange, OptionData, PodNames,
    Prefetch, ReverseZones, RewriteRule, RewriteThen, SearchPath, TemplatePart, TemplateText, Upstream,
};
pub use finding::{Finding, FindingSet, Severity};
pub use gateway::{Certificate, GatewayPlan, HostMatch, HttpAction, HttpRoute, PathMatch, VirtualHost};
pub use lb::LbPlan;
pub use podnet::{BridgePort, LocalAddress, Masquerade, Peer, PeerPath, PodBridge, PodNetwork, Via, Vxlan};
pub use policy::{
    IpBlock, Isolation, PeerSet, Peers, PodPolicy, PolicyPorts, PolicyRule, PolicyTable, PortRange,
};
pub use report::{Failure, Report};
pub use scheduling::{Choice, Scheduling, Share};
pub use services::{
    Backend, BackendState, Candidate, EndpointOrigin, Exclusion, Frontend, FrontendAddress, FrontendRule,
    FrontendScope, HealthCheck, Outcome, ServiceTable, SourceAddress,
};

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::Serialize;
use types::{NodeName, Shared};

/// Counts the plans a node agent has made; named by every explain answer, metric and CNI reply.
pub type Revision = u64;

/// Everything that should be true on one node.
///
/// A copy is cheap, and parts and entries that did not change are shared with the plan before, so that whoever brings the
/// next plan about finds what differs at the cost of the difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePlan {
    /// The node this plan is for.
    pub node: NodeName,
    /// Routes, tunnels, addresses and masquerading.
    pub podnet: Shared<PodNetwork>,
    /// Service addresses and where they lead.
    pub services: ServiceTable,
    /// NetworkPolicy for this node's Pods.
    pub policy: Shared<PolicyTable>,
    /// Names and their answers.
    pub dns: DnsPlan,
    /// HTTP and TLS entry.
    pub gateway: Shared<GatewayPlan>,
    /// LoadBalancer addresses this node answers for.
    pub lb: Shared<LbPlan>,
}

impl NodePlan {
    /// Where the nodes that this one knows listen for the tunnel, by port: at all their addresses, also where they are
    /// reached without it, since others need it there. Empty where this node has no tunnel.
    #[must_use]
    pub fn tunnel_ends(&self) -> BTreeSet<SocketAddr> {
        let Some(vxlan) = &self.podnet.vxlan else { return BTreeSet::new() };
        let peers = self.podnet.peers.values().map(|peer| peer.underlay);
        let others = peers.chain(self.podnet.other_nodes.iter().copied());
        let own = self.services.node_addresses.iter().copied().chain([vxlan.underlay]);
        others.chain(own).map(|address| SocketAddr::new(address, vxlan.port)).collect()
    }
}
