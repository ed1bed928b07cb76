//! Where reports go besides the next decision: the log and the metrics.

use std::time::Instant;

use plan::{Report, Revision};
use serve_admin::{Admin, Stage};

/// Runs one stage and counts its time and outcome.
pub(crate) async fn timed(admin: &Admin, stage: Stage, work: impl Future<Output = Report>) -> Report {
    let start = Instant::now();
    let report = work.await;
    admin.metrics().observe(stage, start.elapsed(), &report);
    report
}

/// Makes a plan and counts the time it takes.
pub(crate) fn timed_compile<T>(admin: &Admin, compile: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let plan = compile();
    admin.metrics().observe(Stage::Compile, start.elapsed(), &Report::default());
    plan
}

/// What the API's silence means for who reads metrics, in OpenMetrics' text form.
pub(crate) fn watch_metrics() -> String {
    let (name, number) = ("sealane_watches_interrupted", watch::interrupted());
    let help = "Watches of the API that are interrupted: answers and rules are of what was known before";
    format!("# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {number}\n")
}

/// One line for what was written, one for each failure.
pub(crate) fn log_report(revision: Revision, report: &Report) {
    if report.written > 0 {
        tracing::info!(revision, written = report.written, "converged");
    }
    for failure in &report.failures {
        tracing::warn!(revision, what = failure.what, why = failure.why, "failed; will be tried again");
    }
}
