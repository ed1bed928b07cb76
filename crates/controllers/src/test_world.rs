//! Objects for this crate's tests.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use serde_json::json;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

pub(crate) fn mk_namespace(name: &str) -> Namespace {
    serde_json::from_value(json!({
        "metadata": {"name": name, "uid": format!("uid-ns-{name}")}, "spec": {"finalizers": ["kubernetes"]},
    }))
    .unwrap()
}

pub(crate) fn mk_node(name: &str) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": name, "uid": format!("uid-{name}"), "labels": {"topology.kubernetes.io/zone": "a"}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }))
    .unwrap()
}

/// A ready Pod on node-a with the label `app=web` and the address 10.244.0.9.
pub(crate) fn mk_pod(namespace: &str, name: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("uid-{name}"), "labels": {"app": "web"},
            "creationTimestamp": at(0).to_string(),
        },
        "spec": {"nodeName": "node-a", "containers": [
            {"name": "web", "image": "web", "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]},
        ]},
        "status": {
            "phase": "Running", "podIP": "10.244.0.9", "podIPs": [{"ip": "10.244.0.9"}],
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at(0).to_string()}],
        },
    }))
    .unwrap()
}

pub(crate) fn owned_by(mut pod: Pod, kind: &str, name: &str, uid: &str) -> Pod {
    pod.metadata.owner_references = Some(vec![
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid,
            "controller": true, "blockOwnerDeletion": true,
        }))
        .unwrap(),
    ]);
    pod
}

pub(crate) fn mk_replica_set(namespace: &str, name: &str, replicas: i32) -> ReplicaSet {
    serde_json::from_value(json!({
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{name}"), "generation": 1},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web"}]}},
        },
        "status": {"replicas": 0},
    }))
    .unwrap()
}

pub(crate) fn mk_deployment(namespace: &str, name: &str, replicas: i32) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{name}"), "generation": 1},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web"}]}},
        },
    }))
    .unwrap()
}

/// A Service `app=web` with port 80 to the container port `http`.
pub(crate) fn mk_service(namespace: &str, name: &str) -> Service {
    serde_json::from_value(json!({
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-svc-{name}")},
        "spec": {
            "selector": {"app": "web"}, "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"],
            "ports": [{"name": "web", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        },
    }))
    .unwrap()
}
