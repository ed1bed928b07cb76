//! Defaults of HorizontalPodAutoscalers (upstream: `pkg/apis/autoscaling/v2/defaults.go`).

use serde_json::{Map, Value, json};

use crate::object::{default_to, map_mut};

/// The share of CPU that is wanted where nothing is said (upstream: `DefaultCPUUtilization`).
const CPU_PERCENT: i64 = 80;

pub(crate) fn autoscaler(object: &mut Value) {
    let spec = map_mut(object, "spec");
    default_to(spec, "minReplicas", 1);
    if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let target = json!({"type": "Utilization", "averageUtilization": CPU_PERCENT});
        spec.insert(
            "metrics".to_owned(),
            json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]),
        );
    }
    if let Some(behavior) = spec.get_mut("behavior").and_then(Value::as_object_mut) {
        let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
        let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
        rules(behavior, "scaleUp", json!([pods, percent]));
        rules(behavior, "scaleDown", json!([percent]));
    }
}

/// The rules of one direction.
fn rules(behavior: &mut Map<String, Value>, direction: &str, policies: Value) {
    let Some(rules) = behavior.entry(direction).or_insert_with(|| json!({})).as_object_mut() else { return };
    if direction == "scaleUp" {
        default_to(rules, "stabilizationWindowSeconds", 0);
    }
    default_to(rules, "selectPolicy", "Max");
    default_to(rules, "policies", policies);
}
