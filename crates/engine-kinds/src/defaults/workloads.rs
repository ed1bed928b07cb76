//! Defaults of workloads and of the storage and budgets they bring along (upstream: `pkg/apis/{apps,batch}/v1`).

use serde_json::{Map, Value, json};

use super::{map_mut_of, members, template};
use crate::object::{default_to, map_mut, text};

pub(crate) fn stateful_set(object: &mut Value) {
    let spec = map_mut(object, "spec");
    default_to(spec, "replicas", 1);
    default_to(spec, "podManagementPolicy", "OrderedReady");
    default_to(spec, "revisionHistoryLimit", 10);
    let strategy = map_of(spec, "updateStrategy");
    default_to(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        default_to(map_of(strategy, "rollingUpdate"), "partition", 0);
    }
    let retention = map_of(spec, "persistentVolumeClaimRetentionPolicy");
    default_to(retention, "whenDeleted", "Retain");
    default_to(retention, "whenScaled", "Retain");
    template(spec);
    for claim in members(spec, "volumeClaimTemplates") {
        default_to(claim, "apiVersion", "v1");
        default_to(claim, "kind", "PersistentVolumeClaim");
        default_to(map_of(claim, "spec"), "volumeMode", "Filesystem");
        default_to(map_of(claim, "status"), "phase", "Pending");
    }
    default_to(map_mut(object, "status"), "replicas", 0);
    default_to(map_mut(object, "status"), "availableReplicas", 0);
}

pub(crate) fn daemon_set(object: &mut Value) {
    let spec = map_mut(object, "spec");
    default_to(spec, "revisionHistoryLimit", 10);
    let strategy = map_of(spec, "updateStrategy");
    default_to(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = map_of(strategy, "rollingUpdate");
        default_to(rolling, "maxUnavailable", 1);
        default_to(rolling, "maxSurge", 0);
    }
    template(spec);
    let status = map_mut(object, "status");
    for count in ["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"] {
        default_to(status, count, 0);
    }
}

pub(crate) fn job(object: &mut Value) {
    let labels = object.pointer("/spec/template/metadata/labels").cloned();
    let spec = map_mut(object, "spec");
    job_spec(spec);
    let own = object.pointer("/metadata/labels").and_then(Value::as_object);
    if own.is_none_or(Map::is_empty)
        && let Some(labels) = labels
    {
        map_mut(object, "metadata").insert("labels".to_owned(), labels);
    }
    map_mut(object, "status");
}

fn job_spec(spec: &mut Map<String, Value>) {
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        default_to(spec, "completions", 1);
    }
    default_to(spec, "parallelism", 1);
    let backoff = if spec.contains_key("backoffLimitPerIndex") { i32::MAX } else { 6 };
    default_to(spec, "backoffLimit", backoff);
    default_to(spec, "completionMode", "NonIndexed");
    default_to(spec, "suspend", false);
    let replaced = if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    default_to(spec, "podReplacementPolicy", replaced);
    failure_policy(spec);
    template(spec);
}

/// A condition without a status means that it is true (`SetDefaults_PodFailurePolicyOnPodConditionsPattern`).
fn failure_policy(spec: &mut Map<String, Value>) {
    let Some(rules) = spec.get_mut("podFailurePolicy").and_then(|policy| policy.pointer_mut("/rules")) else {
        return;
    };
    for rule in rules.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        for pattern in members(rule, "onPodConditions") {
            default_to(pattern, "status", "True");
        }
    }
}

pub(crate) fn cron_job(object: &mut Value) {
    let spec = map_mut(object, "spec");
    default_to(spec, "concurrencyPolicy", "Allow");
    default_to(spec, "suspend", false);
    default_to(spec, "successfulJobsHistoryLimit", 3);
    default_to(spec, "failedJobsHistoryLimit", 1);
    if spec.contains_key("jobTemplate") {
        let job = map_of(map_of(spec, "jobTemplate"), "spec");
        // Whether `completions` was left out decides what a Job does, so that it is left to the Job itself.
        failure_policy(job);
        template(job);
    }
    map_mut(object, "status");
}

pub(crate) fn disruption_budget(object: &mut Value) {
    let status = map_mut(object, "status");
    for count in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        default_to(status, count, 0);
    }
}

pub(crate) fn volume_claim(object: &mut Value) {
    default_to(map_mut(object, "spec"), "volumeMode", "Filesystem");
    default_to(map_mut(object, "status"), "phase", "Pending");
}

pub(crate) fn volume(object: &mut Value) {
    let host_path = object.pointer("/spec/hostPath").is_some();
    let spec = map_mut(object, "spec");
    default_to(spec, "persistentVolumeReclaimPolicy", "Retain");
    default_to(spec, "volumeMode", "Filesystem");
    if host_path && text(object, "/spec/hostPath/type").is_empty() {
        map_mut(map_mut_of(object, "spec"), "hostPath").insert("type".to_owned(), "".into());
    }
    default_to(map_mut(object, "status"), "phase", "Pending");
}

/// The map under a key, made if it is none.
fn map_of<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let slot = map.entry(key.to_owned()).or_insert_with(|| json!({}));
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut().expect("made a map just above")
}
