//! For tests only: object builders, scenario files, and the rule for skipping.
//!
//! A scenario is one file under `scenarios/<feature>/` that a network engineer can read: what the cluster holds, what
//! is planned for it, and what becomes of packets. See [`Scenario`] for its form.

mod ask;
mod builders;
mod expect;
mod lab;
mod manifests;
mod probe;
mod scenario;
mod seeded;
mod show;
mod slices;
mod traced;
mod walk;
mod world;

pub use builders::{mk_endpoint_slice, mk_namespace, mk_network_policy, mk_node, mk_pod, mk_service};
pub use expect::{Mismatch, check_probes, check_rules, rewrite};
pub use lab::{LAB_MANIFESTS, LAB_MANIFESTS_V6, cluster_context, node_context};
pub use manifests::{ManifestError, Manifests};
pub use probe::{Client, Outcome, Probe, ProbeError, Target};
pub use scenario::{Scenario, ScenarioError, Section};
pub use seeded::{RuleSeed, SEEDED_PORTS, Seeds};
pub use traced::TracedWorld;
pub use walk::{Fate, Seen, walk};
pub use world::{ResolvedProbe, World};

/// Says that a test cannot run here, in the form that `cargo xtask test` counts. The test returns right after.
pub fn skip(test: &str, reason: &str) {
    println!("sealane-skip: {test}: {reason}");
}
