//! Names of the cluster domain and what they stand for.

mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
pub use settings::{
    AccessAction, AccessRule, AnswerPart, AnswerRewrite, BlockedAnswer, CacheLimits, ClientFiles, DnsAccess,
    DnsBlock, DnsBlocklist, DnsCache, DnsForward, DnsHosts, DnsKubernetes, DnsLog, DnsRewrite, DnsSettings,
    DnsTemplate, ExposedNamespaces, Fallthrough, ForwardPolicy, ForwardTransport, LogClass, NameMatcher,
    OptionChange, OptionData, PodNames, Prefetch, ReverseZones, RewriteRule, RewriteThen, SearchPath,
    TemplatePart, TemplateText, Upstream,
};
use types::{Port, Prefix, Protocol, ServiceName, Shared, SharedMap};

/// Everything a DNS server of the cluster needs to answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsPlan {
    /// Cluster domain without trailing dot, lower case, such as `cluster.local`.
    pub cluster_domain: String,
    /// The cluster DNS addresses (a node holds them locally).
    pub addresses: BTreeSet<IpAddr>,
    /// Namespaces that exist.
    pub namespaces: Shared<BTreeSet<String>>,
    /// Services by namespace and name.
    pub services: SharedMap<ServiceName, DnsService>,
    /// Pod addresses and the Pod's namespace, for `pod` records (CoreDNS `pods verified`).
    pub pods: SharedMap<IpAddr, String>,
    /// Addresses of Pods whose resolver has another search path than `dnsPolicy: ClusterFirst` gives.
    pub own_search: SharedMap<IpAddr, ()>,
    /// The search domains of the node itself, which its kubelet puts behind those of the cluster.
    pub node_search: Vec<String>,
    /// Ranges whose reverse names are answered here alone (Pod and Service ranges): an unknown address in them
    /// does not exist, instead of being asked elsewhere.
    pub reverse_ranges: BTreeSet<Prefix>,
    /// The servers the node itself asks, for [`Upstream::Node`].
    pub upstreams: Vec<SocketAddr>,
    /// What is done with all other names.
    pub settings: Shared<DnsSettings>,
    /// Time to live of answers, in seconds; CoreDNS's default is 5.
    pub ttl_seconds: u32,
}

/// One Service as DNS sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsService {
    /// Which answers it gives.
    pub kind: DnsServiceKind,
    /// Endpoints with names of their own: all ready ones (all, with `publishNotReadyAddresses`).
    pub endpoints: Vec<DnsEndpoint>,
}

/// What a Service's own name answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DnsServiceKind {
    /// Its cluster addresses.
    ClusterIp {
        /// `spec.clusterIPs`.
        addresses: BTreeSet<IpAddr>,
        /// Named ports, with the Service's port numbers.
        ports: Vec<DnsPort>,
    },
    /// Its endpoints' addresses; with no endpoint the name does not exist (CoreDNS).
    Headless {
        /// Which of them are in each topology zone, by its name in lower case; nothing unless a server block answers names
        /// of zones ([`DnsKubernetes::zonal`]).
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        zones: BTreeMap<String, BTreeSet<IpAddr>>,
    },
    /// A CNAME to this name, without trailing dot.
    ExternalName {
        /// `spec.externalName`.
        target: String,
    },
}

/// An endpoint of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsEndpoint {
    /// First label of the endpoint's name: its hostname, or its address with dashes.
    pub hostname: String,
    /// Its address.
    pub address: IpAddr,
    /// Named ports, with the endpoint's port numbers.
    pub ports: Vec<DnsPort>,
}

/// A named port, for SRV records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsPort {
    /// Port name; empty when unnamed, which gives no `_port._protocol` name but an SRV record of the Service's own
    /// name (CoreDNS).
    pub name: String,
    /// Protocol.
    pub protocol: Protocol,
    /// Port number.
    pub port: Port,
}

impl DnsServiceKind {
    /// Of a headless Service, with nothing about zones.
    #[must_use]
    pub fn headless() -> Self {
        Self::Headless { zones: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_cost_nothing_where_they_are_not_asked_for() {
        let largest = size_of::<(BTreeSet<IpAddr>, Vec<DnsPort>)>();
        assert_eq!(size_of::<DnsServiceKind>(), largest, "no more than the kind that most Services are of");
    }
}
