//! The loop of a DNS server that is no node's agent: a Deployment behind a Service, as CoreDNS runs.

use std::sync::Arc;
use std::time::Instant;

use plan::DnsPlan;
use serve_admin::{Admin, Stage};
use serve_dns::DnsServer;
use watch::Access;

use crate::due::Due;
use crate::inbox::Inbox;
use crate::observed::Observed;
use crate::report::{log_report, timed, timed_compile, watch_metrics};

pub use crate::settings::NamesSettings;

/// Runs until the process is asked to end: watches what names come from, compiles, answers.
///
/// Names are compiled as a whole with every change; a node's agent has the short way, because it has the rules to follow
/// as well.
///
/// # Errors
/// When it cannot start: credentials, signals, the admin address. Once running, failures are retried.
pub async fn run(settings: NamesSettings) -> anyhow::Result<()> {
    let client = watch::connect(&Access::kubeconfig_or_in_cluster(settings.kubeconfig.clone())).await?;
    let admin = Admin::new();
    let _server = match settings.admin {
        Some(address) => Some(serve_admin::serve(Arc::clone(&admin), address).await?),
        None => None,
    };
    let mut inbox = Inbox::open_for_names(&client)?;
    if let Some(path) = settings.resolvers.file.clone() {
        inbox.follow_resolvers(path);
    }
    let (listen, port) = (settings.listen.clone(), settings.port);
    let config = serve_dns::Config { listen, port, ..serve_dns::Config::default() };
    let server = DnsServer::start(config);
    let statistics = server.statistics_source();
    admin.show_metrics(Box::new(move || statistics().to_metrics() + &watch_metrics()));
    log_report(0, &server.listen(settings.listen.iter().copied()));
    let mut context = settings.context();
    let mut observed = Observed::default();
    let mut due = Due::default();
    let mut last: Option<Arc<DnsPlan>> = None;
    let mut revision = 0;
    loop {
        for event in inbox.next(due.at()).await {
            observed.fold(event);
        }
        if observed.is_stopping() {
            server.stop().await;
            return Ok(());
        }
        if !observed.is_synced() {
            continue;
        }
        observed.inform_names(&mut context, &settings.resolvers);
        let (plan, findings) = timed_compile(&admin, || compile::names_plan(&observed.snapshot, &context));
        let is_new = last.as_deref() != Some(&plan);
        if !is_new && !due.is_due(Instant::now()) {
            continue;
        }
        let plan = Arc::new(plan);
        revision += u64::from(is_new);
        let publish = async { server.publish(&plan, revision) };
        let report = timed(&admin, Stage::Publish, publish).await;
        admin.metrics().reached("names", revision);
        log_report(revision, &report);
        due.remember(&report, Instant::now());
        admin.publish(serve_admin::Status {
            revision,
            plan: Some(serve_admin::Plan::Names(Arc::clone(&plan))),
            findings: findings.into_iter().collect(),
            report,
        });
        last = Some(plan);
    }
}
