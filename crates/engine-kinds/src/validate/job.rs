//! Rules for Jobs and CronJobs (upstream: `pkg/apis/batch/validation`).

use serde_json::{Value, json};

use super::workload::not_negative;
use super::{Findings, meta, pod};
use crate::cron_schedule::CronSchedule;
use crate::label_selector::selects;
use crate::object::{integer, map, name, text};

/// Most Pods at once, and most indexes, of an indexed Job (`maxParallelismForIndexedJob`).
const MAX_INDEXED_PARALLELISM: i64 = 100_000;
/// What a Job may not ask for here, rather than ask in vain.
const NOT_SERVED: &[&str] =
    &["podFailurePolicy", "successPolicy", "backoffLimitPerIndex", "maxFailedIndexes"];
/// Fields that no update may change.
const IMMUTABLE: &[&str] = &["selector", "completionMode", "podReplacementPolicy", "managedBy"];

pub(crate) fn job(object: &Value, old: Option<&Value>, findings: &mut Findings) {
    spec(object, "spec", findings);
    let selector = object.pointer("/spec/selector").unwrap_or(&Value::Null);
    if selector.is_null() {
        findings.required("spec.selector", "");
    } else {
        meta::label_selector(selector, "spec.selector", findings);
        let labels = object.pointer("/spec/template/metadata/labels").unwrap_or(&Value::Null);
        if !selects(selector, labels) {
            let why = "`selector` does not match template `labels`";
            findings.invalid("spec.template.metadata.labels", labels, why);
        }
    }
    if let Some(old) = old {
        update(object, old, findings);
    }
}

/// Longest name of a CronJob: its Jobs' names have up to eleven letters more (`ValidateCronJobCreate`).
const MAX_CRON_JOB_NAME: usize = 52;

pub(crate) fn cron_job(object: &Value, old: Option<&Value>, findings: &mut Findings) {
    if old.is_none() && name(object).len() > MAX_CRON_JOB_NAME {
        let why = "must be no more than 52 characters";
        findings.invalid("metadata.name", &json!(name(object)), why);
    }
    let schedule = text(object, "/spec/schedule");
    if schedule.is_empty() {
        findings.required("spec.schedule", "");
    } else if CronSchedule::parse(schedule).is_none() {
        let why =
            "must be five fields (minute, hour, day of month, month, day of week) or a name such as @hourly";
        findings.invalid("spec.schedule", &json!(schedule), why);
    }
    let zone = text(object, "/spec/timeZone");
    if !matches!(zone, "" | "UTC" | "Etc/UTC") {
        findings.forbidden("spec.timeZone", "this API serves UTC only");
    }
    let policy = text(object, "/spec/concurrencyPolicy");
    if !matches!(policy, "Allow" | "Forbid" | "Replace") {
        findings.not_supported("spec.concurrencyPolicy", policy, &["Allow", "Forbid", "Replace"]);
    }
    for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        not_negative(object, field, findings);
    }
    spec(&object["spec"]["jobTemplate"], "spec.jobTemplate.spec", findings);
}

fn spec(object: &Value, field: &str, findings: &mut Findings) {
    for name in
        ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"]
    {
        let number = integer(object, &format!("/spec/{name}")).filter(|number| *number < 0);
        if let Some(number) = number {
            let why = "must be greater than or equal to 0";
            findings.invalid(&format!("{field}.{name}"), &number.into(), why);
        }
    }
    for name in NOT_SERVED.iter().filter(|name| object.pointer(&format!("/spec/{name}")).is_some()) {
        findings.forbidden(&format!("{field}.{name}"), "is not served by this API");
    }
    match text(object, "/spec/completionMode") {
        "NonIndexed" | "" => {}
        "Indexed" => indexed(object, field, findings),
        other => {
            findings.not_supported(&format!("{field}.completionMode"), other, &["Indexed", "NonIndexed"])
        }
    }
    let replacement = text(object, "/spec/podReplacementPolicy");
    if !matches!(replacement, "" | "Failed" | "TerminatingOrFailed") {
        let field = format!("{field}.podReplacementPolicy");
        findings.not_supported(&field, replacement, &["Failed", "TerminatingOrFailed"]);
    }
    let template = format!("{field}.template");
    meta::labels(map(object, "/spec/template/metadata/labels"), &format!("{template}.labels"), findings);
    match object.pointer("/spec/template/spec") {
        None => findings.required(&format!("{template}.spec.containers"), ""),
        Some(spec) => pod::spec(spec, &format!("{template}.spec"), findings),
    }
    if text(object, "/spec/template/spec/restartPolicy") == "Always" {
        findings
            .required(&format!("{template}.spec.restartPolicy"), "valid values: \"OnFailure\", \"Never\"");
    }
}

fn indexed(object: &Value, field: &str, findings: &mut Findings) {
    if object.pointer("/spec/completions").is_none() {
        findings.required(&format!("{field}.completions"), "when completion mode is Indexed");
    }
    let parallelism = integer(object, "/spec/parallelism").unwrap_or(0);
    if parallelism > MAX_INDEXED_PARALLELISM {
        let why = format!(
            "must be less than or equal to {MAX_INDEXED_PARALLELISM} when completion mode is Indexed"
        );
        findings.invalid(&format!("{field}.parallelism"), &json!(parallelism), &why);
    }
}

fn update(object: &Value, old: &Value, findings: &mut Findings) {
    let both = |field: &str| {
        let pointer = format!("/spec/{field}");
        (old.pointer(&pointer), object.pointer(&pointer))
    };
    for field in IMMUTABLE {
        let (before, after) = both(field);
        findings.immutable(&format!("spec.{field}"), before, after);
    }
    let (before, after) = both("completions");
    // An indexed Job may grow and shrink while both numbers are the same (KEP-3715).
    let is_elastic = text(object, "/spec/completionMode") == "Indexed" && after == both("parallelism").1;
    if !is_elastic {
        findings.immutable("spec.completions", before, after);
    }
    let has_started = old.pointer("/status/startTime").is_some();
    let may_move = old.pointer("/spec/suspend").is_some_and(|on| *on == true) && !has_started;
    let frozen = |job: &Value| {
        let mut template = job.pointer("/spec/template").cloned().unwrap_or_default();
        if may_move {
            // Where a suspended Job will run is still open (KEP-2926).
            for part in ["/metadata/labels", "/metadata/annotations", "/spec/nodeSelector", "/spec/affinity"]
                .into_iter()
                .chain(["/spec/tolerations", "/spec/schedulingGates"])
            {
                if let Some(value) = template.pointer_mut(part) {
                    *value = Value::Null;
                }
            }
        }
        template
    };
    if !may_move || frozen(old) != frozen(object) {
        findings.immutable("spec.template", Some(&frozen(old)), Some(&frozen(object)));
    }
}
