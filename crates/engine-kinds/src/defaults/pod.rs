//! Defaults of Pods and of the Pod specs in templates (upstream: `pkg/apis/core/v1/defaults.go`).

use serde_json::{Map, Value, json};

use super::{keep_in_step, members};
use crate::object::{default_to, map_mut};

const CONTAINERS: &[&str] = &["initContainers", "containers"];

/// Defaults of a Pod.
pub(crate) fn pod(object: &mut Value) {
    let spec = map_mut(object, "spec");
    default_to(spec, "enableServiceLinks", true);
    pod_spec(spec);
    let host_network = spec.get("hostNetwork").is_some_and(|on| *on == true);
    for list in CONTAINERS {
        for container in members(spec, list) {
            copy_limits(container);
            if host_network {
                members(container, "ports").for_each(use_host_port);
            }
        }
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        keep_in_step(status, "podIP", "podIPs", Some("ip"));
        keep_in_step(status, "hostIP", "hostIPs", Some("ip"));
    }
}

/// On the host's network a container port is a host port.
fn use_host_port(port: &mut Map<String, Value>) {
    if let Some(number) = port.get("containerPort").cloned() {
        default_to(port, "hostPort", number);
    }
}

/// Requests not given are the limits.
fn copy_limits(container: &mut Map<String, Value>) {
    let Some(resources) = container.get_mut("resources") else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let requests = map_mut(resources, "requests");
    for (name, limit) in limits {
        default_to(requests, &name, limit);
    }
}

/// Defaults of a Pod spec.
pub(super) fn pod_spec(spec: &mut Map<String, Value>) {
    default_to(spec, "dnsPolicy", "ClusterFirst");
    default_to(spec, "restartPolicy", "Always");
    default_to(spec, "securityContext", json!({}));
    default_to(spec, "terminationGracePeriodSeconds", 30);
    default_to(spec, "schedulerName", "default-scheduler");
    // The deprecated name is kept in step with the current one (upstream: conversion of PodSpec).
    match (spec.get("serviceAccountName").cloned(), spec.get("serviceAccount").cloned()) {
        (Some(name), _) => drop(spec.insert("serviceAccount".to_owned(), name)),
        (None, Some(name)) => drop(spec.insert("serviceAccountName".to_owned(), name)),
        (None, None) => {}
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        members(spec, list).for_each(container);
    }
    members(spec, "volumes").for_each(volume);
}

fn container(container: &mut Map<String, Value>) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let policy = if is_latest(image) { "Always" } else { "IfNotPresent" };
    default_to(container, "imagePullPolicy", policy);
    default_to(container, "terminationMessagePath", "/dev/termination-log");
    default_to(container, "terminationMessagePolicy", "File");
    default_to(container, "resources", json!({}));
    members(container, "ports").for_each(|port| default_to(port, "protocol", "TCP"));
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe_map) = container.get_mut(name).and_then(Value::as_object_mut) {
            probe(probe_map);
        }
    }
    for hook in ["postStart", "preStop"] {
        let handler = container.get_mut("lifecycle").and_then(|lifecycle| lifecycle.get_mut(hook));
        if let Some(handler) = handler.and_then(Value::as_object_mut) {
            http_get(handler);
        }
    }
    for variable in members(container, "env") {
        let reference = variable.get_mut("valueFrom").and_then(|from| from.get_mut("fieldRef"));
        if let Some(reference) = reference.and_then(Value::as_object_mut) {
            default_to(reference, "apiVersion", "v1");
        }
    }
}

/// Whether an image reference means the tag `latest`, named or not.
fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    match image.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => tag == "latest",
        _ => true,
    }
}

fn probe(probe: &mut Map<String, Value>) {
    default_to(probe, "timeoutSeconds", 1);
    default_to(probe, "periodSeconds", 10);
    default_to(probe, "successThreshold", 1);
    default_to(probe, "failureThreshold", 3);
    http_get(probe);
    if let Some(grpc) = probe.get_mut("grpc").and_then(Value::as_object_mut) {
        default_to(grpc, "service", "");
    }
}

fn http_get(handler: &mut Map<String, Value>) {
    if let Some(get) = handler.get_mut("httpGet").and_then(Value::as_object_mut) {
        default_to(get, "path", "/");
        default_to(get, "scheme", "HTTP");
    }
}

fn volume(volume: &mut Map<String, Value>) {
    if !volume.keys().any(|key| key != "name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(source).and_then(Value::as_object_mut) {
            default_to(source, "defaultMode", 420);
            members(source, "items").for_each(field_ref);
            for projection in members(source, "sources") {
                if let Some(token) = projection.get_mut("serviceAccountToken").and_then(Value::as_object_mut)
                {
                    default_to(token, "expirationSeconds", 3600);
                }
                if let Some(downward) = projection.get_mut("downwardAPI").and_then(Value::as_object_mut) {
                    members(downward, "items").for_each(field_ref);
                }
            }
        }
    }
    if let Some(path) = volume.get_mut("hostPath").and_then(Value::as_object_mut) {
        default_to(path, "type", "");
    }
}

fn field_ref(item: &mut Map<String, Value>) {
    if let Some(reference) = item.get_mut("fieldRef").and_then(Value::as_object_mut) {
        default_to(reference, "apiVersion", "v1");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policy_follows_the_tag() {
        for (image, latest) in [
            ("nginx", true),
            ("nginx:latest", true),
            ("nginx:1.27", false),
            ("host:5000/nginx", true),
            ("host:5000/nginx:1", false),
            ("nginx@sha256:00", false),
        ] {
            assert_eq!(is_latest(image), latest, "{image}");
        }
    }

    #[test]
    fn a_small_pod_is_completed() {
        let mut object = json!({"spec": {
            "hostNetwork": true,
            "containers": [{
                "name": "c", "image": "x:1", "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "1"}},
                "readinessProbe": {"httpGet": {"port": 80}}}],
            "volumes": [{"name": "v"}]}});
        pod(&mut object);
        let container = &object["spec"]["containers"][0];
        assert_eq!(container["ports"][0], json!({"containerPort": 80, "hostPort": 80, "protocol": "TCP"}));
        assert_eq!(container["resources"]["requests"]["cpu"], "1");
        assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/");
        assert_eq!(object["spec"]["volumes"][0]["emptyDir"], json!({}));
        let once = object.clone();
        pod(&mut object);
        assert_eq!(object, once);
    }
}
