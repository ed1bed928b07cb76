//! Pods and the Nodes they get.

use serde_json::{Value, json};

use super::*;
use crate::test_world::{Bench, at, mk_node, mk_pod, owned_by};

/// A Pod without a Node, with more in its spec.
fn waiting(name: &str, more: Value) -> Pod {
    let mut pod = mk_pod("shop", name);
    pod.status = None;
    let mut spec = json!({ "containers": [{ "name": "web" }] });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    pod.spec = serde_json::from_value(spec).unwrap();
    pod
}

fn requesting(name: &str, cpu: &str) -> Pod {
    let resources = json!({ "requests": { "cpu": cpu } });
    waiting(name, json!({ "containers": [{ "name": "web", "resources": resources }] }))
}

fn zoned(name: &str, zone: &str) -> k8s_openapi::api::core::v1::Node {
    let mut node = mk_node(name);
    let labels = node.metadata.labels.get_or_insert_default();
    labels.insert("topology.kubernetes.io/zone".to_owned(), zone.to_owned());
    labels.insert("kubernetes.io/hostname".to_owned(), name.to_owned());
    node
}

fn bindings(writes: &[Write]) -> Vec<(String, String)> {
    let bound = writes.iter().filter_map(|write| match write {
        Write::Bind { pod, node, .. } => Some((pod.name.clone(), node.as_str().to_owned())),
        _ => None,
    });
    bound.collect()
}

fn why(writes: &[Write]) -> String {
    let messages = writes.iter().filter_map(|write| match write {
        Write::Note(note) if note.reason == "FailedScheduling" => Some(note.message.clone()),
        _ => None,
    });
    messages.collect()
}

#[test]
fn replicas_spread_over_nodes() {
    let mut world = World::default();
    for name in ["node-a", "node-b", "node-c"] {
        world.put(mk_node(name));
    }
    for name in ["web-1", "web-2", "web-3"] {
        world.put(owned_by(waiting(name, json!({})), "ReplicaSet", "web", "uid-web"));
    }
    let nodes: Vec<_> = bindings(&reconcile(&world, at(0))).into_iter().map(|(_, node)| node).collect();
    assert_eq!(nodes, ["node-a", "node-b", "node-c"]);
}

#[test]
fn a_pod_that_fits_nowhere_says_why_once() {
    let mut bench = Bench::new(&["node-a"]);
    bench.world.put(waiting("web", json!({ "nodeSelector": { "disk": "fast" } })));
    let writes = bench.look(reconcile);
    let [Write::ReplaceStatus(pod), Write::Note(note)] = writes.as_slice() else { panic!("{writes:?}") };
    let condition = &pod["status"]["conditions"][0];
    assert_eq!(
        (condition["type"].as_str(), condition["status"].as_str()),
        (Some("PodScheduled"), Some("False"))
    );
    assert_eq!(condition["reason"], "Unschedulable");
    let text = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.";
    assert_eq!((condition["message"].as_str(), note.message.as_str()), (Some(text), text));
    assert_eq!(bench.look(reconcile), []);
}

#[test]
fn requests_fill_nodes_and_every_shortage_is_named() {
    let mut bench = Bench::new(&[]);
    let mut node = mk_node("node-a");
    let room = json!({ "cpu": "2", "memory": "1Gi", "pods": "3" });
    node.status.as_mut().unwrap().allocatable = serde_json::from_value(room).unwrap();
    bench.world.put(node);
    bench.world.put(requesting("one", "1500m"));
    assert_eq!(bindings(&bench.look(reconcile)).len(), 1);
    bench.world.put(requesting("two", "600m"));
    assert_eq!(why(&bench.look(reconcile)), "0/1 nodes are available: 1 Insufficient cpu.");
    bench.world.put(requesting("three", "0.5"));
    assert_eq!(bindings(&bench.look(reconcile)).len(), 1);
    bench.world.put(waiting("four", json!({})));
    bench.world.put(waiting("five", json!({})));
    let writes = bench.look(reconcile);
    assert_eq!(bindings(&writes).len(), 1, "three Pods at most");
    assert!(why(&writes).contains("1 Too many pods"), "{writes:?}");
}

#[test]
fn required_topology_spread_keeps_zones_even() {
    let mut bench = Bench::new(&[]);
    for (name, zone) in [("node-a", "a"), ("node-b", "a"), ("node-c", "b")] {
        bench.world.put(zoned(name, zone));
    }
    let constraint = json!([{
        "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": { "matchLabels": { "app": "web" } },
    }]);
    for name in ["w1", "w2", "w3", "w4"] {
        bench.world.put(waiting(name, json!({ "topologySpreadConstraints": constraint })));
    }
    let in_b = |writes: &[Write]| bindings(writes).iter().filter(|(_, node)| node == "node-c").count();
    let writes = bench.look(reconcile);
    assert_eq!((bindings(&writes).len(), in_b(&writes)), (4, 2));
    let mut cordoned = zoned("node-c", "b");
    cordoned.spec.get_or_insert_default().unschedulable = Some(true);
    bench.world.put(cordoned);
    for name in ["w5", "w6"] {
        bench.world.put(waiting(name, json!({ "topologySpreadConstraints": constraint })));
    }
    let writes = bench.look(reconcile);
    assert_eq!(bindings(&writes).len(), 1);
    let text = "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match pod topology spread \
                constraints.";
    assert_eq!(why(&writes), text);
}

