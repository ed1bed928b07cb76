//! The cluster that every scenario starts from, and what its nodes know.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use compile::{
    ClusterContext, HttpEntry, NodeContext, NodeMask, PodLinkMtu, TunnelMode, Underlay, UnderlayAddress,
};
use types::{IpFamily, LinkName, Masquerading, NetworkMode, NodeName, Port};

/// Manifests of the lab: three nodes in three zones, the API server's Service and the cluster DNS.
pub const LAB_MANIFESTS: &str = include_str!("lab.yaml");
/// The same with IPv6 alone.
pub const LAB_MANIFESTS_V6: &str = include_str!("lab6.yaml");

const CONTROLLERS: [&str; 2] = ["sealane.dev/ingress", "k8s.io/ingress-nginx"];

fn parsed<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is a constant of the lab and well formed"))
}

fn controllers() -> BTreeSet<String> {
    CONTROLLERS.into_iter().map(str::to_owned).collect()
}

/// What belongs to one family.
struct Numbers {
    subnet: &'static str,
    dns: &'static str,
    pods: &'static str,
    services: &'static str,
    upstream: &'static str,
    pool: &'static str,
}

fn numbers(family: IpFamily) -> Numbers {
    match family {
        IpFamily::V4 => Numbers {
            subnet: "172.31.0.0/24",
            dns: "10.96.0.10",
            pods: "10.244.0.0/16",
            services: "10.96.0.0/16",
            upstream: "172.31.0.1:53",
            pool: "172.31.0.200-172.31.0.250",
        },
        IpFamily::V6 => Numbers {
            subnet: "fd00:31::/64",
            dns: "fd00:96::a",
            pods: "fd00:244::/48",
            services: "fd00:96::/112",
            upstream: "[fd00:31::1]:53",
            pool: "fd00:31::200-fd00:31::250",
        },
    }
}

/// What a node of the lab knows; its underlay address says which family the lab has.
#[must_use]
pub fn node_context(node: &NodeName, underlay: IpAddr, tunnel: TunnelMode) -> NodeContext {
    let numbers = numbers(IpFamily::of(underlay));
    NodeContext {
        node: node.clone(),
        underlay: Underlay {
            link: LinkName::from("eth0"),
            addresses: vec![UnderlayAddress { address: underlay, subnet: Some(parsed(numbers.subnet)) }],
            mtu: 1500,
        },
        tunnel,
        pod_links: NetworkMode::default(),
        pod_link_mtu: PodLinkMtu::default(),
        masquerade: Masquerading::default(),
        cluster_domain: "cluster.local".to_owned(),
        dns_addresses: BTreeSet::from([parsed(numbers.dns)]),
        pod_cidrs: BTreeSet::from([parsed(numbers.pods)]),
        service_cidrs: BTreeSet::from([parsed(numbers.services)]),
        upstreams: vec![parsed(numbers.upstream)],
        search_domains: Vec::new(),
        http_entry: Some(HttpEntry { http: Port::new(80), https: Port::new(443) }),
        ingress_controllers: controllers(),
        lb_pools: vec![parsed(numbers.pool)],
        lb_class: None,
        attachments: BTreeMap::new(),
        failing_paths: BTreeMap::new(),
    }
}

/// What the cluster loop of the lab knows.
#[must_use]
pub fn cluster_context() -> ClusterContext {
    cluster_context_of(IpFamily::V4)
}

pub(crate) fn cluster_context_of(family: IpFamily) -> ClusterContext {
    let numbers = numbers(family);
    ClusterContext {
        pod_cidrs: vec![parsed(numbers.pods)],
        node_mask: NodeMask::default(),
        service_cidrs: BTreeSet::from([parsed(numbers.services)]),
        dns_addresses: BTreeSet::from([parsed(numbers.dns)]),
        ingress_controllers: controllers(),
        lb_pools: vec![parsed(numbers.pool)],
        lb_class: None,
    }
}
