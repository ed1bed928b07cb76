//! Exactly one node answers for each LoadBalancer address, and only addresses of a lost node move.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{Change, Snapshot};
use serde_json::json;
use testkit::{mk_node, node_context};
use types::NodeName;

const NODES: [(&str, &str); 3] =
    [("node-a", "172.31.0.11"), ("node-b", "172.31.0.12"), ("node-c", "172.31.0.13")];

fn cluster(ready: &[&str]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (index, (name, address)) in NODES.into_iter().enumerate() {
        let mut node = mk_node(name, address, &format!("10.244.{index}.0/24"));
        if !ready.contains(&name) {
            node.status.as_mut().unwrap().conditions = None;
        }
        snapshot.apply(Change::put(&node));
    }
    for index in 0..40 {
        let service: k8s_openapi::api::core::v1::Service = serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": format!("service-{index}")},
            "spec": {"type": "LoadBalancer", "clusterIP": format!("10.96.1.{index}"), "ports": [{"port": 80}]},
            "status": {"loadBalancer": {"ingress": [{"ip": format!("172.31.0.{}", 200 + index)}]}},
        }))
        .unwrap();
        snapshot.apply(Change::put(&service));
    }
    snapshot
}

/// Who answers for what.
fn announcers(snapshot: &Snapshot) -> BTreeMap<IpAddr, NodeName> {
    let mut announcers = BTreeMap::new();
    for (name, address) in NODES {
        let node = NodeName::from(name);
        let context = node_context(&node, address.parse().unwrap(), sealane_compile::TunnelMode::Vxlan);
        let (plan, _) = sealane_compile::node_plan(snapshot, &context);
        for address in plan.lb.announce.keys() {
            assert_eq!(announcers.insert(*address, node.clone()), None, "{address} has one owner");
        }
    }
    announcers
}

#[test]
fn every_address_has_one_owner_and_all_nodes_share_the_work() {
    let announcers = announcers(&cluster(&["node-a", "node-b", "node-c"]));
    assert_eq!(announcers.len(), 40);
    let owners: BTreeSet<&NodeName> = announcers.values().collect();
    assert_eq!(owners.len(), 3);
}

#[test]
fn only_the_addresses_of_a_lost_node_move() {
    let before = announcers(&cluster(&["node-a", "node-b", "node-c"]));
    let after = announcers(&cluster(&["node-a", "node-c"]));
    assert_eq!(after.len(), 40);
    for (address, owner) in &before {
        match owner.as_str() {
            "node-b" => assert_ne!(after[address], *owner),
            _ => assert_eq!(after[address], *owner, "{address}"),
        }
    }
}

#[test]
fn a_node_that_the_autoscaler_removes_answers_for_nothing_and_says_so() {
    let mut snapshot = cluster(&["node-a", "node-b", "node-c"]);
    let mut node = mk_node("node-b", "172.31.0.12", "10.244.1.0/24");
    let taint = json!({"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"});
    node.spec.as_mut().unwrap().taints = Some(vec![serde_json::from_value(taint).unwrap()]);
    snapshot.apply(Change::put(&node));
    assert!(announcers(&snapshot).values().all(|owner| owner.as_str() != "node-b"));
    let leaving = ["node-a", "node-b"].map(|name| {
        let context =
            node_context(&name.into(), "172.31.0.12".parse().unwrap(), sealane_compile::TunnelMode::Vxlan);
        sealane_compile::node_plan(&snapshot, &context).0.lb.leaving
    });
    assert_eq!(leaving, [false, true]);
}

#[test]
fn without_a_ready_node_nobody_answers() {
    assert!(announcers(&cluster(&[])).is_empty());
}
