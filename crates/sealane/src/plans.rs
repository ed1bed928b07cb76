//! The plans of all nodes, made here from the API's objects: what explain, status and plan look at.
//!
//! Compilation is a pure function, so the command line needs no agent: whoever may read the objects sees the same
//! plans the agents have, once both have seen the same objects.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use agent::node::IpRange;
use clap::Args;
use compile::{ClusterContext, HttpEntry, NodeContext, PodLinkMtu, Underlay, UnderlayAddress};
use lab::address::{FamilyAddresses, LabFamilies};
use model::Snapshot;
use plan::Finding;
use types::{IpFamily, LinkName, Port, Prefix};

/// What the objects of the API do not say about a cluster. What is of a family that no Node has a Pod range of is left
/// out: the lab's values stand for labs of each family.
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
        default_values = ["10.96.0.10", "fd00:10:96::a"],
        help_heading = "Cluster"
    )]
    pub(crate) cluster_dns: Vec<IpAddr>,
    /// Range of Pod addresses.
    #[arg(
        long,
        env = "SEALANE_POD_CIDR",
        value_name = "RANGE",
        default_values = ["10.244.0.0/16", "fd00:10:244::/56"],
        help_heading = "Cluster"
    )]
    pub(crate) pod_cidr: Vec<Prefix>,
    /// Range of Service addresses.
    #[arg(
        long,
        env = "SEALANE_SERVICE_CIDR",
        value_name = "RANGE",
        default_values = ["10.96.0.0/16", "fd00:10:96::/112"],
        help_heading = "Cluster"
    )]
    pub(crate) service_cidr: Vec<Prefix>,
    /// Range of LoadBalancer addresses: a prefix, or first and last address joined by `-`.
    #[arg(
        long,
        env = "SEALANE_LB_POOL",
        default_values = ["172.31.0.200-172.31.0.250", "fd00:172:31::200-fd00:172:31::250"],
        value_name = "RANGE",
        help_heading = "Cluster"
    )]
    pub(crate) lb_pool: Vec<IpRange>,
}

/// What is so in a lab.
impl Default for ClusterFacts {
    fn default() -> Self {
        let at = || LabFamilies::Dual.addresses();
        let pool = |at: FamilyAddresses| IpRange::new(at.load_balancer_pool.0, at.load_balancer_pool.1);
        Self {
            cluster_domain: lab::address::CLUSTER_DOMAIN.to_owned(),
            cluster_dns: at().map(|at| at.cluster_dns).collect(),
            pod_cidr: at().map(|at| at.pod_cidr).collect(),
            service_cidr: at().map(|at| at.service_cidr).collect(),
            lb_pool: at().filter_map(pool).collect(),
        }
    }
}

impl ClusterFacts {
    /// What of this is about the families of these Nodes' Pods.
    fn fitting(&self, snapshot: &Snapshot) -> Self {
        let ranges = snapshot.nodes.values().flat_map(|node| &node.pod_cidrs);
        let families: BTreeSet<IpFamily> = ranges.map(|range| range.family()).collect();
        let fits = |family| families.is_empty() || families.contains(&family);
        let mut fitting = self.clone();
        fitting.cluster_dns.retain(|address| fits(IpFamily::of(*address)));
        fitting.pod_cidr.retain(|range| fits(range.family()));
        fitting.service_cidr.retain(|range| fits(range.family()));
        fitting.lb_pool.retain(|range| fits(IpFamily::of(range.first())));
        fitting
    }

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
            search_domains: Vec::new(),
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
    let facts = facts.fitting(snapshot);
    let contexts = snapshot.nodes.values().filter_map(|node| facts.context(node));
    let plans = contexts.map(|context| (context.node.clone(), compile::node_plan(snapshot, &context).0));
    explain::Cluster { plans: plans.collect() }
}

/// What of the cluster's objects could not be honoured.
pub(crate) fn findings(snapshot: &Snapshot, facts: &ClusterFacts) -> BTreeSet<Finding> {
    let facts = facts.fitting(snapshot);
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Typed {
        #[command(flatten)]
        facts: ClusterFacts,
    }

    #[test]
    fn what_is_not_typed_is_as_in_a_lab() {
        let shown = |facts: &ClusterFacts| format!("{facts:?}");
        assert_eq!(shown(&Typed::parse_from(["x"]).facts), shown(&ClusterFacts::default()));
    }

    #[test]
    fn families_that_no_node_has_are_left_out() {
        let mut snapshot = Snapshot::default();
        let facts = |snapshot: &Snapshot| ClusterFacts::default().fitting(snapshot);
        assert_eq!(facts(&snapshot).pod_cidr.len(), 2, "nothing is known yet");
        let node = model::Node {
            name: "a".into(),
            addresses: Vec::new(),
            pod_cidrs: vec!["fd00:10:244::/64".parse().unwrap()],
            zone: None,
            ready: true,
            conditions: Default::default(),
            excluded_from_load_balancers: false,
            deleting: false,
            to_be_deleted: false,
            network: model::Told::Nothing,
        };
        snapshot.nodes.insert(node.name.clone(), node);
        let only = facts(&snapshot);
        assert_eq!(only.cluster_dns, ["fd00:10:96::a".parse::<IpAddr>().unwrap()]);
        assert_eq!((only.pod_cidr.len(), only.service_cidr.len(), only.lb_pool.len()), (1, 1, 1));
        assert_eq!(only.service_cidr[0].to_string(), "fd00:10:96::/112");
    }
}
