//! Snapshot to plan: one total, deterministic function per feature.
//!
//! Three entry points: [`node_plan`] says what should be true on one node, [`cluster_plan`] what should be true once
//! for the cluster, [`names_plan`] what a DNS server beside them answers. A [`Compiler`] says the same as [`node_plan`], again and again, at the cost of what has changed. Nothing
//! fails here: what cannot be honoured is left out, closed rather than open, and becomes a
//! [`plan::Finding`].

mod compiler;
mod conditions;
mod context;
mod corefile;
mod dns;
mod endpoints;
mod findings;
mod gateway;
mod health_checks;
mod host_ports;
mod lb;
mod paths;
mod podnet;
mod pods;
mod policy;
mod pools;
mod service_checks;
mod services;
mod status;
mod told;
mod underlay;

pub use compiler::{Compiler, Work};
pub use context::{
    ClusterContext, HttpEntry, NamesContext, NodeContext, NodeMask, PodLinkMtu, PodLinkMtuError, Underlay,
    UnderlayAddress,
};
pub use paths::paths_to_prove;
pub use podnet::ranges::{RangeError, check_ranges};
pub use pools::{pools, pools_to_tell};
pub use types::TunnelMode;

use std::collections::BTreeSet;

use model::Snapshot;
use plan::{ClusterPlan, DnsPlan, Finding, NodePlan};

use crate::endpoints::{SliceIndex, SlicesByService};
use crate::pods::PodDirectory;

/// Everything that should be true on the context's node, and what of the cluster could not be honoured.
///
/// The findings are sorted and without repetition.
#[must_use]
pub fn node_plan(snapshot: &Snapshot, context: &NodeContext) -> (NodePlan, Vec<Finding>) {
    let context = &*context.with_ranges_of(snapshot);
    let mut findings = BTreeSet::new();
    let index = SliceIndex::new(snapshot);
    let slices = SlicesByService::new(snapshot, &index);
    let pods = PodDirectory::new(snapshot, context, &pods::pods_of_node(snapshot, &context.node));
    let lb = lb::announcements(snapshot, slices, context);
    let plan = NodePlan {
        node: context.node.clone(),
        podnet: podnet::compile(snapshot, context, &pods, &lb, &mut findings).into(),
        services: services::compile(snapshot, slices, context, &pods, &mut findings),
        policy: policy::compile(snapshot, context, &pods).into(),
        dns: dns::compile(snapshot, &context.names()),
        gateway: gateway::compile(snapshot, slices, context, &mut findings).into(),
        lb: lb.into(),
    };
    findings::of_input(snapshot, &mut findings);
    (plan, findings.into_iter().collect())
}

/// What a DNS server that is no node's agent answers, and what its Corefile says that could not be honoured.
#[must_use]
pub fn names_plan(snapshot: &Snapshot, context: &NamesContext) -> (DnsPlan, Vec<Finding>) {
    let mut findings = BTreeSet::new();
    let plan = dns::compile(snapshot, &context.with_ranges_of(snapshot));
    corefile::check(snapshot, &mut findings);
    (plan, findings.into_iter().collect())
}

/// Everything that should be true once for the cluster.
#[must_use]
pub fn cluster_plan(snapshot: &Snapshot, context: &ClusterContext) -> ClusterPlan {
    let context = &*context.with_ranges_of(snapshot);
    let mut findings = BTreeSet::new();
    let index = SliceIndex::new(snapshot);
    let slices = SlicesByService::new(snapshot, &index);
    let pod_cidrs = podnet::ranges::assign(snapshot, context, &mut findings);
    let mut statuses = status::of_services(snapshot, context, &mut findings);
    statuses.extend(status::of_ingresses(snapshot, context));
    services::check(snapshot, &context.local_vips(), &mut findings);
    service_checks::check(snapshot, slices, &mut findings);
    gateway::check(snapshot, slices, &context.ingress_controllers, &mut findings);
    podnet::ranges::check(snapshot, &context.service_cidrs, &mut findings);
    told::check(snapshot, &mut findings);
    corefile::check(snapshot, &mut findings);
    findings::of_input(snapshot, &mut findings);
    statuses.extend(conditions::of_findings(snapshot, &findings));
    ClusterPlan { pod_cidrs, statuses, findings }
}
