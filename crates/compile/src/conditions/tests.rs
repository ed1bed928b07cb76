//! Conditions begin, go on and end with findings.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use k8s_openapi::api::core::v1 as core;
use model::{Change, Lower};
use serde_json::{Value, json};

use super::*;

fn cluster(services: &[Value]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for service in services {
        put::<core::Service>(&mut snapshot, service);
    }
    snapshot
}

fn put<K: Lower + serde::de::DeserializeOwned>(snapshot: &mut Snapshot, object: &Value) {
    snapshot.apply(Change::put(&serde_json::from_value::<K>(object.clone()).unwrap()));
}

/// A Service of Namespace `shop` with these conditions.
fn service(name: &str, conditions: Value) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"type": "NodePort", "clusterIP": "10.96.0.7", "ports": [{"port": 80, "nodePort": 30080}]},
        "status": {"conditions": conditions},
    })
}

fn condition(condition_type: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": condition_type, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2023-11-14T22:13:20Z"})
}

fn finding(object: &str, severity: Severity, field: &str, reason: &'static str) -> Finding {
    let object = ObjectRef { kind: "Service".into(), namespace: Some("shop".into()), name: object.into() };
    Finding { severity, object, field: field.into(), reason, message: "it is so".into() }
}

/// The writes, without their object.
fn changes(
    snapshot: &Snapshot,
    findings: impl IntoIterator<Item = Finding>,
) -> Vec<(String, ConditionChange)> {
    let writes = of_findings(snapshot, &findings.into_iter().collect());
    let change = |write| match write {
        StatusWrite::Condition { condition_type, change, .. } => (condition_type, change),
        other => panic!("no condition: {other:?}"),
    };
    writes.into_iter().map(change).collect()
}

fn text(reason: &str, message: &str) -> ConditionText {
    ConditionText { reason: reason.into(), message: message.into() }
}

#[test]
fn an_error_begins_a_condition_and_a_warning_none() {
    let snapshot = cluster(&[service("web", json!([])), service("fine", json!([]))]);
    let error = finding("web", Severity::Error, "spec.ports[0].nodePort", "NodePortConflict");
    let warning = finding("fine", Severity::Warning, "spec.selector", "SelectsNoPod");
    let begins = ConditionChange::Begins(text("NodePortConflict", "spec.ports[0].nodePort: it is so"));
    assert_eq!(changes(&snapshot, [error, warning]), [(DEGRADED.to_owned(), begins)]);
}

#[test]
fn a_condition_that_says_so_already_is_left_alone_and_another_text_keeps_its_time() {
    let says = |status, reason| {
        cluster(&[service("web", json!([condition(DEGRADED, status, reason, "spec: it is so")]))])
    };
    let error = || [finding("web", Severity::Error, "spec", "AddressConflict")];
    assert_eq!(changes(&says("True", "AddressConflict"), error()), []);
    let text = text("AddressConflict", "spec: it is so");
    let continues = ConditionChange::Continues { since: 1_700_000_000, text: text.clone() };
    assert_eq!(changes(&says("True", "NodePortConflict"), error()), [(DEGRADED.to_owned(), continues)]);
    let begins = ConditionChange::Begins(text);
    assert_eq!(changes(&says("False", "AddressConflict"), error()), [(DEGRADED.to_owned(), begins)]);
}

#[test]
fn a_mended_object_loses_our_conditions_and_keeps_those_of_others() {
    let conditions = json!([
        condition("example.com/Checked", "True", "Checked", ""),
        condition(DEGRADED, "True", "AddressConflict", "taken"),
        condition("sealane.dev/OfAnotherVersion", "True", "Old", ""),
    ]);
    let ends = |name: &str| (name.to_owned(), ConditionChange::Ends);
    let expected = [ends(DEGRADED), ends("sealane.dev/OfAnotherVersion")];
    assert_eq!(changes(&cluster(&[service("web", conditions)]), []), expected);
}

#[test]
fn several_findings_are_one_condition_of_bounded_length() {
    let snapshot = cluster(&[service("web", json!([]))]);
    let ports = |count: usize| {
        (0..count).map(|at| {
            finding("web", Severity::Error, &format!("spec.ports[{at}].nodePort"), "NodePortConflict")
        })
    };
    let both = "spec.ports[0].nodePort: it is so; spec.ports[1].nodePort: it is so";
    let begins = ConditionChange::Begins(text("NodePortConflict", both));
    assert_eq!(changes(&snapshot, ports(2)), [(DEGRADED.to_owned(), begins)]);
    let mixed = ports(10).chain([finding("web", Severity::Error, "spec", "AddressConflict")]);
    let changes = changes(&snapshot, mixed);
    let [(_, ConditionChange::Begins(mixed))] = &changes[..] else { panic!("it begins: {changes:?}") };
    assert_eq!(mixed.reason, SEVERAL_REASONS);
    assert!(mixed.message.ends_with("; and 3 more"), "{}", mixed.message);
}

#[test]
fn nodes_and_unreadable_services_tell_too_and_pods_do_not() {
    let mut snapshot = Snapshot::default();
    put::<core::Node>(
        &mut snapshot,
        &json!({"metadata": {"name": "node-a"}, "status": {"conditions": [condition("Ready", "True", "", "")]}}),
    );
    let mut odd = service("odd", json!([]));
    odd["spec"]["internalTrafficPolicy"] = json!("Sideways");
    put::<core::Service>(&mut snapshot, &odd);
    put::<core::Pod>(
        &mut snapshot,
        &json!({"metadata": {"namespace": "shop", "name": "web"}, "status": {"podIP": "nonsense"}}),
    );
    let mut findings = Findings::new();
    crate::findings::of_input(&snapshot, &mut findings);
    let object = ObjectRef::cluster("Node", "node-a");
    findings.insert(Finding { object, ..finding("", Severity::Error, "spec.podCIDR", "PodCIDROverlap") });
    assert_eq!(findings.len(), 3);
    let told: Vec<String> = of_findings(&snapshot, &findings)
        .into_iter()
        .map(|write| match write {
            StatusWrite::Condition { object, .. } => object.to_string(),
            other => panic!("no condition: {other:?}"),
        })
        .collect();
    assert_eq!(told, ["Node node-a", "Service shop/odd"]);
}
