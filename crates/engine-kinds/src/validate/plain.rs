//! Rules for ConfigMaps, Secrets and Leases.

use serde_json::{Value, json};

use super::{Findings, names};
use crate::object::{integer, map, text};

/// All data of a ConfigMap or Secret together (upstream: `core.MaxSecretSize`).
const MAX_DATA: usize = 1024 * 1024;

pub(crate) fn config_map(object: &Value, old: Option<&Value>, findings: &mut Findings) {
    data_keys(object, &["data", "binaryData"], findings);
    let texts = map(object, "/data");
    for key in map(object, "/binaryData").into_iter().flatten().map(|(key, _)| key) {
        if texts.is_some_and(|texts| texts.contains_key(key)) {
            findings.invalid(&format!("data[{key}]"), &json!(key), "duplicate of key present in binaryData");
        }
    }
    immutable_data(object, old, &["data", "binaryData"], findings);
}

pub(crate) fn secret(object: &Value, old: Option<&Value>, findings: &mut Findings) {
    data_keys(object, &["data"], findings);
    let wanted: &[&str] = match text(object, "/type") {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        _ => &[],
    };
    for key in wanted {
        if !map(object, "/data").is_some_and(|data| data.contains_key(*key)) {
            findings.required(&format!("data[{key}]"), "");
        }
    }
    if let Some(old) = old {
        findings.immutable("type", old.get("type"), object.get("type"));
    }
    immutable_data(object, old, &["data"], findings);
}

fn data_keys(object: &Value, fields: &[&str], findings: &mut Findings) {
    let mut size = 0;
    for field in fields {
        for (key, value) in map(object, &format!("/{field}")).into_iter().flatten() {
            size += value.as_str().map_or(0, str::len);
            for why in names::data_key(key) {
                findings.invalid(&format!("{field}[{key}]"), &json!(key), &why);
            }
        }
    }
    if size > MAX_DATA * 4 / 3 {
        findings.too_long(fields[0], MAX_DATA);
    }
}

fn immutable_data(object: &Value, old: Option<&Value>, fields: &[&str], findings: &mut Findings) {
    let Some(old) = old.filter(|old| old.get("immutable").is_some_and(|on| *on == true)) else { return };
    if object.get("immutable") != old.get("immutable") {
        findings.forbidden("immutable", "field is immutable when `immutable` is set");
    }
    for field in fields {
        if object.get(field) != old.get(field) {
            findings.forbidden(field, "field is immutable when `immutable` is set");
        }
    }
}

pub(crate) fn lease(object: &Value, _: Option<&Value>, findings: &mut Findings) {
    if let Some(seconds) = integer(object, "/spec/leaseDurationSeconds").filter(|seconds| *seconds <= 0) {
        findings.invalid("spec.leaseDurationSeconds", &seconds.into(), "must be greater than 0");
    }
    if let Some(count) = integer(object, "/spec/leaseTransitions").filter(|count| *count < 0) {
        findings.invalid("spec.leaseTransitions", &count.into(), "must be greater than or equal to 0");
    }
}
