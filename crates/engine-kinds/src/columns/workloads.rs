//! Columns of workload kinds and of what belongs to them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    AGE, CONTAINERS, IMAGES, NAME, SELECTOR, column, containers, integer_or_zero, number, text_or, wide,
};
use crate::age::{age_of, human_duration};
use crate::object::{integer, list, text};
use crate::row::Column;
use crate::selector_text::selector_text;

pub(crate) const STATEFUL_SET: &[Column] = &[
    NAME,
    column("Ready", |object, _| {
        let ready = integer(object, "/status/readyReplicas").unwrap_or(0);
        format!("{ready}/{}", integer(object, "/spec/replicas").unwrap_or(0)).into()
    }),
    AGE,
    CONTAINERS,
    IMAGES,
];

pub(crate) const DAEMON_SET: &[Column] = &[
    NAME,
    number("Desired", |object, _| integer_or_zero(object, "/status/desiredNumberScheduled")),
    number("Current", |object, _| integer_or_zero(object, "/status/currentNumberScheduled")),
    number("Ready", |object, _| integer_or_zero(object, "/status/numberReady")),
    number("Up-to-date", |object, _| integer_or_zero(object, "/status/updatedNumberScheduled")),
    number("Available", |object, _| integer_or_zero(object, "/status/numberAvailable")),
    column("Node Selector", |object, _| {
        super::network::plain_selector(object.pointer("/spec/template/spec/nodeSelector")).into()
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(crate) const JOB: &[Column] = &[
    NAME,
    column("Status", |job, _| json!(job_status(job))),
    column("Completions", |job, _| completions(job).into()),
    column("Duration", job_duration),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

/// Nothing is measured here, so the current side of each target is unknown (upstream: `formatHPAMetrics`).
pub(crate) const POD_AUTOSCALER: &[Column] =
    &pod_autoscaler(column("Targets", |scaler, _| scaling_targets(scaler).into()));

/// The same of the autoscaling/v1 form, whose metrics are in an annotation.
pub(crate) const POD_AUTOSCALER_V1: &[Column] = &pod_autoscaler(column("Targets", |scaler, _| {
    scaling_targets(&(crate::autoscaler::VIEW.to_stored)(scaler.clone())).into()
}));

const fn pod_autoscaler(targets: Column) -> [Column; 7] {
    [
        NAME,
        column("Reference", |scaler, _| {
            let part = |field: &str| text(scaler, &format!("/spec/scaleTargetRef/{field}"));
            format!("{}/{}", part("kind"), part("name")).into()
        }),
        targets,
        number("MinPods", |scaler, _| integer(scaler, "/spec/minReplicas").unwrap_or(1).into()),
        number("MaxPods", |scaler, _| integer_or_zero(scaler, "/spec/maxReplicas")),
        number("Replicas", |scaler, _| integer_or_zero(scaler, "/status/currentReplicas")),
        AGE,
    ]
}

fn scaling_targets(scaler: &Value) -> String {
    let targets = list(scaler, "/spec/metrics").iter().map(|metric| {
        let wanted = match integer(metric, "/resource/target/averageUtilization") {
            Some(percent) => format!("{percent}%"),
            None => text(metric, "/resource/target/averageValue").to_owned(),
        };
        match text(metric, "/resource/name") {
            "" => "<unknown>".to_owned(),
            resource => format!("{resource}: <unknown>/{wanted}"),
        }
    });
    let targets: Vec<String> = targets.collect();
    if targets.is_empty() { "<none>".to_owned() } else { targets.join(", ") }
}

pub(crate) const CRON_JOB: &[Column] = &[
    NAME,
    column("Schedule", |job, _| json!(text(job, "/spec/schedule"))),
    column("Timezone", |job, _| text_or(job, "/spec/timeZone", "<none>")),
    column("Suspend", |job, _| {
        json!(if job.pointer("/spec/suspend").is_some_and(|on| *on == true) { "True" } else { "False" })
    }),
    number("Active", |job, _| list(job, "/status/active").len().into()),
    column("Last Schedule", |job, now| match text(job, "/status/lastScheduleTime") {
        "" => json!("<none>"),
        _ => age_of(job, "/status/lastScheduleTime", now).into(),
    }),
    AGE,
    wide("Containers", |job, _| containers(&job["spec"]["jobTemplate"], "name")),
    wide("Images", |job, _| containers(&job["spec"]["jobTemplate"], "image")),
    wide("Selector", |job, _| {
        let text = selector_text(job.pointer("/spec/jobTemplate/spec/selector"));
        json!(if text.is_empty() { "<none>".to_owned() } else { text })
    }),
];

pub(crate) const CONTROLLER_REVISION: &[Column] = &[
    NAME,
    column("Controller", |revision, _| {
        let owners = list(revision, "/metadata/ownerReferences");
        let owner = owners.iter().find(|owner| owner["controller"] == true);
        owner.map_or_else(|| json!("<none>"), |owner| controller(owner).into())
    }),
    number("Revision", |revision, _| integer_or_zero(revision, "/revision")),
    AGE,
];

pub(crate) const DISRUPTION_BUDGET: &[Column] = &[
    NAME,
    column("Min Available", |budget, _| amount(budget, "/spec/minAvailable").into()),
    column("Max Unavailable", |budget, _| amount(budget, "/spec/maxUnavailable").into()),
    number("Allowed Disruptions", |budget, _| integer_or_zero(budget, "/status/disruptionsAllowed")),
    AGE,
];

/// `statefulset.apps/db`.
fn controller(owner: &Value) -> String {
    let (kind, version) = (text(owner, "/kind").to_lowercase(), text(owner, "/apiVersion"));
    let name = text(owner, "/name");
    match version.split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{name}"),
        None => format!("{kind}/{name}"),
    }
}

fn amount(object: &Value, pointer: &str) -> String {
    match object.pointer(pointer) {
        Some(Value::String(share)) => share.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => "N/A".to_owned(),
    }
}

fn job_status(job: &Value) -> &'static str {
    let holds = |type_: &str| {
        let mut conditions = list(job, "/status/conditions").iter();
        conditions.any(|held| text(held, "/type") == type_ && text(held, "/status") == "True")
    };
    if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if !text(job, "/metadata/deletionTimestamp").is_empty() {
        "Terminating"
    } else {
        let others = ["Suspended", "FailureTarget", "SuccessCriteriaMet"];
        others.into_iter().find(|type_| holds(type_)).unwrap_or("Running")
    }
}

fn completions(job: &Value) -> String {
    let done = integer(job, "/status/succeeded").unwrap_or(0);
    match (integer(job, "/spec/completions"), integer(job, "/spec/parallelism")) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, Some(parallelism)) if parallelism > 1 => format!("{done}/1 of {parallelism}"),
        (None, _) => format!("{done}/1"),
    }
}

fn job_duration(job: &Value, now: Timestamp) -> Value {
    let time = |pointer: &str| text(job, pointer).parse::<Timestamp>().ok();
    let Some(start) = time("/status/startTime") else { return json!("") };
    let end = time("/status/completionTime").unwrap_or(now);
    human_duration(end.as_second() - start.as_second()).into()
}
