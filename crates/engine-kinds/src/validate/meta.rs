//! Rules for `metadata` (upstream: apimachinery `pkg/api/validation/objectmeta.go`).

use serde_json::{Value, json};

use super::Findings;
use super::names;
use crate::kind::Kind;
use crate::object::{finalizers, is_deleting, list, map, name, text};

/// All annotations of an object together.
const MAX_ANNOTATIONS: usize = 256 * 1024;

pub(super) fn check(kind: &Kind, object: &Value, findings: &mut Findings) {
    check_name(kind, name(object), findings);
    labels(map(object, "/metadata/labels"), "metadata.labels", findings);
    annotations(object, "metadata.annotations", findings);
    for (index, finalizer) in finalizers(object).enumerate() {
        for why in names::qualified_name(finalizer) {
            findings.invalid(&format!("metadata.finalizers[{index}]"), &json!(finalizer), &why);
        }
    }
    for (index, owner) in list(object, "/metadata/ownerReferences").iter().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if text(owner, &format!("/{field}")).is_empty() {
                findings.required(&format!("metadata.ownerReferences[{index}].{field}"), "must not be empty");
            }
        }
    }
}

fn check_name(kind: &Kind, name: &str, findings: &mut Findings) {
    if name.is_empty() {
        return findings.required("metadata.name", "name or generateName is required");
    }
    for why in super::name_problems(kind.names, name) {
        findings.invalid("metadata.name", &json!(name), &why);
    }
}

/// Rules for a map of labels.
pub(super) fn labels(labels: Option<&serde_json::Map<String, Value>>, field: &str, findings: &mut Findings) {
    for (key, value) in labels.into_iter().flatten() {
        for why in names::qualified_name(key) {
            findings.invalid(field, &json!(key), &why);
        }
        let value = value.as_str().unwrap_or_default();
        for why in names::label_value(value) {
            findings.invalid(field, &json!(value), &why);
        }
    }
}

fn annotations(object: &Value, field: &str, findings: &mut Findings) {
    let mut size = 0;
    for (key, value) in map(object, "/metadata/annotations").into_iter().flatten() {
        size += key.len() + value.as_str().map_or(0, str::len);
        for why in names::qualified_name(&key.to_lowercase()) {
            findings.invalid(field, &json!(key), &why);
        }
    }
    if size > MAX_ANNOTATIONS {
        findings.too_long(field, MAX_ANNOTATIONS);
    }
}

/// Rules for `metadata` between two states.
pub(super) fn check_update(new: &Value, old: &Value, findings: &mut Findings) {
    if !is_deleting(old) {
        return;
    }
    let before: Vec<&str> = finalizers(old).collect();
    let added: Vec<&str> = finalizers(new).filter(|name| !before.contains(name)).collect();
    if !added.is_empty() {
        let why = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"
        );
        findings.forbidden("metadata.finalizers", &why);
    }
}

/// Rules for a label selector object.
pub(super) fn label_selector(selector: &Value, field: &str, findings: &mut Findings) {
    labels(map(selector, "/matchLabels"), &format!("{field}.matchLabels"), findings);
    for (index, term) in list(selector, "/matchExpressions").iter().enumerate() {
        let field = format!("{field}.matchExpressions[{index}]");
        for why in names::qualified_name(text(term, "/key")) {
            findings.invalid(&format!("{field}.key"), &json!(text(term, "/key")), &why);
        }
        let has_values = !list(term, "/values").is_empty();
        match text(term, "/operator") {
            "In" | "NotIn" if !has_values => findings
                .required(&format!("{field}.values"), "must be specified when `operator` is 'In' or 'NotIn'"),
            "Exists" | "DoesNotExist" if has_values => findings.forbidden(
                &format!("{field}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                findings.invalid(&format!("{field}.operator"), &json!(other), "not a valid selector operator")
            }
        }
    }
}
