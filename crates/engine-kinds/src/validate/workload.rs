//! Rules for Deployments, ReplicaSets, StatefulSets and DaemonSets (upstream: `pkg/apis/apps/validation`).

use serde_json::{Value, json};

use super::{Findings, meta, pod};
use crate::label_selector::selects;
use crate::object::{integer, list, map, name, text};

pub(crate) fn deployment(object: &Value, old: Option<&Value>, findings: &mut Findings) {
    workload(object, old, "deployment", findings);
    for field in ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        not_negative(object, field, findings);
    }
    match text(object, "/spec/strategy/type") {
        "RollingUpdate" => {}
        "Recreate" => {
            if object.pointer("/spec/strategy/rollingUpdate").is_some() {
                findings.forbidden(
                    "spec.strategy.rollingUpdate",
                    "may not be specified when strategy `type` is 'Recreate'",
                );
            }
        }
        other => findings.not_supported("spec.strategy.type", other, &["Recreate", "RollingUpdate"]),
    }
    let min_ready = integer(object, "/spec/minReadySeconds").unwrap_or(0);
    if integer(object, "/spec/progressDeadlineSeconds").is_some_and(|deadline| deadline <= min_ready) {
        let value = object["spec"]["progressDeadlineSeconds"].clone();
        findings.invalid("spec.progressDeadlineSeconds", &value, "must be greater than minReadySeconds");
    }
}

pub(crate) fn replica_set(object: &Value, old: Option<&Value>, findings: &mut Findings) {
    workload(object, old, "deployment", findings);
    not_negative(object, "minReadySeconds", findings);
}

/// What an update of a StatefulSet may change (upstream: `ValidateStatefulSetUpdate`).
const STATEFUL_SET_UPDATE: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', \
'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' \
are forbidden";
/// Fields of a StatefulSet's spec that an update may change.
const STATEFUL_SET_MUTABLE: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

pub(crate) fn stateful_set(object: &Value, old: Option<&Value>, findings: &mut Findings) {
    // The selector is among the fields that the rule for updates names.
    workload(&with_claimed_volumes(object), None, "statefulset", findings);
    for field in ["minReadySeconds", "revisionHistoryLimit"] {
        not_negative(object, field, findings);
    }
    let policy = text(object, "/spec/podManagementPolicy");
    if !matches!(policy, "OrderedReady" | "Parallel") {
        findings.invalid("spec.podManagementPolicy", &json!(policy), "must be 'OrderedReady' or 'Parallel'");
    }
    let strategy = text(object, "/spec/updateStrategy/type");
    let rolling = object.pointer("/spec/updateStrategy/rollingUpdate");
    match (strategy, rolling) {
        ("OnDelete", Some(rolling)) => findings.invalid(
            "spec.updateStrategy.rollingUpdate",
            rolling,
            "only allowed for updateStrategy 'RollingUpdate'",
        ),
        ("OnDelete" | "RollingUpdate", _) => {}
        (other, _) => {
            findings.invalid("spec.updateStrategy", &json!(other), "must be 'RollingUpdate' or 'OnDelete'")
        }
    }
    for field in ["updateStrategy.rollingUpdate.partition", "ordinals.start"] {
        not_negative(object, field, findings);
    }
    for when in ["whenDeleted", "whenScaled"] {
        let field = format!("/spec/persistentVolumeClaimRetentionPolicy/{when}");
        let value = text(object, &field);
        if !matches!(value, "" | "Retain" | "Delete") {
            let field = format!("spec.persistentVolumeClaimRetentionPolicy.{when}");
            findings.not_supported(&field, value, &["Delete", "Retain"]);
        }
    }
    if let Some(old) = old {
        let frozen = |object: &Value| {
            let mut spec = map(object, "/spec").cloned().unwrap_or_default();
            STATEFUL_SET_MUTABLE.iter().for_each(|field| drop(spec.remove(*field)));
            spec
        };
        if frozen(old) != frozen(object) {
            findings.forbidden("spec", STATEFUL_SET_UPDATE);
        }
    }
}

