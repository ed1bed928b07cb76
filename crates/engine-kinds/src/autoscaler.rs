//! HorizontalPodAutoscalers in their two forms: stored as autoscaling/v2, shown as autoscaling/v1 as well.
//!
//! What v1 has no field for goes into annotations and comes back from them (upstream:
//! `pkg/apis/autoscaling/v1/conversion.go`).

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::object::{integer, list, map_mut, metadata_mut, text};
use crate::row::View;

/// The autoscaling/v1 form.
pub(crate) const VIEW: View = View {
    group: Cow::Borrowed("autoscaling"),
    plural: Cow::Borrowed("horizontalpodautoscalers"),
    to_stored,
    from_stored,
};

/// Where v1 keeps what it has no field for (upstream: `pkg/apis/autoscaling/annotations.go`).
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// From what is measured to how much of it is wanted, in both forms: source, field of v1, pointer of v2.
const AMOUNTS: &[(&str, &str, &str)] = &[
    ("resource", "targetAverageUtilization", "/target/averageUtilization"),
    ("resource", "targetAverageValue", "/target/averageValue"),
    ("resource", "currentAverageUtilization", "/current/averageUtilization"),
    ("resource", "currentAverageValue", "/current/averageValue"),
    ("containerResource", "targetAverageUtilization", "/target/averageUtilization"),
    ("containerResource", "targetAverageValue", "/target/averageValue"),
    ("containerResource", "currentAverageUtilization", "/current/averageUtilization"),
    ("containerResource", "currentAverageValue", "/current/averageValue"),
    ("pods", "targetAverageValue", "/target/averageValue"),
    ("pods", "currentAverageValue", "/current/averageValue"),
    ("object", "targetValue", "/target/value"),
    ("object", "averageValue", "/target/averageValue"),
    ("object", "currentValue", "/current/value"),
    ("object", "averageValue", "/current/averageValue"),
    ("external", "targetValue", "/target/value"),
    ("external", "targetAverageValue", "/target/averageValue"),
    ("external", "currentValue", "/current/value"),
    ("external", "currentAverageValue", "/current/averageValue"),
];

/// The share of CPU that v1 has a field for.
fn cpu_metric(field: &str, percent: &Value) -> Value {
    let mut amount = json!({"averageUtilization": percent});
    if field == "target" {
        amount["type"] = "Utilization".into();
    }
    json!({"type": "Resource", "resource": {"name": "cpu", field: amount}})
}

fn is_cpu_share(metric: &Value) -> bool {
    text(metric, "/type") == "Resource"
        && text(metric, "/resource/name") == "cpu"
        && integer(metric, "/resource/target/averageUtilization").is_some()
}

fn to_stored(mut scaler: Value) -> Value {
    let annotations = scaler.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    let mut kept: Vec<Option<Value>> = vec![None; 4];
    if let Some(annotations) = annotations {
        for (slot, name) in kept.iter_mut().zip([METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR]) {
            let text = annotations.remove(name);
            *slot = text.as_ref().and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok());
        }
    }
    if scaler.pointer("/metadata/annotations") == Some(&json!({})) {
        metadata_mut(&mut scaler).remove("annotations");
    }
    let [metrics, current, conditions, behavior] = [0, 1, 2, 3].map(|index: usize| kept[index].take());
    let spec = map_mut(&mut scaler, "spec");
    let mut wanted: Vec<Value> =
        list_of(metrics).iter().map(|metric| metric_to_stored(metric, "target")).collect();
    wanted
        .extend(spec.remove("targetCPUUtilizationPercentage").map(|percent| cpu_metric("target", &percent)));
    set_unless_empty(spec, "metrics", wanted);
    if let Some(behavior) = behavior {
        spec.insert("behavior".to_owned(), behavior);
    }
    let status = map_mut(&mut scaler, "status");
    let percent = status.remove("currentCPUUtilizationPercentage");
    let found = match current {
        // These say more than the number.
        Some(current) => {
            list_of(Some(current)).iter().map(|metric| metric_to_stored(metric, "current")).collect()
        }
        None => percent.map(|percent| cpu_metric("current", &percent)).into_iter().collect(),
    };
    set_unless_empty(status, "currentMetrics", found);
    set_unless_empty(status, "conditions", list_of(conditions));
    if status.is_empty() {
        scaler.as_object_mut().map(|map| map.remove("status"));
    }
    scaler["apiVersion"] = "autoscaling/v2".into();
    scaler
}

