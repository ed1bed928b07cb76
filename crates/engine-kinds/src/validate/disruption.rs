//! Rules for PodDisruptionBudgets (upstream: `pkg/apis/policy/validation`).

use serde_json::Value;

use super::{Findings, meta};
use crate::object::text;

pub(crate) fn disruption_budget(object: &Value, _: Option<&Value>, findings: &mut Findings) {
    let spec = |field: &str| object.pointer(&format!("/spec/{field}"));
    if let (Some(_), Some(_)) = (spec("minAvailable"), spec("maxUnavailable")) {
        let value = spec("minAvailable").unwrap_or(&Value::Null);
        findings.invalid("spec", value, "minAvailable and maxUnavailable cannot be both set");
    }
    for field in ["minAvailable", "maxUnavailable"] {
        amount(spec(field), &format!("spec.{field}"), findings);
    }
    if let Some(selector) = spec("selector") {
        meta::label_selector(selector, "spec.selector", findings);
    }
    let policy = text(object, "/spec/unhealthyPodEvictionPolicy");
    if !matches!(policy, "" | "IfHealthyBudget" | "AlwaysAllow") {
        findings.not_supported(
            "spec.unhealthyPodEvictionPolicy",
            policy,
            &["AlwaysAllow", "IfHealthyBudget"],
        );
    }
}

/// A number of Pods, or a share of them.
fn amount(value: Option<&Value>, field: &str, findings: &mut Findings) {
    match value {
        Some(Value::Number(number)) if number.as_i64().is_some_and(|number| number < 0) => {
            findings.invalid(field, &Value::Number(number.clone()), "must be greater than or equal to 0");
        }
        Some(Value::String(share)) => {
            let percent = share.strip_suffix('%').and_then(|digits| digits.parse::<u32>().ok());
            match percent {
                Some(0..=100) => {}
                Some(_) => {
                    findings.invalid(field, &Value::from(share.as_str()), "must not be greater than 100%");
                }
                None => findings.invalid(
                    field,
                    &Value::from(share.as_str()),
                    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%', or \
                     '93%', regex used for validation is '[0-9]+%')",
                ),
            }
        }
        _ => {}
    }
}
