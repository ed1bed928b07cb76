//! Health, health checks of load balancers, metrics and the current plan over HTTP.
//!
//! Answers from what was last published and never asks anybody: a stuck loop still shows its last plan. Everything
//! is read-only, and nothing secret is in a plan (keys are not serialized).

#![allow(clippy::disallowed_methods, reason = "a shell crate: it is here that the admin socket is served")]

mod answer;
mod health_checks;
mod liveness;
mod metrics;
mod server;

pub use health_checks::HealthChecks;
pub use liveness::Liveness;
pub use metrics::{Metrics, Stage};
pub use server::{Error, Server, serve};

use std::sync::Arc;

use arc_swap::ArcSwap;
use plan::{ClusterPlan, DnsPlan, FindingSet, NodePlan, Report, Revision};
use types::PodName;

/// What the loop says about itself.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Revision of the plan in force; 0 before the first.
    pub revision: Revision,
    /// The plan in force.
    pub plan: Option<Plan>,
    /// What in the input could not be honoured.
    pub findings: FindingSet,
    /// What the last converge did and could not do.
    pub report: Report,
}

/// A plan of either loop.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Of one node.
    Node(Arc<NodePlan>),
    /// Of the cluster.
    Cluster(Arc<ClusterPlan>),
    /// Of a DNS server alone.
    Names(Arc<DnsPlan>),
}

/// Whether a Pod is an endpoint of a Service, and not terminating.
pub type IsEndpoint = Box<dyn Fn(&PodName) -> bool + Send + Sync>;

/// The last line (OpenMetrics 1.0, "Overall Structure").
const END_OF_METRICS: &str = "# EOF\n";

/// What another part of the process counts, in OpenMetrics' text form without its last line.
pub type MoreMetrics = Box<dyn Fn() -> String + Send + Sync>;

/// Holds what is published, and the metrics.
pub struct Admin {
    status: ArcSwap<Status>,
    endpoints: ArcSwap<IsEndpoint>,
    liveness: Liveness,
    metrics: Metrics,
    more_metrics: ArcSwap<MoreMetrics>,
}

impl Admin {
    /// Not ready, with nothing published.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            status: ArcSwap::default(),
            endpoints: ArcSwap::from_pointee(Box::new(|_: &PodName| false)),
            liveness: Liveness::new(),
            metrics: Metrics::new(),
            more_metrics: ArcSwap::from_pointee(Box::new(String::new)),
        })
    }

    /// Shows this from now on.
    pub fn publish(&self, status: Status) {
        self.metrics.show(&status);
        self.status.store(Arc::new(status));
    }

    /// How to tell the Pods in the EndpointSlices that the plan in force comes from; terminating endpoints left out.
    ///
    /// It is asked for single Pods, and seldom: nothing is worked out before.
    pub fn show_endpoints(&self, is_endpoint: IsEndpoint) {
        self.endpoints.store(Arc::new(is_endpoint));
    }

    /// Shows these metrics, too.
    pub fn show_metrics(&self, metrics: MoreMetrics) {
        self.more_metrics.store(Arc::new(metrics));
    }

    /// All metrics, in OpenMetrics' text form.
    pub(crate) fn metrics_text(&self) -> String {
        let own = self.metrics.to_text();
        let own = own.strip_suffix(END_OF_METRICS).unwrap_or(&own);
        format!("{own}{}{END_OF_METRICS}", (self.more_metrics.load())())
    }

    /// What was published last.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        self.status.load_full()
    }

    /// Whether the rules follow the cluster.
    #[must_use]
    pub fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// The metrics, to count into.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl Status {
    /// Ready once a plan has been brought about, even if parts of it failed and are retried.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.plan.is_some()
    }
}