fn from_stored(scaler: &Value) -> Value {
    let mut shown = scaler.clone();
    shown["apiVersion"] = "autoscaling/v1".into();
    let mut annotations = Map::new();
    let mut note = |name: &str, value: Option<Value>| {
        if let Some(value) = value.filter(|value| value.as_array().is_none_or(|list| !list.is_empty())) {
            annotations.insert(name.to_owned(), value.to_string().into());
        }
    };
    let metrics = list(scaler, "/spec/metrics");
    let others = metrics.iter().filter(|metric| !is_cpu_share(metric));
    note(METRICS, Some(others.map(|metric| metric_from_stored(metric, "target")).collect()));
    let current = list(scaler, "/status/currentMetrics");
    note(CURRENT_METRICS, Some(current.iter().map(|metric| metric_from_stored(metric, "current")).collect()));
    let spec = map_mut(&mut shown, "spec");
    spec.remove("metrics");
    note(BEHAVIOR, spec.remove("behavior"));
    if let Some(share) = metrics.iter().find(|metric| is_cpu_share(metric)) {
        let percent = share.pointer("/resource/target/averageUtilization").cloned();
        spec.extend(percent.map(|percent| ("targetCPUUtilizationPercentage".to_owned(), percent)));
    }
    if let Some(status) = shown.get_mut("status").and_then(Value::as_object_mut) {
        status.remove("currentMetrics");
        note(CONDITIONS, status.remove("conditions"));
        let cpu = current.iter().filter(|metric| text(metric, "/resource/name") == "cpu");
        let percent =
            cpu.filter_map(|metric| metric.pointer("/resource/current/averageUtilization")).next_back();
        let named = percent.map(|percent| ("currentCPUUtilizationPercentage".to_owned(), percent.clone()));
        status.extend(named);
    }
    if !annotations.is_empty() {
        map_mut(&mut shown["metadata"], "annotations").extend(annotations);
    }
    shown
}

