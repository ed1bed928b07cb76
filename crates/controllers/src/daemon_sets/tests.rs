//! DaemonSets as Nodes and templates change.

use serde_json::{Value, json};

use super::*;
use crate::test_world::{Bench, mk_node};
use crate::{Controller, scheduler};

const ALL: &[Controller] = &[reconcile, scheduler::reconcile];

fn mk_set(more: &Value) -> Value {
    let mut set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": { "namespace": "shop", "name": "log", "uid": "uid-log", "generation": 1 },
        "spec": {
            "selector": { "matchLabels": { "app": "log" } },
            "template": {
                "metadata": { "labels": { "app": "log" } },
                "spec": { "containers": [{ "name": "c", "image": "log:1" }] },
            },
        },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        set["spec"][key] = value.clone();
    }
    set
}

fn set_image(bench: &mut Bench, image: &str) {
    let mut set = bench.world.daemon_sets.values().next().unwrap().clone();
    let template = &mut set.spec.as_mut().unwrap().template;
    template.spec.as_mut().unwrap().containers[0].image = Some(image.to_owned());
    bench.world.put(set);
}

fn on_nodes(bench: &Bench) -> Vec<(String, String)> {
    let mut pods: Vec<_> = bench
        .world
        .pods
        .values()
        .map(|pod| {
            let spec = pod.spec.as_ref().unwrap();
            (spec.node_name.clone().unwrap(), spec.containers[0].image.clone().unwrap())
        })
        .collect();
    pods.sort();
    pods
}

fn status(bench: &Bench) -> DaemonSetStatus {
    bench.world.daemon_sets.values().next().unwrap().status.clone().unwrap()
}

#[test]
fn every_node_that_fits_has_one_even_a_cordoned_one() {
    let mut bench = Bench::new(&["node-a", "node-b"]);
    let mut cordoned = mk_node("node-c");
    cordoned.spec.get_or_insert_default().unschedulable = Some(true);
    bench.world.put(cordoned);
    let mut tainted = mk_node("node-d");
    tainted.spec =
        serde_json::from_value(json!({ "taints": [{ "key": "gpu", "effect": "NoSchedule" }] })).unwrap();
    bench.world.put(tainted);
    bench.put(mk_set(&json!({})));
    bench.run(ALL);
    let nodes: Vec<_> = on_nodes(&bench).into_iter().map(|(node, _)| node).collect();
    assert_eq!(nodes, ["node-a", "node-b", "node-c"]);
    let held = status(&bench);
    assert_eq!((held.desired_number_scheduled, held.number_ready, held.number_available), (3, 3, Some(3)));
    assert_eq!(held.updated_number_scheduled, Some(3));
}

#[test]
fn nodes_come_and_go_and_a_no_execute_taint_ends_the_daemon() {
    let mut bench = Bench::new(&["node-a", "node-b"]);
    bench.put(mk_set(&json!({})));
    bench.run(ALL);
    bench.world.put(mk_node("node-c"));
    bench.world.remove(mk_node("node-a"));
    let mut evicting = mk_node("node-b");
    evicting.spec =
        serde_json::from_value(json!({ "taints": [{ "key": "x", "effect": "NoExecute" }] })).unwrap();
    bench.world.put(evicting);
    bench.run(ALL);
    assert_eq!(on_nodes(&bench), [("node-c".to_owned(), "log:1".to_owned())]);
}

#[test]
fn a_rollout_takes_one_node_after_the_other() {
    let mut bench = Bench::new(&["node-a", "node-b", "node-c"]);
    bench.put(mk_set(&json!({})));
    bench.run(ALL);
    set_image(&mut bench, "log:2");
    bench.settle(ALL);
    let new = on_nodes(&bench).into_iter().filter(|(_, image)| image == "log:2").count();
    assert_eq!(new, 1, "the next one waits for this one to be ready");
    bench.run(ALL);
    assert!(on_nodes(&bench).iter().all(|(_, image)| image == "log:2"));
    assert_eq!(on_nodes(&bench).len(), 3);
    assert_eq!(bench.world.revisions.len(), 2);
}

#[test]
fn a_surge_adds_before_it_takes_away() {
    let strategy =
        json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } });
    let mut bench = Bench::new(&["node-a", "node-b"]);
    bench.put(mk_set(&json!({ "updateStrategy": strategy })));
    bench.run(ALL);
    set_image(&mut bench, "log:2");
    bench.settle(ALL);
    assert_eq!(on_nodes(&bench).len(), 3, "two old ones and a new one beside one of them");
    bench.run(ALL);
    let expected = ["node-a", "node-b"].map(|node| (node.to_owned(), "log:2".to_owned()));
    assert_eq!(on_nodes(&bench), expected);
}

#[test]
fn on_delete_leaves_the_rollout_to_the_user() {
    let mut bench = Bench::new(&["node-a", "node-b"]);
    bench.put(mk_set(&json!({ "updateStrategy": { "type": "OnDelete" } })));
    bench.run(ALL);
    set_image(&mut bench, "log:2");
    bench.run(ALL);
    assert!(on_nodes(&bench).iter().all(|(_, image)| image == "log:1"));
    assert_eq!(status(&bench).updated_number_scheduled, None);
    let first = bench.world.pods.values().next().unwrap().clone();
    bench.world.remove(first);
    bench.run(ALL);
    assert_eq!(on_nodes(&bench).iter().filter(|(_, image)| image == "log:2").count(), 1);
}

#[test]
fn a_daemon_that_failed_is_made_again() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_set(&json!({})));
    bench.run(ALL);
    let name = bench.pod_names()[0].to_owned();
    bench.end_pod(&name, "Failed");
    bench.run(ALL);
    assert_eq!(bench.pod_names().len(), 1);
    assert_ne!(bench.pod_names()[0], name);
}
