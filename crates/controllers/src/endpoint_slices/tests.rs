//! Slices as the specification of the EndpointSlice controller wants them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::*;
use crate::test_world::{at, mk_node, mk_pod, mk_service};

fn world() -> World {
    let mut world = World::default();
    world.put(mk_node("node-a"));
    world.put(mk_service("shop", "web"));
    world
}

fn pod_at(name: &str, address: &str) -> Pod {
    let mut pod = mk_pod("shop", name);
    let status = pod.status.as_mut().unwrap();
    status.pod_ip = Some(address.to_owned());
    status.pod_ips.as_mut().unwrap()[0].ip = address.to_owned();
    pod
}

/// Takes slices in as the API would store them.
fn settle(world: &mut World, writes: Vec<Write>) {
    for (index, write) in writes.into_iter().enumerate() {
        match write {
            Write::Create(mut object) => {
                object["metadata"]["name"] = format!("web-{}-{index}", world.endpoint_slices.len()).into();
                world.put(serde_json::from_value::<EndpointSlice>(object).unwrap());
            }
            Write::Replace(object) => world.put(serde_json::from_value::<EndpointSlice>(object).unwrap()),
            Write::Delete { name, .. } => {
                world.endpoint_slices.remove(&name);
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

fn created(writes: &[Write]) -> &Value {
    let [Write::Create(slice)] = writes else { panic!("one creation: {writes:?}") };
    slice
}

#[test]
fn es1_to_es5_one_ready_pod() {
    let mut world = world();
    world.put(pod_at("web-1", "10.244.0.9"));
    let writes = reconcile(&world, at(0));
    let slice = created(&writes);
    assert_eq!(slice["metadata"]["generateName"], "web-");
    assert_eq!(slice["metadata"]["labels"][MANAGED_BY], CONTROLLER);
    assert_eq!(slice["ports"][0]["port"], 8080, "targetPort http is the container's 8080");
    let endpoint = &slice["endpoints"][0];
    assert_eq!(endpoint["addresses"][0], "10.244.0.9");
    assert_eq!(endpoint["nodeName"], "node-a");
    assert_eq!(endpoint["zone"], "a");
    assert_eq!(endpoint["conditions"]["ready"], true);
    assert_eq!(endpoint["targetRef"]["name"], "web-1");
}

#[test]
fn es3_terminating_pods_serve_but_are_not_ready() {
    let mut world = world();
    let mut pod = pod_at("web-1", "10.244.0.9");
    pod.metadata.deletion_timestamp = Some(Time(at(0)));
    world.put(pod);
    let writes = reconcile(&world, at(0));
    let conditions = &created(&writes)["endpoints"][0]["conditions"];
    assert_eq!(conditions["ready"], false);
    assert_eq!(conditions["serving"], true);
    assert_eq!(conditions["terminating"], true);
}

#[test]
fn es6_slices_hold_a_hundred_and_change_little() {
    let mut world = world();
    for index in 0..250 {
        world.put(pod_at(&format!("web-{index}"), &format!("10.244.1.{index}")));
    }
    let writes = reconcile(&world, at(0));
    settle(&mut world, writes);
    let mut sizes: Vec<_> = world.endpoint_slices.values().map(|slice| slice.endpoints.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 100, 100]);
    assert_eq!(reconcile(&world, at(1)), [], "nothing to do twice");
    world.put(pod_at("web-new", "10.244.2.1"));
    let writes = reconcile(&world, at(2));
    assert!(matches!(writes.as_slice(), [Write::Replace(_)]), "one write for one Pod: {}", writes.len());
}

#[test]
fn es6_a_change_of_one_pod_in_a_thousand_is_one_write() {
    let mut world = world();
    for index in 0..1000 {
        world.put(pod_at(&format!("web-{index}"), &format!("10.244.{}.{}", index / 250, index % 250)));
    }
    let writes = reconcile(&world, at(0));
    settle(&mut world, writes);
    assert_eq!(world.endpoint_slices.len(), 10);
    let mut unready = pod_at("web-617", "10.244.2.117");
    unready.status.as_mut().unwrap().conditions = None;
    world.put(unready);
    let writes = reconcile(&world, at(1));
    let [Write::Replace(slice)] = writes.as_slice() else { panic!("one write: {writes:?}") };
    let changed: Vec<_> = slice["endpoints"].as_array().unwrap().iter().collect();
    let unready = changed.iter().filter(|endpoint| endpoint["conditions"]["ready"] == false);
    assert_eq!((changed.len(), unready.count()), (100, 1));
    // A Pod that is replaced by another stands in its place.
    settle(&mut world, writes);
    world.pods.remove(&NamespacedName::new("shop", "web-5"));
    world.put(pod_at("web-new", "10.244.9.1"));
    let writes = reconcile(&world, at(2));
    assert!(matches!(writes.as_slice(), [Write::Replace(_)]), "{}", writes.len());
}

#[test]
fn es10_hints_are_those_that_the_service_asks_for() {
    let mut world = world();
    world.put(pod_at("web-1", "10.244.0.10"));
    let mut terminating = pod_at("web-2", "10.244.0.11");
    terminating.metadata.deletion_timestamp = Some(Time(at(0)));
    world.put(terminating);
    let zones = serde_json::json!([{ "name": "a" }]);
    let nodes = serde_json::json!([{ "name": "node-a" }]);
    for (distribution, for_zones, for_nodes) in [
        (Some("PreferClose"), &zones, &Value::Null),
        (Some("PreferSameZone"), &zones, &Value::Null),
        (Some("PreferSameNode"), &zones, &nodes),
        (None, &Value::Null, &Value::Null),
    ] {
        let mut service = mk_service("shop", "web");
        service.spec.as_mut().unwrap().traffic_distribution = distribution.map(str::to_owned);
        world.put(service);
        let writes = reconcile(&world, at(0));
        let endpoints = &created(&writes)["endpoints"];
        let hints = &endpoints[0]["hints"];
        assert_eq!((&hints["forZones"], &hints["forNodes"]), (for_zones, for_nodes), "{distribution:?}");
        assert_eq!(endpoints[1]["hints"], Value::Null, "only ready endpoints have hints");
    }
}

/// Two zones with two Pods each.
fn zoned_world(mode: &str) -> World {
    let mut world = World::default();
    for (node, zone) in [("node-a", "a"), ("node-b", "b")] {
        let mut node = mk_node(node);
        node.metadata.labels.as_mut().unwrap().insert(ZONE_LABEL.to_owned(), zone.to_owned());
        let cpu = k8s_openapi::apimachinery::pkg::api::resource::Quantity("4".to_owned());
        node.status.as_mut().unwrap().allocatable = Some(BTreeMap::from([("cpu".to_owned(), cpu)]));
        world.put(node);
    }
    let mut service = mk_service("shop", "web");
    service.metadata.annotations =
        Some(BTreeMap::from([("service.kubernetes.io/topology-mode".to_owned(), mode.to_owned())]));
    world.put(service);
    for (name, node, address) in [
        ("web-1", "node-a", "10.244.0.1"),
        ("web-2", "node-a", "10.244.0.2"),
        ("web-3", "node-b", "10.244.1.1"),
        ("web-4", "node-b", "10.244.1.2"),
    ] {
        let mut pod = pod_at(name, address);
        pod.spec.as_mut().unwrap().node_name = Some(node.to_owned());
        world.put(pod);
    }
    world
}

fn reasons(writes: &[Write]) -> Vec<&'static str> {
    let notes = writes.iter().filter_map(|write| match write {
        Write::Note(note) => Some(note.reason),
        _ => None,
    });
    notes.collect()
}

#[test]
fn es10_shares_follow_processors_and_an_event_tells_when_they_cannot() {
    let mut world = zoned_world("Auto");
    let mut writes = reconcile(&world, at(0));
    assert_eq!(reasons(&writes), ["TopologyAwareHintsEnabled"]);
    writes.retain(|write| !matches!(write, Write::Note(_)));
    let zones: Vec<_> = created(&writes)["endpoints"].as_array().unwrap().clone();
    let zones: Vec<_> =
        zones.iter().map(|endpoint| endpoint["hints"]["forZones"][0]["name"].clone()).collect();
    assert_eq!(zones, ["a", "a", "b", "b"]);
    settle(&mut world, writes);
    assert_eq!(reconcile(&world, at(1)), []);
    // A node that comes up without a zone: nobody can tell what the shares are.
    let mut bare = mk_node("node-c");
    bare.metadata.labels = None;
    world.put(bare);
    let writes = reconcile(&world, at(2));
    let [Write::Replace(slice), Write::Note(note)] = writes.as_slice() else { panic!("{writes:?}") };
    assert_eq!(slice["endpoints"][0]["hints"], Value::Null);
    assert!(note.message.starts_with("Insufficient Node information"), "{}", note.message);
}

#[test]
fn es10_other_modes_ask_for_nothing() {
    let writes = reconcile(&zoned_world("Never"), at(0));
    assert_eq!(created(&writes)["endpoints"][0]["hints"], Value::Null);
}

#[test]
fn es6_slices_that_would_go_become_those_that_would_come() {
    let mut world = world();
    world.put(pod_at("web-1", "10.244.0.9"));
    let writes = reconcile(&world, at(0));
    settle(&mut world, writes);
    let before = world.endpoint_slices.keys().next().unwrap().clone();
    let mut service = mk_service("shop", "web");
    service.spec.as_mut().unwrap().ports.as_mut().unwrap()[0].target_port = Some(IntOrString::Int(9090));
    world.put(service);
    let writes = reconcile(&world, at(1));
    let [Write::Replace(slice)] = writes.as_slice() else { panic!("{writes:?}") };
    assert_eq!(
        (&slice["metadata"]["name"], &slice["ports"][0]["port"]),
        (&before.name.clone().into(), &9090.into())
    );
    settle(&mut world, writes);
    assert_eq!(reconcile(&world, at(2)), []);
}

#[test]
fn es9_a_slice_tells_when_what_changed_it_happened() {
    const KEY: &str = "endpoints.kubernetes.io/last-change-trigger-time";
    let mut world = world();
    let mut service = mk_service("shop", "web");
    service.metadata.creation_timestamp = Some(Time(at(5)));
    world.put(service);
    world.put(pod_at("web-1", "10.244.0.9"));
    let writes = reconcile(&world, at(7));
    assert_eq!(created(&writes)["metadata"]["annotations"][KEY], at(5).to_string(), "a new Service");
    settle(&mut world, writes);
    let mut second = pod_at("web-2", "10.244.0.10");
    let conditions = second.status.as_mut().unwrap().conditions.as_mut().unwrap();
    conditions[0].last_transition_time = Some(Time(at(20)));
    world.put(second);
    let writes = reconcile(&world, at(21));
    let [Write::Replace(slice)] = writes.as_slice() else { panic!("{writes:?}") };
    assert_eq!(slice["metadata"]["annotations"][KEY], at(20).to_string(), "the Pod that became ready");
    settle(&mut world, writes);
    world.pods.remove(&NamespacedName::new("shop", "web-2"));
    let writes = reconcile(&world, at(30));
    let [Write::Replace(slice)] = writes.as_slice() else { panic!("{writes:?}") };
    assert_eq!(slice["metadata"]["annotations"], Value::Null, "nothing tells when a Pod went");
}

#[test]
fn es7_a_service_without_pods_has_one_placeholder() {
    let mut world = world();
    let writes = reconcile(&world, at(0));
    let slice = created(&writes);
    assert_eq!(slice["endpoints"], serde_json::json!([]));
    assert_eq!(slice["ports"], serde_json::json!([]));
    settle(&mut world, writes);
    assert_eq!(reconcile(&world, at(1)), []);
    world.put(pod_at("web-1", "10.244.0.9"));
    let writes = reconcile(&world, at(2));
    settle(&mut world, writes);
    assert_eq!(world.endpoint_slices.len(), 1, "the placeholder went");
    assert_eq!(reconcile(&world, at(3)), []);
}

#[test]
fn es5_pods_with_other_port_numbers_get_their_own_slice() {
    let mut world = world();
    world.put(pod_at("web-1", "10.244.0.9"));
    let mut other = pod_at("web-2", "10.244.0.10");
    other.spec.as_mut().unwrap().containers[0].ports.as_mut().unwrap()[0].container_port = 9090;
    world.put(other);
    assert_eq!(reconcile(&world, at(0)).len(), 2);
}

#[test]
fn es11_services_without_selector_are_left_alone() {
    let mut world = world();
    let mut service = mk_service("shop", "web");
    service.spec.as_mut().unwrap().selector = None;
    world.put(service);
    assert_eq!(reconcile(&world, at(0)), []);
}
