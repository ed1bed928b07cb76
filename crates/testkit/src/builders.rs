//! Small API objects for tests, well formed unless a test spoils them.

use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::networking::v1 as networking;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn built<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).expect("the builder writes the form of the API")
}

/// `namespace/name` as metadata.
fn metadata(name: &str) -> Value {
    match name.split_once('/') {
        Some((namespace, name)) => json!({"namespace": namespace, "name": name}),
        None => json!({"name": name}),
    }
}

fn labelled(name: &str, labels: &[(&str, &str)]) -> Value {
    let mut metadata = metadata(name);
    metadata["labels"] = labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    metadata
}

/// A Ready Node with one address and one Pod range.
#[must_use]
pub fn mk_node(name: &str, address: &str, pod_cidr: &str) -> core::Node {
    built(json!({
        "metadata": metadata(name),
        "spec": {"podCIDR": pod_cidr, "podCIDRs": [pod_cidr]},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }))
}

/// A Namespace with these labels.
#[must_use]
pub fn mk_namespace(name: &str, labels: &[(&str, &str)]) -> core::Namespace {
    built(json!({"metadata": labelled(name, labels)}))
}

/// A running, Ready Pod (`namespace/name`) with one container that declares port 8080 as `http`.
#[must_use]
pub fn mk_pod(name: &str, node: &str, address: IpAddr, labels: &[(&str, &str)]) -> core::Pod {
    built(json!({
        "metadata": labelled(name, labels),
        "spec": {"nodeName": node, "containers": [
            {"name": "main", "ports": [{"name": "http", "containerPort": 8080}]},
        ]},
        "status": {
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }))
}

/// A ClusterIP Service (`namespace/name`) with port 80 to `http`, selecting these labels.
#[must_use]
pub fn mk_service(name: &str, cluster_ip: &str, selector: &[(&str, &str)]) -> core::Service {
    let selector: Value = selector.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    built(json!({
        "metadata": metadata(name),
        "spec": {
            "clusterIP": cluster_ip, "clusterIPs": [cluster_ip], "selector": selector,
            "ports": [{"port": 80, "targetPort": "http"}],
        },
    }))
}

/// An EndpointSlice of a Service (`namespace/name`) with Ready endpoints (address and node) on port 8080.
#[must_use]
pub fn mk_endpoint_slice(service: &str, endpoints: &[(&str, &str)]) -> discovery::EndpointSlice {
    let short = service.rsplit('/').next().unwrap_or_default();
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(address, node)| json!({"addresses": [address], "nodeName": node, "conditions": {"ready": true}}))
        .collect();
    built(json!({
        "metadata": labelled(&format!("{service}-1"), &[(model::SERVICE_NAME_LABEL, short)]),
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints,
    }))
}

/// A NetworkPolicy (`namespace/name`) with this spec.
#[must_use]
pub fn mk_network_policy(name: &str, spec: Value) -> networking::NetworkPolicy {
    built(json!({"metadata": metadata(name), "spec": spec}))
}
