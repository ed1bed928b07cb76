//! The loop of the cluster, on one screen: what must be written once, by one process.

use std::sync::Arc;
use std::time::Instant;

use apply_kube::Writer;
use plan::ClusterPlan;
use serve_admin::{Admin, Stage};
use watch::Access;

use crate::due::Due;
use crate::herald::Herald;
use crate::inbox::Inbox;
use crate::observed::Observed;
use crate::report::{log_report, timed, timed_compile, watch_metrics};

pub use crate::settings::ClusterSettings;

/// Runs until the process is asked to end: watches, compiles, writes statuses, Pod ranges and Events.
///
/// # Errors
/// When it cannot start: credentials, signals, the admin address. Once running, failures are retried.
pub async fn run(settings: ClusterSettings) -> anyhow::Result<()> {
    let client = watch::connect(&Access::kubeconfig_or_in_cluster(settings.kubeconfig.clone())).await?;
    let admin = Admin::new();
    let _server = match settings.admin {
        Some(address) => Some(serve_admin::serve(Arc::clone(&admin), address).await?),
        None => None,
    };
    admin.show_metrics(Box::new(watch_metrics));
    let mut inbox = Inbox::open(&client)?;
    let writer = Writer::new(client.clone());
    let mut herald = Herald::new(client);
    let context = settings.context();
    let mut observed = Observed::default();
    let mut due = Due::default();
    let mut last: Option<Arc<ClusterPlan>> = None;
    let mut revision = 0;
    loop {
        for event in inbox.next(due.at().into_iter().chain(herald.due_at()).min()).await {
            observed.fold(event);
        }
        if observed.is_stopping() {
            return Ok(());
        }
        if !observed.is_synced() {
            continue;
        }
        let plan = timed_compile(&admin, || Arc::new(compile::cluster_plan(&observed.snapshot, &context)));
        let is_new = last.as_ref() != Some(&plan);
        let now = Instant::now();
        if !is_new && !due.is_due(now) && herald.due_at().is_none_or(|at| at > now) {
            continue;
        }
        revision += u64::from(is_new);
        let converge =
            async { apply_kube::converge(&writer, &plan).await.and(herald.tell(&plan.findings, now).await) };
        let report = timed(&admin, Stage::Kube, converge).await;
        log_report(revision, &report);
        due.remember(&report, Instant::now());
        admin.publish(serve_admin::Status {
            revision,
            plan: Some(serve_admin::Plan::Cluster(Arc::clone(&plan))),
            findings: plan.findings.iter().cloned().collect(),
            report,
        });
        last = Some(plan);
    }
}
