//! The same objects give a byte-identical plan, whatever the order of events that led to them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use model::{Change, Kind, Lower, Object, Snapshot};
use proptest::prelude::*;
use serde_json::{Value, json};
use testkit::{
    cluster_context, mk_endpoint_slice, mk_network_policy, mk_node, mk_pod, mk_service, node_context,
};
use types::NodeName;

const NODES: [&str; 2] = ["node-a", "node-b"];
const APPS: [&str; 3] = ["web", "api", "db"];

fn in_json<K: serde::Serialize>(object: &K) -> Value {
    serde_json::to_value(object).unwrap()
}

fn from_json<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// One object of a small cluster: `number` says which, `variant` in what form.
fn object((kind, number, variant): (u8, u8, u8)) -> Change {
    let app = APPS[usize::from(variant) % APPS.len()];
    let name = format!("shop/object-{number}");
    match kind {
        0 => {
            let index = usize::from(number) % NODES.len();
            Change::put(&mk_node(
                NODES[index],
                &format!("172.31.0.1{index}"),
                &format!("10.244.{variant}.0/24"),
            ))
        }
        1 | 2 => {
            let node = NODES[usize::from(variant) % NODES.len()];
            let address = format!("10.244.{}.{number}", variant % 2).parse().unwrap();
            Change::put(&mk_pod(&name, node, address, &[("app", app)]))
        }
        3 => {
            let mut service = in_json(&mk_service(&name, &format!("10.96.0.{number}"), &[("app", app)]));
            let types = ["ClusterIP", "NodePort", "LoadBalancer"];
            service["spec"]["type"] = json!(types[usize::from(variant) % 3]);
            service["spec"]["ports"][0]["nodePort"] = json!(30000 + u32::from(variant));
            service["spec"]["externalIPs"] = json!([format!("203.0.113.{variant}")]);
            Change::put(&from_json::<k8s_openapi::api::core::v1::Service>(service))
        }
        4 => {
            let address = format!("10.244.{}.{number}", variant % 2);
            Change::put(&mk_endpoint_slice(&name, &[(&address, NODES[usize::from(variant) % 2])]))
        }
        5 => {
            let spec = match variant % 3 {
                0 => json!({"podSelector": {}}),
                1 => {
                    json!({"podSelector": {"matchLabels": {"app": app}}, "egress": [{"ports": [{"port": "http"}]}]})
                }
                _ => json!({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "nonsense"}}]}]}),
            };
            Change::put(&mk_network_policy(&name, spec))
        }
        6 => Change::put(&from_json::<k8s_openapi::api::networking::v1::IngressClass>(json!({
            "metadata": {"name": format!("class-{}", number % 2),
                "annotations": {"ingressclass.kubernetes.io/is-default-class": (variant % 2 == 0).to_string()}},
            "spec": {"controller": "sealane.dev/ingress"},
        }))),
        _ => Change::put(&from_json::<k8s_openapi::api::networking::v1::Ingress>(json!({
            "metadata": {"namespace": "shop", "name": format!("object-{number}")},
            "spec": {"rules": [{"host": "shop.example.com", "http": {"paths": [{
                "path": format!("/{}", variant % 2), "pathType": "Prefix",
                "backend": {"service": {"name": format!("object-{variant}"), "port": {"number": 80}}},
            }]}}]},
        }))),
    }
}

fn plans(snapshot: &Snapshot) -> String {
    let node = |name: &str| {
        let context = node_context(
            &NodeName::from(name),
            "172.31.0.10".parse().unwrap(),
            sealane_compile::TunnelMode::Vxlan,
        );
        let (plan, findings) = sealane_compile::node_plan(snapshot, &context);
        serde_json::to_string_pretty(&(plan, findings)).unwrap()
    };
    let cluster =
        serde_json::to_string_pretty(&sealane_compile::cluster_plan(snapshot, &cluster_context())).unwrap();
    format!("{}{}{cluster}", node(NODES[0]), node(NODES[1]))
}

/// A relist of everything a snapshot holds, kind by kind.
fn relist(changes: &[Change]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for kind in Kind::ALL.into_iter().rev() {
        let mut objects: Vec<Object> = Vec::new();
        let mut rejected = Vec::new();
        for change in changes {
            match change {
                Change::Put(object) if object.kind() == kind => objects.push(object.clone()),
                Change::Rejected(rejection) if rejection.object.kind == kind.as_str() => {
                    rejected.push(rejection.clone());
                }
                _ => {}
            }
        }
        snapshot.apply(Change::Replace { kind, objects, rejected });
    }
    snapshot
}

/// One change per object: the last one of each.
fn distinct(changes: Vec<Change>) -> Vec<Change> {
    let mut last = std::collections::BTreeMap::new();
    for change in changes {
        let name = match &change {
            Change::Put(object) => object.object_ref(),
            Change::Rejected(rejected) => rejected.object.clone(),
            Change::Remove(_) | Change::Replace { .. } => unreachable!("the strategy makes none"),
        };
        last.insert(name, change);
    }
    last.into_values().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn the_plan_depends_on_the_objects_and_not_on_the_order_of_events(
        objects in prop::collection::vec((0..8u8, 0..6u8, 0..6u8), 0..40),
        keys in prop::collection::vec(any::<u32>(), 40),
    ) {
        let changes = distinct(objects.into_iter().map(object).collect());
        let apply = |changes: &[Change]| {
            let mut snapshot = Snapshot::default();
            for change in changes.iter().cloned() {
                snapshot.apply(change);
            }
            plans(&snapshot)
        };
        let straight = apply(&changes);
        let mut keyed: Vec<_> = keys.into_iter().zip(changes.iter().cloned()).collect();
        keyed.sort_by_key(|(key, _)| *key);
        let shuffled: Vec<Change> = keyed.into_iter().map(|(_, change)| change).collect();
        prop_assert_eq!(&straight, &apply(&shuffled));
        let twice: Vec<Change> = shuffled.iter().chain(&changes).cloned().collect();
        prop_assert_eq!(&straight, &apply(&twice));
        prop_assert_eq!(&straight, &plans(&relist(&changes)));
    }
}

#[test]
fn lowering_is_the_same_through_json() {
    let pod = mk_pod("shop/web", "node-a", "10.244.1.2".parse().unwrap(), &[("app", "web")]);
    let again: k8s_openapi::api::core::v1::Pod = from_json(in_json(&pod));
    assert_eq!(pod.lower(), again.lower());
}
