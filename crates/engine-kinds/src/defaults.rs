//! Defaults of each kind (upstream: `pkg/apis/*/v1/defaults.go`); they run on every write.

mod autoscaler;
mod pod;
mod workloads;

use serde_json::{Map, Value, json};

use crate::object::{default_to, map_mut, text};

pub(crate) use autoscaler::autoscaler;
pub(crate) use pod::pod;
pub(crate) use workloads::{
    cron_job, daemon_set, disruption_budget, job, stateful_set, volume, volume_claim,
};

/// A mutable list of objects under a key; nothing when absent.
fn members<'a>(
    map: &'a mut Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    map.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

pub(crate) fn namespace(object: &mut Value) {
    let name = crate::object::name(object).to_owned();
    if name.is_empty() {
        return;
    }
    let labels = map_mut(&mut object["metadata"], "labels");
    labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
}

pub(crate) fn node(object: &mut Value) {
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        keep_in_step(spec, "podCIDR", "podCIDRs", None);
    }
    let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) else { return };
    let Some(capacity) = status.get("capacity").cloned() else { return };
    default_to(status, "allocatable", capacity);
}

/// A field and the newer list whose first item it is: whichever is missing follows from the other.
fn keep_in_step(map: &mut Map<String, Value>, single: &str, list: &str, item_key: Option<&str>) {
    let unwrap = |item: &Value| item_key.map_or(Some(item), |key| item.get(key)).cloned();
    let first = map.get(list).and_then(|items| items.get(0)).and_then(unwrap);
    match (map.get(single).cloned(), first) {
        (None, Some(first)) => drop(map.insert(single.to_owned(), first)),
        (Some(value), None) => {
            let item = item_key.map_or_else(|| value.clone(), |key| json!({key: value}));
            map.insert(list.to_owned(), json!([item]));
        }
        _ => {}
    }
}

pub(crate) fn secret(object: &mut Value) {
    use base64::Engine;
    let Some(map) = object.as_object_mut() else { return };
    default_to(map, "type", "Opaque");
    if let Some(Value::Object(texts)) = map.remove("stringData") {
        let data = map_mut(object, "data");
        for (key, value) in texts {
            let encoded =
                base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default());
            data.insert(key, encoded.into());
        }
    }
}

pub(crate) fn endpoints(object: &mut Value) {
    let Some(map) = object.as_object_mut() else { return };
    for subset in members(map, "subsets") {
        members(subset, "ports").for_each(|port| default_to(port, "protocol", "TCP"));
    }
}

pub(crate) fn endpoint_slice(object: &mut Value) {
    let Some(map) = object.as_object_mut() else { return };
    for port in members(map, "ports") {
        default_to(port, "name", "");
        default_to(port, "protocol", "TCP");
    }
}

pub(crate) fn service(object: &mut Value) {
    let spec = map_mut(object, "spec");
    default_to(spec, "sessionAffinity", "None");
    default_to(spec, "type", "ClusterIP");
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    if spec["sessionAffinity"] == "None" {
        spec.remove("sessionAffinityConfig");
    } else if spec["sessionAffinity"] == "ClientIP" {
        let config = spec.entry("sessionAffinityConfig").or_insert_with(|| json!({}));
        default_to(map_mut(config, "clientIP"), "timeoutSeconds", 10800);
    }
    for port in members(spec, "ports") {
        default_to(port, "protocol", "TCP");
        let unset = port.get("targetPort").is_none_or(|target| *target == 0 || target == "");
        if let (true, Some(number)) = (unset, port.get("port").cloned()) {
            port.insert("targetPort".to_owned(), number);
        }
    }
    let has_external_ips =
        spec.get("externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty());
    let has_node_ports = matches!(kind.as_str(), "NodePort" | "LoadBalancer");
    if has_node_ports || (has_external_ips && kind == "ClusterIP") {
        default_to(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind != "ExternalName" {
        default_to(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        default_to(spec, "allocateLoadBalancerNodePorts", true);
    }
    let balancer = map_mut(map_mut_of(object, "status"), "loadBalancer");
    for ingress in members(balancer, "ingress") {
        if kind == "LoadBalancer" && ingress.contains_key("ip") {
            default_to(ingress, "ipMode", "VIP");
        }
    }
}

/// The value under `key`, made a map if it is none.
fn map_mut_of<'a>(object: &'a mut Value, key: &str) -> &'a mut Value {
    map_mut(object, key);
    &mut object[key]
}

pub(crate) fn deployment(object: &mut Value) {
    let spec = map_mut(object, "spec");
    default_to(spec, "replicas", 1);
    default_to(spec, "revisionHistoryLimit", 10);
    default_to(spec, "progressDeadlineSeconds", 600);
    let strategy = spec.entry("strategy").or_insert_with(|| json!({}));
    if let Some(strategy) = strategy.as_object_mut() {
        default_to(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate" {
            let rolling = strategy.entry("rollingUpdate").or_insert_with(|| json!({}));
            if let Some(rolling) = rolling.as_object_mut() {
                default_to(rolling, "maxUnavailable", "25%");
                default_to(rolling, "maxSurge", "25%");
            }
        }
    }
    template(spec);
    map_mut(object, "status");
}

pub(crate) fn replica_set(object: &mut Value) {
    let labels = object.pointer("/spec/template/metadata/labels").cloned();
    if text(object, "/metadata/name").is_empty() && labels.is_none() {
        return;
    }
    let spec = map_mut(object, "spec");
    default_to(spec, "replicas", 1);
    template(spec);
    default_to(map_mut(object, "status"), "replicas", 0);
}

/// Defaults of a Pod template.
fn template(spec: &mut Map<String, Value>) {
    let Some(template) = spec.get_mut("template").and_then(Value::as_object_mut) else { return };
    if let Some(pod_spec) = template.get_mut("spec").and_then(Value::as_object_mut) {
        pod::pod_spec(pod_spec);
    }
}

pub(crate) fn ingress_class(object: &mut Value) {
    let parameters = object.pointer_mut("/spec/parameters").and_then(Value::as_object_mut);
    if let Some(parameters) = parameters {
        default_to(parameters, "scope", "Cluster");
    }
}

pub(crate) fn network_policy(object: &mut Value) {
    let spec = map_mut(object, "spec");
    // The field is a struct in Go and always written.
    default_to(spec, "podSelector", json!({}));
    for rules in ["ingress", "egress"] {
        for rule in members(spec, rules) {
            members(rule, "ports").for_each(|port| default_to(port, "protocol", "TCP"));
        }
    }
    if spec.get("policyTypes").is_none_or(|types| types.as_array().is_none_or(Vec::is_empty)) {
        let egress = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
        let types = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        spec.insert("policyTypes".to_owned(), types);
    }
}
