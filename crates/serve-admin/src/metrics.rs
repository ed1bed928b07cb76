//! What is counted, under which names.

use std::time::Duration;

use plan::{Report, Revision};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::{Plan, Status};

/// A part of one pass of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Snapshot to plan.
    Compile,
    /// Links, routes, neighbours, addresses.
    Netlink,
    /// nftables.
    Nft,
    /// ARP and NDP for LoadBalancer addresses.
    Announce,
    /// DNS and gateway.
    Publish,
    /// The Kubernetes API.
    Kube,
}

impl Stage {
    fn as_str(self) -> &'static str {
        match self {
            Self::Compile => "compile",
            Self::Netlink => "netlink",
            Self::Nft => "nft",
            Self::Announce => "announce",
            Self::Publish => "publish",
            Self::Kube => "kube",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabel {
    part: &'static str,
}

/// The registry and its entries.
pub struct Metrics {
    registry: Registry,
    revision: Gauge,
    revisions: Family<PartLabel, Gauge>,
    ready: Gauge,
    findings: Gauge,
    sizes: Family<PartLabel, Gauge>,
    durations: Family<StageLabel, Histogram, fn() -> Histogram>,
    writes: Family<StageLabel, Counter>,
    failures: Family<StageLabel, Gauge>,
}

/// 0.1 ms to about 3 s, doubling.
fn duration_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 15))
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("sealane"),
            revision: Gauge::default(),
            revisions: Family::default(),
            ready: Gauge::default(),
            findings: Gauge::default(),
            sizes: Family::default(),
            durations: Family::new_with_constructor(duration_histogram),
            writes: Family::default(),
            failures: Family::default(),
        };
        let Self { registry, revision, revisions, ready, findings, sizes, durations, writes, failures } =
            &mut metrics;
        registry.register("plan_revision", "Revision of the plan in force", revision.clone());
        let help = "Revision of the plan whose part was brought about last: rules, then names";
        registry.register("part_revision", help, revisions.clone());
        registry.register("ready", "1 once the first plan is in force", ready.clone());
        registry.register("findings", "Objects or fields that cannot be honoured", findings.clone());
        registry.register("plan_size", "Entries of the plan, by part", sizes.clone());
        registry.register_with_unit("stage", "Time spent, by stage", Unit::Seconds, durations.clone());
        registry.register("writes", "Changes written to the kernel or the API, by stage", writes.clone());
        registry.register("failures", "Items that failed and are retried, by stage", failures.clone());
        metrics
    }

    /// Counts one run of a stage.
    pub fn observe(&self, stage: Stage, took: Duration, report: &Report) {
        let label = StageLabel { stage: stage.as_str() };
        self.durations.get_or_create(&label).observe(took.as_secs_f64());
        self.writes.get_or_create(&label).inc_by(report.written as u64);
        self.failures.get_or_create(&label).set(as_gauge(report.failures.len()));
    }

    /// This part of the plan of this revision is there: `rules` in the kernel, `names` in the DNS server.
    pub fn reached(&self, part: &'static str, revision: Revision) {
        self.revisions.get_or_create(&PartLabel { part }).set(i64::try_from(revision).unwrap_or(i64::MAX));
    }

    pub(crate) fn show(&self, status: &Status) {
        self.revision.set(i64::try_from(status.revision).unwrap_or(i64::MAX));
        self.ready.set(i64::from(status.is_ready()));
        self.findings.set(as_gauge(status.findings.len()));
        for (part, size) in status.plan.iter().flat_map(sizes_of) {
            self.sizes.get_or_create(&PartLabel { part }).set(as_gauge(size));
        }
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("writing to a String cannot fail");
        text
    }
}

fn as_gauge(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn sizes_of(plan: &Plan) -> Vec<(&'static str, usize)> {
    match plan {
        Plan::Node(plan) => vec![
            ("peers", plan.podnet.peers.len()),
            ("local_pods", plan.podnet.local_pods.len()),
            ("frontends", plan.services.frontends.len()),
            ("policy_pods", plan.policy.pods.len()),
            ("dns_services", plan.dns.services.len()),
            ("gateway_hosts", plan.gateway.hosts.len()),
            ("announced_addresses", plan.lb.announce.len()),
        ],
        Plan::Names(plan) => vec![("dns_services", plan.services.len())],
        Plan::Cluster(plan) => vec![("statuses", plan.statuses.len()), ("pod_cidrs", plan.pod_cidrs.len())],
    }
}