fn list_of(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn set_unless_empty(map: &mut Map<String, Value>, field: &str, items: Vec<Value>) {
    if !items.is_empty() {
        map.insert(field.to_owned(), items.into());
    }
}

/// The name under which a metric keeps its source: `Resource` → `resource`.
fn source_of(metric: &Value) -> String {
    let kind = text(metric, "/type");
    let first = kind.chars().take(1).map(|letter| letter.to_ascii_lowercase());
    first.chain(kind.chars().skip(1)).collect()
}

/// A metric of v2 in the form that v1 keeps in its annotations.
fn metric_from_stored(metric: &Value, side: &str) -> Value {
    let source = source_of(metric);
    let mut old = Map::new();
    for field in ["name", "container"] {
        old.extend(
            metric.pointer(&format!("/{source}/{field}")).map(|value| (field.to_owned(), value.clone())),
        );
    }
    let (name, selector) = match source.as_str() {
        "external" => ("metricName", "metricSelector"),
        _ => ("metricName", "selector"),
    };
    let parts = [(name, "metric/name"), (selector, "metric/selector"), ("target", "describedObject")];
    for (field, pointer) in parts {
        let value = metric.pointer(&format!("/{source}/{pointer}"));
        old.extend(value.map(|value| (field.to_owned(), value.clone())));
    }
    for (_, field, pointer) in amounts(&source, side) {
        let value = metric.pointer(&format!("/{source}{pointer}"));
        old.extend(value.map(|value| ((*field).to_owned(), value.clone())));
    }
    json!({"type": text(metric, "/type"), source: old})
}

/// The other way round.
fn metric_to_stored(old: &Value, side: &str) -> Value {
    let source = source_of(old);
    let Some(fields) = old.get(&source).and_then(Value::as_object) else { return old.clone() };
    let mut new = json!({});
    for (field, value) in fields {
        let place = match field.as_str() {
            "name" | "container" => &mut new[field.as_str()],
            "metricName" => &mut new["metric"]["name"],
            "selector" | "metricSelector" => &mut new["metric"]["selector"],
            "target" => &mut new["describedObject"],
            other => match amounts(&source, side).find(|(_, known, _)| *known == other) {
                Some((_, _, pointer)) => &mut new[side][pointer.rsplit('/').next().unwrap_or_default()],
                None => continue,
            },
        };
        *place = value.clone();
    }
    if side == "target" {
        let kind =
            [("averageUtilization", "Utilization"), ("averageValue", "AverageValue"), ("value", "Value")];
        let kind = kind.iter().find(|(field, _)| new[side].get(field).is_some());
        new[side]["type"] = kind.map_or(Value::Null, |(_, kind)| Value::from(*kind));
    }
    json!({"type": text(old, "/type"), source: new})
}

fn amounts(
    source: &str,
    side: &str,
) -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    AMOUNTS.iter().filter(move |(of, _, pointer)| *of == source && pointer[1..].starts_with(side))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2() -> Value {
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "annotations": {"own": "stays"}},
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 3,
                "metrics": [
                    {"type": "Pods", "pods": {
                        "metric": {"name": "hits", "selector": {"matchLabels": {"a": "b"}}},
                        "target": {"type": "AverageValue", "averageValue": "10"},
                    }},
                    {"type": "Object", "object": {
                        "describedObject": {"kind": "Ingress", "name": "web"}, "metric": {"name": "rate"},
                        "target": {"type": "Value", "value": "2k"},
                    }},
                    {"type": "Resource", "resource": {
                        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70},
                    }},
                ],
                "behavior": {"scaleDown": {"selectPolicy": "Disabled"}},
            },
            "status": {
                "currentReplicas": 1, "desiredReplicas": 1,
                "currentMetrics": [{"type": "Resource", "resource": {
                    "name": "cpu", "current": {"averageUtilization": 12, "averageValue": "120m"},
                }}],
                "conditions": [{"type": "AbleToScale", "status": "True"}],
            },
        })
    }

    #[test]
    fn nothing_is_lost_on_the_way_through_v1() {
        let shown = from_stored(&v2());
        assert_eq!(shown["spec"]["targetCPUUtilizationPercentage"], 70);
        assert_eq!(shown["status"]["currentCPUUtilizationPercentage"], 12);
        assert_eq!(shown["metadata"]["annotations"]["own"], "stays");
        let metrics: Value = serde_json::from_str(text(
            &shown,
            "/metadata/annotations/autoscaling.alpha.kubernetes.io~1metrics",
        ))
        .unwrap();
        assert_eq!(metrics[0]["pods"]["metricName"], "hits");
        assert_eq!(metrics[1]["object"]["targetValue"], "2k");
        assert!(shown["spec"].get("metrics").is_none() && shown["spec"].get("behavior").is_none());
        assert_eq!(to_stored(shown), v2());
    }

    #[test]
    fn the_share_of_cpu_is_a_metric() {
        let v1 = json!({
            "apiVersion": "autoscaling/v1",
            "metadata": {"name": "web"},
            "spec": {"maxReplicas": 2, "targetCPUUtilizationPercentage": 80},
        });
        let stored = to_stored(v1.clone());
        assert_eq!(stored["spec"]["metrics"], json!([cpu_metric("target", &80.into())]));
        assert_eq!(from_stored(&stored), v1);
    }
}
