//! Snapshots: the order of changes has no meaning, and rejected objects fail closed.

use k8s_openapi::api::core::v1;
use k8s_openapi::api::networking::v1 as networking;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Lower, PolicyPeer};

fn from_json<K: serde::de::DeserializeOwned>(value: serde_json::Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn pod(name: &str, address: &str) -> v1::Pod {
    from_json(json!({
        "metadata": {"namespace": "shop", "name": name, "labels": {"app": name}},
        "spec": {"nodeName": "node-a", "containers": [
            {"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
    }))
}

fn policy(name: &str, spec: serde_json::Value) -> networking::NetworkPolicy {
    from_json(json!({"metadata": {"namespace": "shop", "name": name}, "spec": spec}))
}

fn put<K: Lower>(snapshot: &mut Snapshot, object: &K) -> bool {
    snapshot.apply(Change::put(object))
}

#[test]
fn putting_the_same_object_twice_changes_nothing() {
    let mut snapshot = Snapshot::default();
    assert!(put(&mut snapshot, &pod("web", "10.244.1.5")));
    assert!(!put(&mut snapshot, &pod("web", "10.244.1.5")));
    assert!(put(&mut snapshot, &pod("web", "10.244.1.6")));
}

#[test]
fn pods_of_one_replica_set_have_their_labels_once() {
    let of_web = |name: &str| {
        let mut pod = pod(name, "10.244.1.5");
        pod.metadata.labels = Some([("app".to_owned(), "web".to_owned())].into());
        pod
    };
    let mut snapshot = Snapshot::default();
    let listed = [pod("db-1", "10.244.1.4"), of_web("web-1"), of_web("web-2")];
    snapshot.apply(Change::replace(&listed));
    put(&mut snapshot, &of_web("web-0"));
    let labels = |name: &str| &snapshot.pods[&NamespacedName::new("shop", name)].labels;
    assert!(labels("web-1").is_same(labels("web-2")), "listed together");
    assert!(labels("web-0").is_same(labels("web-1")), "came later");
    assert_ne!(labels("db-1"), labels("web-0"));
}

#[test]
fn a_pod_that_cannot_be_read_takes_the_place_of_its_earlier_form() {
    let mut snapshot = Snapshot::default();
    put(&mut snapshot, &pod("web", "10.244.1.5"));
    assert!(put(&mut snapshot, &pod("web", "not-an-address")));
    assert!(snapshot.pods.is_empty());
    let rejected = snapshot.rejected.values().next().unwrap();
    assert_eq!(rejected.field, "status.podIPs[0].ip");
    assert!(put(&mut snapshot, &pod("web", "10.244.1.5")));
    assert!(snapshot.rejected.is_empty());
}

#[test]
fn a_policy_with_a_fault_still_isolates_and_keeps_only_its_readable_rules() {
    let mut snapshot = Snapshot::default();
    let spec = json!({
        "podSelector": {"matchLabels": {"app": "db"}},
        "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"app": "backend"}}}]},
            {"from": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]},
        ],
    });
    put(&mut snapshot, &policy("db", spec));
    let policy = snapshot.network_policies.values().next().unwrap();
    let rules = policy.ingress.as_ref().unwrap();
    assert_eq!(rules.len(), 1);
    assert!(matches!(rules[0].peers.as_deref(), Some([PolicyPeer::Pods { .. }])));
    let rejected = snapshot.rejected.values().next().unwrap();
    assert_eq!(rejected.field, "spec.ingress[1].from[0].ipBlock.cidr");
}

#[test]
fn an_unreadable_policy_isolates_its_namespace() {
    let mut snapshot = Snapshot::default();
    let name = NamespacedName::new("shop", "odd");
    let rejected = Rejected::unreadable(ObjectRef::namespaced("NetworkPolicy", &name), "not an object");
    assert!(snapshot.apply(Change::Rejected(rejected)));
    assert_eq!(snapshot.network_policies[&name], NetworkPolicy::deny_all(name.clone()));
    assert!(snapshot.apply(Change::Remove(ObjectRef::namespaced("NetworkPolicy", &name))));
    assert_eq!(snapshot, Snapshot::default());
}

#[test]
fn policy_types_default_by_the_rules_present() {
    let directions = |spec| {
        let mut snapshot = Snapshot::default();
        put(&mut snapshot, &policy("p", spec));
        let policy = snapshot.network_policies.values().next().cloned().unwrap();
        (policy.ingress.is_some(), policy.egress.is_some())
    };
    assert_eq!(directions(json!({"podSelector": {}})), (true, false));
    assert_eq!(directions(json!({"podSelector": {}, "egress": []})), (true, false));
    assert_eq!(directions(json!({"podSelector": {}, "egress": [{}]})), (true, true));
    assert_eq!(directions(json!({"podSelector": {}, "policyTypes": ["Egress"]})), (false, true));
}

#[test]
fn a_relist_removes_what_is_not_listed() {
    let mut snapshot = Snapshot::default();
    put(&mut snapshot, &pod("web", "10.244.1.5"));
    put(&mut snapshot, &pod("api", "10.244.1.6"));
    put(&mut snapshot, &pod("odd", "x"));
    let listed = [pod("web", "10.244.1.5"), pod("new", "10.244.1.7")];
    assert!(snapshot.apply(Change::replace(&listed)));
    let names: Vec<_> = snapshot.pods.keys().map(|name| name.name.as_str()).collect();
    assert_eq!(names, ["new", "web"]);
    assert!(snapshot.rejected.is_empty());
    assert!(!snapshot.apply(Change::replace(&listed)));
}

/// What may happen to one of a few Pods and policies; the number picks which, the flag whether it is well formed.
fn step() -> impl Strategy<Value = (u8, u8, bool)> {
    (0..3u8, 0..4u8, any::<bool>())
}

fn change((kind, number, well_formed): (u8, u8, bool)) -> Change {
    let name = format!("object-{number}");
    match kind {
        0 => Change::put(&pod(&name, if well_formed { "10.244.1.5" } else { "x" })),
        1 => {
            let cidr = if well_formed { "10.0.0.0/8" } else { "x" };
            let spec = json!({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": cidr}}]}]});
            Change::put(&policy(&name, spec))
        }
        _ => {
            let kind = if well_formed { "Pod" } else { "NetworkPolicy" };
            Change::Remove(ObjectRef::namespaced(kind, &NamespacedName::new("shop", name)))
        }
    }
}

/// The object a change speaks of.
fn subject(change: &Change) -> ObjectRef {
    match change {
        Change::Put(object) => object.object_ref(),
        Change::Remove(object) => object.clone(),
        Change::Rejected(rejected) => rejected.object.clone(),
        Change::Replace { .. } => unreachable!("the strategy makes none"),
    }
}

proptest! {
    /// Whatever happened before, the last change to each object decides; and those may come in any order.
    #[test]
    fn the_snapshot_depends_on_the_last_form_of_each_object_only(
        steps in prop::collection::vec(step(), 0..40),
        keys in prop::collection::vec(any::<u32>(), 40),
    ) {
        let changes: Vec<Change> = steps.into_iter().map(change).collect();
        let mut history = Snapshot::default();
        let mut last = std::collections::BTreeMap::new();
        for change in changes {
            last.insert(subject(&change), change.clone());
            history.apply(change);
        }
        let mut finals: Vec<(u32, Change)> = keys.into_iter().zip(last.into_values()).collect();
        finals.sort_by_key(|(key, _)| *key);
        let mut direct = Snapshot::default();
        for (_, change) in finals {
            direct.apply(change);
        }
        prop_assert_eq!(history, direct);
    }
}
