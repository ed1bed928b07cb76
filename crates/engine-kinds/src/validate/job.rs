//! Rules for Jobs and CronJobs (upstream: `pkg/apis/batch/validation`).

mod policies;

use serde_json::{Value, json};

use super::workload::not_negative;
use super::{Findings, meta, pod};
use crate::cron_schedule::CronSchedule;
use crate::label_selector::selects;
use crate::object::{integer, map, name, text};
use crate::time_zone::time_zone_named;

/// Most Pods at once, and most indexes, of an indexed Job (`maxParallelismForIndexedJob`).
const MAX_INDEXED_PARALLELISM: i64 = 100_000;
/// Limits of Jobs with limits by index (`maxFailedIndexesForIndexedJob`, `completionsSoftLimit`,
/// `parallelismLimitForHighCompletions`, `maxFailedIndexesLimitForHighCompletions`).
const MAX_FAILED_INDEXES: i64 = 100_000;
const MANY_COMPLETIONS: i64 = 100_000;
const LIMIT_WITH_MANY_COMPLETIONS: i64 = 10_000;
/// Fields that no update may change (`ValidateJobSpecUpdate`).
const IMMUTABLE: &[&str] =
    &["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"];
/// Counts of a Job's spec.
const COUNTS: &[&str] = &[
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
];

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
    let before = old.and_then(|old| old.pointer("/spec/timeZone"));
    if let Some(zone) = object.pointer("/spec/timeZone").filter(|zone| before != Some(*zone)) {
        time_zone(zone, findings);
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

/// (`validateTimeZone`)
fn time_zone(zone: &Value, findings: &mut Findings) {
    let name = zone.as_str().unwrap_or_default();
    let mut wrong = |why: &str| findings.invalid("spec.timeZone", zone, why);
    if name.is_empty() {
        wrong("timeZone must be nil or non-empty string");
    } else if name.eq_ignore_ascii_case("local") {
        wrong("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
    } else if time_zone_named(name).is_none() {
        wrong(&format!("unknown time zone {name}"));
    }
}

fn spec(object: &Value, field: &str, findings: &mut Findings) {
    for name in COUNTS {
        let number = integer(object, &format!("/spec/{name}")).filter(|number| *number < 0);
        if let Some(number) = number {
            let why = "must be greater than or equal to 0";
            findings.invalid(&format!("{field}.{name}"), &number.into(), why);
        }
    }
    let has = |name: &str| object.pointer(&format!("/spec/{name}")).is_some_and(|value| !value.is_null());
    if has("maxFailedIndexes") && !has("backoffLimitPerIndex") {
        let field = format!("{field}.backoffLimitPerIndex");
        findings.required(&field, "when maxFailedIndexes is specified");
    }
    match text(object, "/spec/completionMode") {
        "NonIndexed" | "" => {
            for name in ["backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"] {
                if let Some(value) = object.pointer(&format!("/spec/{name}")) {
                    findings.invalid(&format!("{field}.{name}"), value, "requires indexed completion mode");
                }
            }
        }
        "Indexed" => indexed(object, field, findings),
        other => {
            findings.not_supported(&format!("{field}.completionMode"), other, &["Indexed", "NonIndexed"])
        }
    }
    policies::failure(object, field, findings);
    // With rules for failures, a Pod has to have failed before it is known which rule it meets.
    let replacements: &[&str] =
        if has("podFailurePolicy") { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    let replacement = text(object, "/spec/podReplacementPolicy");
    if !replacement.is_empty() && !replacements.contains(&replacement) {
        findings.not_supported(&format!("{field}.podReplacementPolicy"), replacement, replacements);
    }
    let template = format!("{field}.template");
    meta::labels(map(object, "/spec/template/metadata/labels"), &format!("{template}.labels"), findings);
    match object.pointer("/spec/template/spec") {
        None => findings.required(&format!("{template}.spec.containers"), ""),
        Some(spec) => pod::spec(spec, &format!("{template}.spec"), findings),
    }
    let restart = text(object, "/spec/template/spec/restartPolicy");
    let field = format!("{template}.spec.restartPolicy");
    if restart == "Always" {
        findings.required(&field, "valid values: \"OnFailure\", \"Never\"");
    } else if has("podFailurePolicy") && restart != "Never" {
        let why = "only \"Never\" is supported when podFailurePolicy is specified";
        findings.invalid(&field, &json!(restart), why);
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
    limits_by_index(object, field, findings);
    if object.pointer("/spec/successPolicy").is_some() {
        policies::success(object, field, findings);
    }
}

fn limits_by_index(object: &Value, field: &str, findings: &mut Findings) {
    let completions = integer(object, "/spec/completions");
    let most = integer(object, "/spec/maxFailedIndexes");
    let mut at_most = |name: &str, value: Option<i64>, limit: i64, why: &str| {
        if let Some(value) = value.filter(|value| *value > limit) {
            let why = format!("must be less than or equal to {why}");
            findings.invalid(&format!("{field}.{name}"), &json!(value), &why);
        }
    };
    if let Some(completions) = completions {
        at_most("maxFailedIndexes", most, completions, "completions");
    }
    at_most("maxFailedIndexes", most, MAX_FAILED_INDEXES, &MAX_FAILED_INDEXES.to_string());
    let is_by_index = object.pointer("/spec/backoffLimitPerIndex").is_some();
    if !is_by_index || completions.is_none_or(|completions| completions <= MANY_COMPLETIONS) {
        return;
    }
    let why = format!(
        "{LIMIT_WITH_MANY_COMPLETIONS} when completions are above {MANY_COMPLETIONS} and used with backoff \
         limit per index"
    );
    let parallelism = integer(object, "/spec/parallelism");
    at_most("parallelism", parallelism, LIMIT_WITH_MANY_COMPLETIONS, &why);
    at_most("maxFailedIndexes", most, LIMIT_WITH_MANY_COMPLETIONS, &why);
    if most.is_none() {
        let why = format!("must be specified when completions is above {MANY_COMPLETIONS}");
        findings.required(&format!("{field}.maxFailedIndexes"), &why);
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
