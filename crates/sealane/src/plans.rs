//! The plans of all nodes, made here from the API's objects: what explain, status and plan look at.
//!
//! Compilation is a pure function, so the command line needs no agent: whoever may read the objects sees the same
//! plans the agents have, once both have seen the same objects.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use agent::node::IpRange;
use clap::Args;
use compile::{ClusterContext, HttpEntry, NodeContext, PodLinkMtu, Underlay, UnderlayAddress};
use model::Snapshot;
use plan::Finding;
use types::{LinkName, Port, Prefix};

/// What the objects of the API do not say about a cluster.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClusterFacts {
    /// Cluster domain.
    #[arg(
        long,
        env = "SEALANE_CLUSTER_DOMAIN",
        value_name = "NAME",
        default_value = "cluster.local",
        help_heading = "Cluster"
    )]
    pub(crate) cluster_domain: String,
    /// Cluster DNS address.
    #[arg(
        long,
        env = "SEALANE_CLUSTER_DNS",
        value_name = "ADDRESS",
        default_value = "10.96.0.10",
        help_heading = "Cluster"
    )]
    pub(crate) cluster_dns: Vec<IpAddr>,
    /// Range of Pod addresses.
    #[arg(
        long,
        env = "SEALANE_POD_CIDR",
        value_name = "RANGE",
        default_value = "10.244.0.0/16",
        help_heading = "Cluster"
    )]
    pub(crate) pod_cidr: Vec<Prefix>,
    /// Range of Service addresses.
    #[arg(
        long,
        env = "SEALANE_SERVICE_CIDR",
        value_name = "RANGE",
        default_value = "10.96.0.0/16",
        help_heading = "Cluster"
    )]
    pub(crate) service_cidr: Vec<Prefix>,
    /// Range of LoadBalancer addresses: a prefix, or first and last address joined by `-`.
    #[arg(
        long,
        env = "SEALANE_LB_POOL",
        default_value = "172.31.0.200-172.31.0.250",
        value_name = "RANGE",
        help_heading = "Cluster"
    )]
    pub(crate) lb_pool: Vec<IpRange>,
}

/// What is so in a lab.
impl Default for ClusterFacts {
    fn default() -> Self {
        let range = |text: &str| vec![text.parse().expect("a constant range")];
        Self {
            cluster_domain: "cluster.local".to_owned(),
            cluster_dns: vec![IpAddr::from([10, 96, 0, 10])],
            pod_cidr: range("10.244.0.0/16"),
            service_cidr: range("10.96.0.0/16"),
            lb_pool: vec!["172.31.0.200-172.31.0.250".parse().expect("a constant range")],
        }
    }
}

impl ClusterFacts {
    /// What a Node's agent knows. What the Node does not tell is as agents are without being told, on Ethernet.
    fn context(&self, node: &model::Node) -> Option<NodeContext> {
        if node.addresses.is_empty() {
            return None;
        }
        let told = node.network.facts();
        let underlay = told.and_then(|facts| Underlay::of(&facts.underlay));
        let held = |address: &IpAddr| UnderlayAddress { address: *address, subnet: None };
        let underlay = underlay.unwrap_or_else(|| Underlay {
            link: LinkName::from("eth0"),
            addresses: node.addresses.iter().map(held).collect(),
            mtu: 1500,
        });
        Some(NodeContext {
            node: node.name.clone(),
            underlay,
            pod_links: told.map(|facts| facts.links).unwrap_or_default(),
            pod_link_mtu: PodLinkMtu::default(),
            masquerade: told.map(|facts| facts.masquerade.clone()).unwrap_or_default(),
            tunnel: told.map(|facts| facts.tunnel).unwrap_or_default(),
            cluster_domain: self.cluster_domain.clone(),
            dns_addresses: self.cluster_dns.iter().copied().collect(),
            pod_cidrs: self.pod_cidr.iter().copied().collect(),
            service_cidrs: self.service_cidr.iter().copied().collect(),
            upstreams: Vec::new(),
            http_entry: Some(HttpEntry { http: Port::new(80), https: Port::new(443) }),
            ingress_controllers: agent::ingress_controllers(),
            lb_pools: self.lb_pool.clone(),
            lb_class: None,
            attachments: BTreeMap::new(),
            failing_paths: told.map(|facts| facts.paths.failing.clone()).unwrap_or_default(),
        })
    }
}

/// The plans of all nodes.
pub(crate) fn compile_all(snapshot: &Snapshot, facts: &ClusterFacts) -> explain::Cluster {
    let contexts = snapshot.nodes.values().filter_map(|node| facts.context(node));
    let plans = contexts.map(|context| (context.node.clone(), compile::node_plan(snapshot, &context).0));
    explain::Cluster { plans: plans.collect() }
}

/// What of the cluster's objects could not be honoured.
pub(crate) fn findings(snapshot: &Snapshot, facts: &ClusterFacts) -> BTreeSet<Finding> {
    let context = ClusterContext {
        dns_addresses: facts.cluster_dns.iter().copied().collect(),
        ingress_controllers: agent::ingress_controllers(),
        lb_pools: facts.lb_pool.clone(),
        service_cidrs: facts.service_cidr.iter().copied().collect(),
        ..ClusterContext::default()
    };
    let mut findings = compile::cluster_plan(snapshot, &context).findings;
    for context in snapshot.nodes.values().filter_map(|node| facts.context(node)) {
        findings.extend(compile::node_plan(snapshot, &context).1);
    }
    findings
}
