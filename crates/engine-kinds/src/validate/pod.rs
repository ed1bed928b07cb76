//! Rules for Pods and Pod specs (upstream: `pkg/apis/core/validation`).

pub(crate) mod ephemeral;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Findings, names};
use crate::object::{integer, list, text};

/// What an update of a Pod may change (upstream: `ValidatePodUpdate`).
const UPDATE_RULE: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(crate) fn pod(object: &Value, old: Option<&Value>, findings: &mut Findings) {
    spec(object.get("spec").unwrap_or(&Value::Null), "spec", findings);
    if old.is_none() {
        ephemeral::new_pod(object, findings);
    }
    if let Some(old) = old
        && frozen(object) != frozen(old)
    {
        findings.forbidden("spec", UPDATE_RULE);
    }
    if let Some(old) = old {
        let now = list(object, "/spec/tolerations");
        if !list(old, "/spec/tolerations").iter().all(|toleration| now.contains(toleration)) {
            findings.forbidden(
                "spec.tolerations",
                "existing toleration can not be modified except its tolerationSeconds",
            );
        }
    }
}

/// The part of a Pod's spec that no update may change.
fn frozen(pod: &Value) -> Value {
    let mut spec = pod.get("spec").cloned().unwrap_or_default();
    if let Some(map) = spec.as_object_mut() {
        for field in
            ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates"]
        {
            map.remove(field);
        }
        for containers in ["containers", "initContainers"] {
            let containers = map.get_mut(containers).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
                container.remove("image");
            }
        }
    }
    spec
}

/// Rules for a Pod spec found at `field`.
pub(super) fn spec(spec: &Value, field: &str, findings: &mut Findings) {
    let volumes = volumes(spec, field, findings);
    if list(spec, "/containers").is_empty() {
        findings.required(&format!("{field}.containers"), "");
    }
    let mut container_names = BTreeSet::new();
    for kind in ["initContainers", "containers"] {
        let mut host_ports = BTreeSet::new();
        for (index, container) in list(spec, &format!("/{kind}")).iter().enumerate() {
            let field = format!("{field}.{kind}[{index}]");
            let name = text(container, "/name");
            if !name.is_empty() && !container_names.insert(name.to_owned()) {
                findings.duplicate(&format!("{field}.name"), &json!(name));
            }
            self::container(container, &field, &volumes, findings);
            ports(container, &format!("{field}.ports"), &mut host_ports, findings);
        }
    }
    one_of(spec, "restartPolicy", field, &["Always", "OnFailure", "Never"], findings);
    one_of(
        spec,
        "dnsPolicy",
        field,
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
        findings,
    );
    if let Some(seconds) = integer(spec, "/terminationGracePeriodSeconds").filter(|seconds| *seconds < 0) {
        findings.invalid(
            &format!("{field}.terminationGracePeriodSeconds"),
            &seconds.into(),
            "must be greater than or equal to 0",
        );
    }
    for (name, is_label) in [("hostname", true), ("subdomain", true), ("nodeName", false)] {
        let value = text(spec, &format!("/{name}"));
        let wrong = if is_label { names::label(value) } else { names::subdomain(value) };
        if !value.is_empty() {
            wrong.iter().for_each(|why| findings.invalid(&format!("{field}.{name}"), &json!(value), why));
        }
    }
}

/// A field with a fixed list of values; absent is fine.
fn one_of(spec: &Value, name: &str, field: &str, supported: &[&str], findings: &mut Findings) {
    let value = text(spec, &format!("/{name}"));
    if !value.is_empty() && !supported.contains(&value) {
        findings.not_supported(&format!("{field}.{name}"), value, supported);
    }
}

/// Checks volumes; returns their names.
fn volumes(spec: &Value, field: &str, findings: &mut Findings) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for (index, volume) in list(spec, "/volumes").iter().enumerate() {
        let field = format!("{field}.volumes[{index}]");
        let name = text(volume, "/name");
        if name.is_empty() {
            findings.required(&format!("{field}.name"), "");
            continue;
        }
        names::label(name)
            .iter()
            .for_each(|why| findings.invalid(&format!("{field}.name"), &json!(name), why));
        if !seen.insert(name.to_owned()) {
            findings.duplicate(&format!("{field}.name"), &json!(name));
        }
        let sources = volume.as_object().map_or(0, |map| map.keys().filter(|key| *key != "name").count());
        if sources > 1 {
            findings.forbidden(&field, "may not specify more than 1 volume type");
        }
    }
    seen
}

fn container(container: &Value, field: &str, volumes: &BTreeSet<String>, findings: &mut Findings) {
    let name = text(container, "/name");
    if name.is_empty() {
        findings.required(&format!("{field}.name"), "");
    } else {
        names::label(name)
            .iter()
            .for_each(|why| findings.invalid(&format!("{field}.name"), &json!(name), why));
    }
    if text(container, "/image").is_empty() {
        findings.required(&format!("{field}.image"), "");
    }
    one_of(container, "imagePullPolicy", field, &["Always", "IfNotPresent", "Never"], findings);
    let mut paths = BTreeSet::new();
    for (index, mount) in list(container, "/volumeMounts").iter().enumerate() {
        let field = format!("{field}.volumeMounts[{index}]");
        let (volume, path) = (text(mount, "/name"), text(mount, "/mountPath"));
        if volume.is_empty() {
            findings.required(&format!("{field}.name"), "");
        } else if !volumes.contains(volume) {
            findings.not_found(&format!("{field}.name"), volume);
        }
        if path.is_empty() {
            findings.required(&format!("{field}.mountPath"), "");
        } else if !paths.insert(path.to_owned()) {
            findings.invalid(&format!("{field}.mountPath"), &json!(path), "must be unique");
        }
    }
    env(container, field, findings);
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get(name) {
            self::probe(probe, &format!("{field}.{name}"), name, findings);
        }
    }
    resources(container, &format!("{field}.resources"), findings);
}

