//! EndpointSlices that a cluster's controller would make from Services and Pods (semantics ES2 to ES5, ES10).
//!
//! One slice per endpoint: the union is what counts, and so every scenario also tests that.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use model::{Lower, Object, Service, Snapshot, TargetPort};
use serde_json::{Value, json};
use types::LabelSelector;

/// Slices of every Service that selects Pods and has none of its own in the snapshot.
pub(crate) fn derive_slices(
    services: &[core::Service],
    pods: &[core::Pod],
    snapshot: &Snapshot,
) -> Vec<discovery::EndpointSlice> {
    let mut slices = Vec::new();
    for api in services {
        let lowered = api.lower().or_else(|rejected| rejected.stand_in.map(|object| *object).ok_or(()));
        let Ok(Object::Service(service)) = lowered else { continue };
        let Some(labels) = &service.selector else { continue };
        let has_own =
            snapshot.endpoint_slices.values().any(|slice| slice.service.as_ref() == Some(&service.name));
        if has_own {
            continue;
        }
        let selector = LabelSelector::from_map(labels);
        for pod in pods {
            let same_namespace = pod.metadata.namespace.as_deref() == Some(&service.name.namespace);
            let selected = selector.matches(pod.metadata.labels.as_ref().unwrap_or(&types::Labels::new()));
            if same_namespace && selected {
                slices.extend(slice(api, &service, pod, snapshot));
            }
        }
    }
    slices
}

fn slice(
    api: &core::Service,
    service: &Service,
    pod: &core::Pod,
    snapshot: &Snapshot,
) -> Option<discovery::EndpointSlice> {
    let Ok(Object::Pod(lowered)) = pod.lower() else { return None };
    let address = lowered.addresses.first().filter(|_| !lowered.finished)?;
    let ports: Vec<Value> = service
        .ports
        .iter()
        .filter_map(|port| {
            let number = match &port.target {
                TargetPort::Number(number) => *number,
                TargetPort::Name(name) => lowered.named_port(name, port.protocol)?,
            };
            Some(json!({"name": port.name, "port": number, "protocol": port.protocol}))
        })
        .collect();
    let zone = lowered.node.as_ref().and_then(|node| snapshot.nodes.get(node)?.zone.clone());
    let headless = if service.headless { json!({"service.kubernetes.io/headless": ""}) } else { json!({}) };
    let mut labels = headless;
    labels[model::SERVICE_NAME_LABEL] = json!(service.name.name);
    let slice = json!({
        "metadata": {
            "namespace": service.name.namespace,
            "name": format!("{}-{}", service.name.name, lowered.name.name),
            "labels": labels,
        },
        "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
        "ports": ports,
        "endpoints": [{
            "addresses": [address],
            "conditions": conditions(service, pod),
            "nodeName": lowered.node,
            "zone": zone,
            "hostname": hostname(service, pod),
            "targetRef": {"kind": "Pod", "namespace": lowered.name.namespace, "name": lowered.name.name},
            "hints": hints(api, &lowered, zone.as_deref()),
        }],
    });
    Some(serde_json::from_value(slice).expect("this is the form of an EndpointSlice"))
}

fn conditions(service: &Service, pod: &core::Pod) -> Value {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    // A manifest that says nothing of conditions means a Pod that is fine.
    let serving = conditions.is_none_or(|conditions| {
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    });
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let ready = service.publish_not_ready || (serving && !terminating);
    json!({"ready": ready, "serving": serving, "terminating": terminating})
}

fn hostname(service: &Service, pod: &core::Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    spec.hostname.clone().filter(|_| spec.subdomain.as_deref() == Some(&service.name.name))
}

fn hints(api: &core::Service, pod: &model::Pod, zone: Option<&str>) -> Option<Value> {
    let distribution = api.spec.as_ref()?.traffic_distribution.as_deref()?;
    let zones = json!([{"name": zone?}]);
    match distribution {
        "PreferSameNode" => Some(json!({"forZones": zones, "forNodes": [{"name": pod.node.as_ref()?}]})),
        "PreferClose" | "PreferSameZone" => Some(json!({"forZones": zones})),
        _ => None,
    }
}