#[test]
fn anti_affinity_holds_for_those_who_come_and_those_who_are_there() {
    let mut bench = Bench::new(&[]);
    for (name, zone) in [("node-a", "a"), ("node-b", "b")] {
        bench.world.put(zoned(name, zone));
    }
    let away = json!({ "affinity": { "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [{
            "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "web" } },
        }],
    }}});
    for name in ["w1", "w2", "w3"] {
        bench.world.put(waiting(name, away.clone()));
    }
    let writes = bench.look(reconcile);
    assert_eq!(bindings(&writes).len(), 2);
    assert_eq!(why(&writes), "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.");
    bench.world.put(waiting("plain", json!({})));
    let writes = bench.look(reconcile);
    let text = "0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules.";
    assert_eq!(why(&writes), text);
}

#[test]
fn affinity_follows_others_and_the_first_may_begin_anywhere() {
    let mut bench = Bench::new(&[]);
    for (name, zone) in [("node-a", "a"), ("node-b", "b"), ("node-c", "b")] {
        bench.world.put(zoned(name, zone));
    }
    let together = |app: &str| {
        json!({ "affinity": { "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [{
            "topologyKey": "topology.kubernetes.io/zone", "labelSelector": { "matchLabels": { "app": app } },
        }]}}})
    };
    bench.world.put(waiting("w1", together("web")));
    let first = bindings(&bench.look(reconcile));
    assert_eq!(first.len(), 1);
    bench.world.put(waiting("w2", together("db")));
    let text = "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.";
    assert_eq!(why(&bench.look(reconcile)), text);
}

#[test]
fn preferences_choose_among_nodes_that_fit() {
    let mut bench = Bench::new(&["node-a", "node-b"]);
    let mut fast = mk_node("node-c");
    fast.metadata.labels.get_or_insert_default().insert("disk".to_owned(), "fast".to_owned());
    bench.world.put(fast);
    let wish = json!({ "affinity": { "nodeAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 10, "preference": {
            "matchExpressions": [{ "key": "disk", "operator": "In", "values": ["fast"] }] } }],
    }}});
    for name in ["w1", "w2"] {
        bench.world.put(waiting(name, wish.clone()));
    }
    let nodes: Vec<_> = bindings(&bench.look(reconcile)).into_iter().map(|(_, node)| node).collect();
    assert_eq!(nodes, ["node-c", "node-c"]);
}

#[test]
fn the_more_important_pod_comes_first() {
    let mut bench = Bench::new(&[]);
    let mut node = mk_node("node-a");
    node.status.as_mut().unwrap().allocatable = serde_json::from_value(json!({ "pods": "1" })).unwrap();
    bench.world.put(node);
    bench.world.put(waiting("a-low", json!({})));
    bench.world.put(waiting("b-high", json!({ "priority": 1000 })));
    assert_eq!(bindings(&bench.look(reconcile)), [("b-high".to_owned(), "node-a".to_owned())]);
}

#[test]
fn a_host_port_is_given_once_on_each_node() {
    let taking = |name: &str, ports: Value| {
        waiting(name, json!({ "containers": [{ "name": "web", "ports": ports }] }))
    };
    let everywhere = json!([{ "containerPort": 80, "hostPort": 8080 }]);
    let mut bench = Bench::new(&["node-a", "node-b"]);
    for name in ["a", "b", "c"] {
        bench.world.put(taking(name, everywhere.clone()));
    }
    let writes = bench.look(reconcile);
    assert_eq!(bindings(&writes).len(), 2);
    let wanted = "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports.";
    assert_eq!(why(&writes), wanted);

    let on = |address: &str, protocol: &str| json!([{ "containerPort": 80, "hostPort": 8080, "hostIP": address, "protocol": protocol }]);
    let mut bench = Bench::new(&["node-a"]);
    let all =
        [on("192.0.2.1", "TCP"), on("192.0.2.2", "TCP"), on("192.0.2.1", "UDP"), on("192.0.2.2", "TCP")];
    for (index, ports) in all.into_iter().enumerate() {
        bench.world.put(taking(&format!("pod-{index}"), ports));
    }
    assert_eq!(bindings(&bench.look(reconcile)).len(), 3, "the last one meets the second");
}