/// A StatefulSet whose template has the volumes that its claims bring.
fn with_claimed_volumes(object: &Value) -> Value {
    let mut object = object.clone();
    let claims = list(&object, "/spec/volumeClaimTemplates").iter();
    let names: Vec<String> = claims.map(|claim| name(claim).to_owned()).collect();
    let Some(spec) = object.pointer_mut("/spec/template/spec").filter(|spec| spec.is_object()) else {
        return object;
    };
    if !spec["volumes"].is_array() {
        spec["volumes"] = json!([]);
    }
    let volumes = spec["volumes"].as_array_mut().expect("made a list just above");
    for name in names {
        volumes.retain(|volume| text(volume, "/name") != name);
        volumes.push(json!({ "name": name, "persistentVolumeClaim": { "claimName": name } }));
    }
    object
}

pub(crate) fn daemon_set(object: &Value, old: Option<&Value>, findings: &mut Findings) {
    workload(object, old, "daemonset", findings);
    for field in ["minReadySeconds", "revisionHistoryLimit"] {
        not_negative(object, field, findings);
    }
    match text(object, "/spec/updateStrategy/type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let rolling = "/spec/updateStrategy/rollingUpdate";
            let amount = |field: &str| object.pointer(&format!("{rolling}/{field}"));
            let is_set = |field: &str| amount(field).is_some_and(|amount| *amount != 0 && *amount != "0%");
            let field = |field: &str| format!("spec.updateStrategy.rollingUpdate.{field}");
            match (is_set("maxUnavailable"), is_set("maxSurge")) {
                (true, true) => findings.invalid(
                    &field("maxSurge"),
                    amount("maxSurge").unwrap_or(&Value::Null),
                    "may not be set when maxUnavailable is non-zero",
                ),
                (false, false) => {
                    findings.required(&field("maxUnavailable"), "cannot be 0 when maxSurge is 0");
                }
                _ => {}
            }
        }
        other => {
            findings.not_supported("spec.updateStrategy.type", other, &["OnDelete", "RollingUpdate"]);
        }
    }
}

/// What all kinds that make Pods by a template have in common.
fn workload(object: &Value, old: Option<&Value>, noun: &str, findings: &mut Findings) {
    not_negative(object, "replicas", findings);
    let selector = object.pointer("/spec/selector").unwrap_or(&Value::Null);
    let is_empty = map(selector, "/matchLabels").is_none_or(serde_json::Map::is_empty)
        && list(selector, "/matchExpressions").is_empty();
    if selector.is_null() {
        findings.required("spec.selector", "");
    } else if is_empty {
        findings.invalid("spec.selector", selector, &format!("empty selector is invalid for {noun}"));
    } else {
        meta::label_selector(selector, "spec.selector", findings);
        let labels = object.pointer("/spec/template/metadata/labels").unwrap_or(&Value::Null);
        if !selects(selector, labels) {
            findings.invalid(
                "spec.template.metadata.labels",
                labels,
                "`selector` does not match template `labels`",
            );
        }
    }
    meta::labels(map(object, "/spec/template/metadata/labels"), "spec.template.labels", findings);
    match object.pointer("/spec/template/spec") {
        None => findings.required("spec.template.spec.containers", ""),
        Some(spec) => pod::spec(spec, "spec.template.spec", findings),
    }
    let restart = text(object, "/spec/template/spec/restartPolicy");
    if !restart.is_empty() && restart != "Always" {
        findings.not_supported("spec.template.spec.restartPolicy", restart, &["Always"]);
    }
    if let Some(old) = old {
        findings.immutable("spec.selector", old.pointer("/spec/selector"), object.pointer("/spec/selector"));
    }
}

pub(super) fn not_negative(object: &Value, field: &str, findings: &mut Findings) {
    let pointer = format!("/spec/{}", field.replace('.', "/"));
    if let Some(number) = integer(object, &pointer).filter(|number| *number < 0) {
        findings.invalid(&format!("spec.{field}"), &number.into(), "must be greater than or equal to 0");
    }
}
