//! The cluster that every scenario starts from, and what its nodes know.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use compile::{
    ClusterContext, HttpEntry, NodeContext, NodeMask, PodLinkMtu, TunnelMode, Underlay, UnderlayAddress,
};
use types::{LinkName, Masquerading, NetworkMode, NodeName, Port};

/// Manifests of the lab: three nodes in three zones, the API server's Service and the cluster DNS.
pub const LAB_MANIFESTS: &str = include_str!("lab.yaml");

const CONTROLLERS: [&str; 2] = ["sealane.dev/ingress", "k8s.io/ingress-nginx"];

fn parsed<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is a constant of the lab and well formed"))
}

fn controllers() -> BTreeSet<String> {
    CONTROLLERS.into_iter().map(str::to_owned).collect()
}

fn dns_addresses() -> BTreeSet<IpAddr> {
    BTreeSet::from([parsed("10.96.0.10")])
}

/// What a node of the lab knows.
#[must_use]
pub fn node_context(node: &NodeName, underlay: IpAddr, tunnel: TunnelMode) -> NodeContext {
    NodeContext {
        node: node.clone(),
        underlay: Underlay {
            link: LinkName::from("eth0"),
            addresses: vec![UnderlayAddress { address: underlay, subnet: Some(parsed("172.31.0.0/24")) }],
            mtu: 1500,
        },
        tunnel,
        pod_links: NetworkMode::default(),
        pod_link_mtu: PodLinkMtu::default(),
        masquerade: Masquerading::default(),
        cluster_domain: "cluster.local".to_owned(),
        dns_addresses: dns_addresses(),
        pod_cidrs: BTreeSet::from([parsed("10.244.0.0/16")]),
        service_cidrs: BTreeSet::from([parsed("10.96.0.0/16")]),
        upstreams: vec![parsed("172.31.0.1:53")],
        http_entry: Some(HttpEntry { http: Port::new(80), https: Port::new(443) }),
        ingress_controllers: controllers(),
        lb_pools: vec![parsed("172.31.0.200-172.31.0.250")],
        lb_class: None,
        attachments: BTreeMap::new(),
        failing_paths: BTreeMap::new(),
    }
}

/// What the cluster loop of the lab knows.
#[must_use]
pub fn cluster_context() -> ClusterContext {
    ClusterContext {
        pod_cidrs: vec![parsed("10.244.0.0/16")],
        node_mask: NodeMask::default(),
        service_cidrs: BTreeSet::from([parsed("10.96.0.0/16")]),
        dns_addresses: dns_addresses(),
        ingress_controllers: controllers(),
        lb_pools: vec![parsed("172.31.0.200-172.31.0.250")],
        lb_class: None,
    }
}
