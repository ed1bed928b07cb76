//! Patches against the store: conditions, strictness, what stays and what goes.

use engine_store::PatchKind;
use serde_json::json;

use crate::harness::{CONFIG_MAPS, DEPLOYMENTS, SERVICES, World, mk_config_map, mk_deployment};

#[test]
fn json_patches_are_all_or_nothing() {
    let mut world = World::new();
    world.post(CONFIG_MAPS, mk_config_map("a", json!({"k": "1"}))).unwrap();
    let path = format!("{CONFIG_MAPS}/a");
    let patch = json!([
        {"op": "add", "path": "/data/k", "value": "2"},
        {"op": "test", "path": "/data/k", "value": "3"},
    ]);
    let failed = world.patch(&path, PatchKind::Json, patch).unwrap_err();
    assert_eq!((failed.code, failed.reason), (422, "Invalid"));
    assert_eq!(world.get(&path).unwrap()["data"]["k"], "1");
    let patch = json!([{"op": "replace", "path": "/data/k", "value": "4"}]);
    assert_eq!(world.patch(&path, PatchKind::Json, patch).unwrap()["data"]["k"], "4");
}

#[test]
fn a_patch_that_names_a_version_is_conditional() {
    let mut world = World::new();
    let made = world.post(CONFIG_MAPS, mk_config_map("a", json!({"k": "1"}))).unwrap();
    let path = format!("{CONFIG_MAPS}/a");
    let version = made["metadata"]["resourceVersion"].clone();
    let patch = json!({"metadata": {"resourceVersion": version}, "data": {"k": "2"}});
    world.patch(&path, PatchKind::Merge, patch.clone()).unwrap();
    assert_eq!(world.patch(&path, PatchKind::Merge, patch).unwrap_err().code, 409);
    let patch = json!([{"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}]);
    assert_eq!(world.patch(&path, PatchKind::Json, patch).unwrap_err().code, 409);
}

#[test]
fn strategic_patches_merge_containers() {
    let mut world = World::new();
    world.post(DEPLOYMENTS, mk_deployment("web")).unwrap();
    let path = format!("{DEPLOYMENTS}/web");
    let patch = json!({"spec": {"template": {"spec": {
        "$setElementOrder/containers": [{"name": "main"}, {"name": "side"}],
        "containers": [{"name": "main", "image": "example.com/main:2"}, {"name": "side", "image": "example.com/side:1"}],
    }}}});
    let patched = world.patch(&path, PatchKind::StrategicMerge, patch).unwrap();
    let images: Vec<&str> = patched["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|container| container["image"].as_str().unwrap())
        .collect();
    assert_eq!(images, ["example.com/main:2", "example.com/side:1"]);
    let recreate = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    let patched = world.patch(&path, PatchKind::StrategicMerge, recreate).unwrap();
    assert_eq!(patched["spec"]["strategy"], json!({"type": "Recreate"}));
}

#[test]
fn service_ports_merge_by_port() {
    let mut world = World::new();
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [
        {"name": "a", "port": 80}, {"name": "b", "port": 81}]}});
    world.post(SERVICES, service).unwrap();
    let patch = json!({"spec": {"ports": [{"port": 81, "$patch": "delete"}, {"port": 82, "name": "c"}]}});
    let patched = world.patch(&format!("{SERVICES}/s"), PatchKind::StrategicMerge, patch).unwrap();
    let ports: Vec<i64> = patched["spec"]["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| port["port"].as_i64().unwrap())
        .collect();
    // What a patch names goes before what it does not name.
    assert_eq!(ports, [82, 80]);
}

#[test]
fn unknown_fields_in_patches() {
    let mut world = World::new().strict();
    world.post(DEPLOYMENTS, mk_deployment("web")).unwrap();
    let path = format!("{DEPLOYMENTS}/web");
    let refused = world.patch(&path, PatchKind::Merge, json!({"spec": {"replicaz": 2}})).unwrap_err();
    assert_eq!(refused.code, 422);
    assert!(refused.message.contains("strict decoding error: unknown field \"spec.replicaz\""), "{refused}");
}

#[test]
fn rollback_replaces_the_template() {
    let mut world = World::new();
    world.post(DEPLOYMENTS, mk_deployment("web")).unwrap();
    let path = format!("{DEPLOYMENTS}/web");
    let template = mk_deployment("web")["spec"]["template"].clone();
    let patch = json!([
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "replace", "path": "/metadata/annotations", "value": {"a": "b"}},
    ]);
    let patched = world.patch(&path, PatchKind::Json, patch).unwrap();
    assert_eq!(patched["metadata"]["annotations"], json!({"a": "b"}));
}

#[test]
fn a_patch_cannot_blow_an_object_up() {
    let mut world = World::new();
    world.post(CONFIG_MAPS, mk_config_map("a", json!({"k": "x".repeat(1000)}))).unwrap();
    let path = format!("{CONFIG_MAPS}/a");
    // Each operation doubles what the next one copies.
    let doubling: Vec<_> =
        (0..64).map(|n| json!({"op": "copy", "from": "/data", "path": format!("/data/k{n}")})).collect();
    let refused = world.patch(&path, PatchKind::Json, json!(doubling)).unwrap_err();
    assert_eq!((refused.code, refused.reason), (422, "Invalid"));
    assert!(refused.details.unwrap().causes[0].message.contains("accumulated size increase of copy"));

    let many: Vec<_> =
        (0..10_001).map(|_| json!({"op": "test", "path": "/kind", "value": "ConfigMap"})).collect();
    let refused = world.patch(&path, PatchKind::Json, json!(many)).unwrap_err();
    assert_eq!(refused.code, 413);
    assert!(refused.message.ends_with("is 10000, got 10001"), "{}", refused.message);

    let mut place = "/metadata/annotations".to_owned();
    let mut deepening = vec![json!({"op": "add", "path": place, "value": {}})];
    for _ in 0..1000 {
        place.push_str("/a");
        deepening.push(json!({"op": "add", "path": place, "value": {}}));
    }
    let refused = world.patch(&path, PatchKind::Json, json!(deepening)).unwrap_err();
    assert!(refused.details.unwrap().causes[0].message.contains("nested deeper"));
    assert_eq!(world.get(&path).unwrap()["data"].as_object().unwrap().len(), 1, "nothing was kept");
}
