//! Rules for Deployments and ReplicaSets (upstream: `pkg/apis/apps/validation`).

use serde_json::{Value, json};

use super::{Findings, meta, pod};
use crate::object::{integer, list, map, text};

pub(crate) fn deployment(object: &Value, old: Option<&Value>, findings: &mut Findings) {
    workload(object, old, findings);
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
    workload(object, old, findings);
    not_negative(object, "minReadySeconds", findings);
}

/// What all kinds that make Pods by a template have in common.
fn workload(object: &Value, old: Option<&Value>, findings: &mut Findings) {
    not_negative(object, "replicas", findings);
    let selector = object.pointer("/spec/selector").unwrap_or(&Value::Null);
    let is_empty = map(selector, "/matchLabels").is_none_or(serde_json::Map::is_empty)
        && list(selector, "/matchExpressions").is_empty();
    if selector.is_null() {
        findings.required("spec.selector", "");
    } else if is_empty {
        findings.invalid("spec.selector", selector, "empty selector is invalid for deployment");
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

fn not_negative(object: &Value, field: &str, findings: &mut Findings) {
    if let Some(number) = integer(object, &format!("/spec/{field}")).filter(|number| *number < 0) {
        findings.invalid(&format!("spec.{field}"), &number.into(), "must be greater than or equal to 0");
    }
}

/// Whether a selector object matches labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    let value_of = |key: &str| labels.get(key).and_then(Value::as_str);
    let plain = map(selector, "/matchLabels")
        .into_iter()
        .flatten()
        .all(|(key, value)| value.as_str().is_some() && value_of(key) == value.as_str());
    plain
        && list(selector, "/matchExpressions").iter().all(|term| {
            let value = value_of(text(term, "/key"));
            let listed = value.is_some_and(|value| list(term, "/values").contains(&json!(value)));
            match text(term, "/operator") {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => true,
            }
        })
}
