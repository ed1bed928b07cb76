//! The objects the benchmark writes: Pods as a Deployment and a kubelet make them, and small `ConfigMaps`.

use bytes::Bytes;
use serde_json::{Value, json};

/// Where everything is written.
pub(crate) const NAMESPACE: &str = "bench";

/// A `Namespace`.
pub(crate) fn namespace() -> Bytes {
    bytes(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))
}

/// A small `ConfigMap`.
pub(crate) fn config_map(name: &str) -> Bytes {
    bytes(&json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "bench", "tier": "small"}},
        "data": {"host": "db.example.com", "port": "5432", "mode": "standby"},
    }))
}

/// A Pod as the ReplicaSet controller makes it and the admission plugins of a cluster complete it.
pub(crate) fn pod(name: &str) -> Bytes {
    bytes(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"app": "web", "app.kubernetes.io/part-of": "shop", "pod-template-hash": "6b4f7c9d55"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6b4f7c9d55",
                "uid": "5a0c6a0e-4d5e-4a3c-9a55-1f1c5a1f0b11", "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "nodeName": "node-a", "serviceAccountName": "default",
            "containers": [{
                "name": "web", "image": "registry.example.com/shop/web:1.27.3",
                "args": ["--listen=:8080", "--log-level=info"],
                "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9090}],
                "env": [
                    {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "DATABASE_HOST", "value": "db.shop.svc.cluster.local"},
                    {"name": "DATABASE_PORT", "value": "5432"},
                ],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
                "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}, "initialDelaySeconds": 10},
                "volumeMounts": [
                    {"name": "config", "mountPath": "/etc/web"},
                    token_mount(),
                ],
            }],
            "volumes": [{"name": "config", "configMap": {"name": "web"}}, token_volume()],
        },
    }))
}

fn token_mount() -> Value {
    json!({
        "name": "kube-api-access-x7k2p", "readOnly": true,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    })
}

fn token_volume() -> Value {
    json!({"name": "kube-api-access-x7k2p", "projected": {"sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}})
}

/// What a kubelet says about a Pod that runs: the body of a strategic merge patch of its status.
pub(crate) fn running(restarts: usize) -> Bytes {
    let condition = |name: &str| {
        json!({
            "type": name, "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-01-02T03:04:05Z",
        })
    };
    let conditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    bytes(&json!({"status": {
        "phase": "Running", "hostIP": "172.31.0.11", "hostIPs": [{"ip": "172.31.0.11"}],
        "podIP": "10.244.1.17", "podIPs": [{"ip": "10.244.1.17"}], "startTime": "2026-01-02T03:04:00Z",
        "conditions": conditions.map(condition),
        "containerStatuses": [{
            "name": "web", "ready": true, "started": true, "restartCount": restarts,
            "image": "registry.example.com/shop/web:1.27.3",
            "imageID": "registry.example.com/shop/web@sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
            "containerID": "containerd://9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "state": {"running": {"startedAt": "2026-01-02T03:04:04Z"}}, "lastState": {},
        }],
    }}))
}

/// One changed value of a `ConfigMap`: the body of a merge patch.
pub(crate) fn changed(value: &str) -> Bytes {
    bytes(&json!({"data": {"mode": value}}))
}

fn bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}