fn env(container: &Value, field: &str, findings: &mut Findings) {
    for (index, variable) in list(container, "/env").iter().enumerate() {
        let field = format!("{field}.env[{index}]");
        let name = text(variable, "/name");
        if name.is_empty() {
            findings.required(&format!("{field}.name"), "");
        } else if name.contains('=') {
            findings.invalid(
                &format!("{field}.name"),
                &json!(name),
                "environment variable names must not contain '='",
            );
        }
        if !text(variable, "/value").is_empty() && variable.get("valueFrom").is_some() {
            let why = "may not be specified when `value` is not empty";
            findings.invalid(&format!("{field}.valueFrom"), &json!(""), why);
        }
    }
}

fn probe(probe: &Value, field: &str, name: &str, findings: &mut Findings) {
    let handlers: Vec<&str> = ["exec", "httpGet", "tcpSocket", "grpc"]
        .into_iter()
        .filter(|kind| probe.get(*kind).is_some())
        .collect();
    match handlers.as_slice() {
        [] => findings.required(field, "must specify a handler type"),
        [handler] => {
            let port = probe.pointer(&format!("/{handler}/port"));
            if let Some(port) = port {
                port_reference(port, &format!("{field}.{handler}.port"), findings);
            } else if *handler != "exec" {
                findings.required(&format!("{field}.{handler}.port"), "");
            }
        }
        [_, second, ..] => {
            findings.forbidden(&format!("{field}.{second}"), "may not specify more than 1 handler type");
        }
    }
    for number in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        if let Some(value) = integer(probe, &format!("/{number}")).filter(|value| *value < 0) {
            findings.invalid(
                &format!("{field}.{number}"),
                &value.into(),
                "must be greater than or equal to 0",
            );
        }
    }
    let successes = integer(probe, "/successThreshold").unwrap_or(1);
    if name != "readinessProbe" && successes != 1 {
        findings.invalid(&format!("{field}.successThreshold"), &successes.into(), "must be 1");
    }
}

/// A port given by number or by name.
pub(super) fn port_reference(port: &Value, field: &str, findings: &mut Findings) {
    match port {
        Value::String(name) => {
            names::port_name(name).iter().for_each(|why| findings.invalid(field, port, why));
        }
        _ => {
            if let Some(why) = names::port_number(port.as_i64().unwrap_or(0)) {
                findings.invalid(field, port, why);
            }
        }
    }
}

fn resources(container: &Value, field: &str, findings: &mut Findings) {
    let amounts = |kind: &str| container.pointer(&format!("/resources/{kind}")).and_then(Value::as_object);
    let nanos = |value: &Value| engine_schema::quantity::nanos(value.as_str().unwrap_or_default());
    for kind in ["limits", "requests"] {
        for (name, amount) in amounts(kind).into_iter().flatten() {
            if nanos(amount).is_some_and(|amount| amount < 0) {
                findings.invalid(
                    &format!("{field}.{kind}[{name}]"),
                    amount,
                    "must be greater than or equal to 0",
                );
            }
        }
    }
    for (name, request) in amounts("requests").into_iter().flatten() {
        let Some(limit) = amounts("limits").and_then(|limits| limits.get(name)) else { continue };
        if nanos(request) > nanos(limit) {
            let shown = limit.as_str().unwrap_or_default();
            let why = format!("must be less than or equal to {name} limit of {shown}");
            findings.invalid(&format!("{field}.requests"), request, &why);
        }
    }
}

fn ports(container: &Value, field: &str, host_ports: &mut BTreeSet<String>, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (index, port) in list(container, "/ports").iter().enumerate() {
        let field = format!("{field}[{index}]");
        let name = text(port, "/name");
        if !name.is_empty() {
            let wrong = names::port_name(name);
            wrong.iter().for_each(|why| findings.invalid(&format!("{field}.name"), &json!(name), why));
            if wrong.is_empty() && !seen.insert(name.to_owned()) {
                findings.duplicate(&format!("{field}.name"), &json!(name));
            }
        }
        match integer(port, "/containerPort") {
            None | Some(0) => findings.required(&format!("{field}.containerPort"), ""),
            Some(number) => {
                if let Some(why) = names::port_number(number) {
                    findings.invalid(&format!("{field}.containerPort"), &number.into(), why);
                }
            }
        }
        protocol(port, &field, findings);
        if let Some(number) = integer(port, "/hostPort").filter(|number| *number != 0) {
            if let Some(why) = names::port_number(number) {
                findings.invalid(&format!("{field}.hostPort"), &number.into(), why);
            }
            let key = format!("{}//{number}/{}", text(port, "/hostIP"), text(port, "/protocol"));
            if !host_ports.insert(key.clone()) {
                findings.duplicate(&format!("{field}.hostPort"), &json!(key));
            }
        }
    }
}

/// The protocol of a port.
pub(super) fn protocol(port: &Value, field: &str, findings: &mut Findings) {
    let supported = ["SCTP", "TCP", "UDP"];
    match text(port, "/protocol") {
        "" => findings.required(&format!("{field}.protocol"), ""),
        protocol if supported.contains(&protocol) => {}
        other => findings.not_supported(&format!("{field}.protocol"), other, &supported),
    }
}
