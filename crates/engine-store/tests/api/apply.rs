//! Server-side apply: ownership, conflicts, removal.

use engine_store::{PatchKind, Write};
use serde_json::{Value, json};

use crate::harness::{CONFIG_MAPS, DEPLOYMENTS, PODS, SERVICES, World, mk_config_map, mk_deployment};

fn owner_entry<'a>(object: &'a Value, manager: &str) -> Option<&'a Value> {
    object["metadata"]["managedFields"].as_array()?.iter().find(|entry| entry["manager"] == manager)
}

#[test]
fn apply_creates_and_owns() {
    let mut world = World::new();
    let path = format!("{CONFIG_MAPS}/a");
    world.options.field_manager = "m1".to_owned();
    let written =
        world.write(&path, Write::Patch(PatchKind::Apply, mk_config_map("a", json!({"k": "1"})))).unwrap();
    assert!(written.created);
    let entry = owner_entry(&written.object, "m1").unwrap();
    assert_eq!(entry["operation"], "Apply");
    assert_eq!(entry["fieldsV1"], json!({"f:data": {"f:k": {}}}));
    let revision = world.store.revision();
    let again = world.apply(&path, "m1", mk_config_map("a", json!({"k": "1"}))).unwrap();
    assert_eq!(again, written.object);
    assert_eq!(world.store.revision(), revision);
}

#[test]
fn others_fields_conflict_unless_forced() {
    let mut world = World::new();
    let path = format!("{CONFIG_MAPS}/a");
    world.apply(&path, "m1", mk_config_map("a", json!({"a": "1", "b": "1"}))).unwrap();
    let equal = world.apply(&path, "m2", mk_config_map("a", json!({"a": "1"}))).unwrap();
    assert!(owner_entry(&equal, "m2").is_some());
    let conflict = world.apply(&path, "m2", mk_config_map("a", json!({"a": "2"}))).unwrap_err();
    assert_eq!((conflict.code, conflict.reason), (409, "Conflict"));
    assert_eq!(conflict.message, "Apply failed with 1 conflict: conflict with \"m1\": .data.a");
    assert_eq!(
        conflict.to_value()["details"]["causes"],
        json!([{"reason": "FieldManagerConflict", "message": "conflict with \"m1\"", "field": ".data.a"}])
    );
    let both = world.apply(&path, "m2", mk_config_map("a", json!({"a": "2", "b": "2"}))).unwrap_err();
    assert_eq!(both.message, "Apply failed with 2 conflicts: conflicts with \"m1\":\n- .data.a\n- .data.b");
    world.options.force = true;
    let taken = world.apply(&path, "m2", mk_config_map("a", json!({"a": "2"}))).unwrap();
    assert_eq!(taken["data"], json!({"a": "2", "b": "1"}));
    assert_eq!(owner_entry(&taken, "m1").unwrap()["fieldsV1"], json!({"f:data": {"f:b": {}}}));
}

#[test]
fn updates_own_what_they_change() {
    let mut world = World::new();
    let path = format!("{CONFIG_MAPS}/a");
    world.post(CONFIG_MAPS, mk_config_map("a", json!({"a": "1"}))).unwrap();
    let conflict = world.apply(&path, "m1", mk_config_map("a", json!({"a": "2"}))).unwrap_err();
    assert!(
        conflict
            .message
            .starts_with("Apply failed with 1 conflict: conflict with \"test\" using v1 at 2025-"),
        "{conflict}"
    );
    world.options.force = true;
    let taken = world.apply(&path, "m1", mk_config_map("a", json!({"a": "2"}))).unwrap();
    assert_eq!(
        owner_entry(&taken, "test").unwrap()["fieldsV1"],
        json!({"f:data": {}}).pointer("/f:data").map(|_| json!({"f:data": {}})).unwrap()
    );
    let patched = world.patch(&path, PatchKind::Merge, json!({"data": {"a": "3"}})).unwrap();
    assert!(owner_entry(&patched, "m1").is_none());
}

#[test]
fn what_is_no_longer_applied_goes() {
    let mut world = World::new();
    let path = format!("{CONFIG_MAPS}/a");
    world.apply(&path, "m1", mk_config_map("a", json!({"a": "1", "b": "1", "c": "1"}))).unwrap();
    world.apply(&path, "m2", mk_config_map("a", json!({"b": "1"}))).unwrap();
    let kept = world.apply(&path, "m1", mk_config_map("a", json!({"a": "1"}))).unwrap();
    assert_eq!(kept["data"], json!({"a": "1", "b": "1"}));
    assert_eq!(owner_entry(&kept, "m1").unwrap()["fieldsV1"], json!({"f:data": {"f:a": {}}}));
}

#[test]
fn containers_go_with_their_defaults() {
    let mut world = World::new();
    let path = format!("{DEPLOYMENTS}/web");
    let mut wanted = mk_deployment("web");
    let side = json!({"name": "side", "image": "example.com/side:1", "ports": [{"containerPort": 9}]});
    wanted["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap().push(side);
    let made = world.apply(&path, "helm", wanted).unwrap();
    assert_eq!(made["spec"]["template"]["spec"]["containers"].as_array().unwrap().len(), 2);
    let less = world.apply(&path, "helm", mk_deployment("web")).unwrap();
    let containers = less["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1);
    assert_eq!(containers[0]["imagePullPolicy"], "IfNotPresent");
    assert_eq!(less["metadata"]["generation"], 2);
}

#[test]
fn a_service_keeps_its_address_under_apply() {
    let mut world = World::new();
    let path = format!("{SERVICES}/s");
    let service = |ports: Value| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
               "spec": {"type": "NodePort", "selector": {"app": "x"}, "ports": ports}})
    };
    let made = world
        .apply(&path, "helm", service(json!([{"port": 80, "name": "a"}, {"port": 81, "name": "b"}])))
        .unwrap();
    let fields = owner_entry(&made, "helm").unwrap()["fieldsV1"].clone();
    assert!(fields["f:spec"]["f:ports"].get("k:{\"port\":80,\"protocol\":\"TCP\"}").is_some(), "{fields}");
    let less = world.apply(&path, "helm", service(json!([{"port": 80, "name": "a"}]))).unwrap();
    assert_eq!(less["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    assert_eq!(less["spec"]["ports"].as_array().unwrap().len(), 1);
    assert_eq!(less["spec"]["ports"][0]["nodePort"], made["spec"]["ports"][0]["nodePort"]);
}

#[test]
fn status_belongs_to_its_subresource() {
    let mut world = World::new();
    let path = format!("{DEPLOYMENTS}/web");
    let mut wanted = mk_deployment("web");
    wanted["status"] = json!({"replicas": 7});
    let made = world.apply(&path, "helm", wanted).unwrap();
    assert!(made["status"].get("replicas").is_none());
    let status = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 9}, "status": {"replicas": 2}});
    let written = world.apply(&format!("{path}/status"), "controller", status).unwrap();
    assert_eq!(
        (written["status"]["replicas"].as_i64(), written["spec"]["replicas"].as_i64()),
        (Some(2), Some(1))
    );
    let entry = owner_entry(&written, "controller").unwrap();
    assert_eq!(
        (entry["subresource"].as_str(), &entry["fieldsV1"]),
        (Some("status"), &json!({"f:status": {"f:replicas": {}}}))
    );
}

#[test]
fn bodies_of_apply_are_checked() {
    let mut world = World::new();
    let path = format!("{CONFIG_MAPS}/a");
    assert_eq!(world.apply(&path, "m", json!({"metadata": {"name": "a"}})).unwrap_err().code, 400);
    assert_eq!(world.apply(&path, "", mk_config_map("a", json!({}))).unwrap_err().code, 422);
    let managed =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "managedFields": []}});
    assert_eq!(world.apply(&path, "m", managed).unwrap_err().code, 400);
    world.apply(&path, "m", mk_config_map("a", json!({}))).unwrap();
    let stale =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "1"}});
    assert_eq!(world.apply(&path, "m", stale).unwrap_err().code, 409);
}

#[test]
fn clients_may_edit_managed_fields() {
    let mut world = World::new();
    let path = format!("{CONFIG_MAPS}/a");
    world.post(CONFIG_MAPS, mk_config_map("a", json!({"a": "1"}))).unwrap();
    let patch = json!([{"op": "replace", "path": "/metadata/managedFields", "value": [
        {"manager": "kubectl", "operation": "Apply", "apiVersion": "v1", "time": "2025-01-01T00:00:00Z",
         "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}}}]}]);
    let migrated = world.patch(&path, PatchKind::Json, patch).unwrap();
    assert!(owner_entry(&migrated, "test").is_none());
    let gone = world.apply(&path, "kubectl", mk_config_map("a", json!({"b": "2"}))).unwrap();
    assert_eq!(gone["data"], json!({"b": "2"}));
    let reset = world.patch(&path, PatchKind::Merge, json!({"metadata": {"managedFields": [{}]}})).unwrap();
    assert!(reset["metadata"].get("managedFields").is_none());
}

/// What admission and allocation add is no field of the client's: an apply without it must not take it away.
#[test]
fn what_the_server_adds_belongs_to_nobody() {
    let mut world = World::new();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "x:1"}]},
    });
    let created = world.post(PODS, pod.clone()).unwrap();
    assert_eq!(created["spec"]["tolerations"].as_array().unwrap().len(), 2);
    let owned = owner_entry(&created, "test").unwrap();
    for field in ["f:tolerations", "f:priority", "f:serviceAccountName"] {
        assert_eq!(owned["fieldsV1"]["f:spec"][field], Value::Null, "{field}");
    }
    // As kubectl migrates from its older apply: the entry becomes one of server-side apply.
    let mut entry = owned.clone();
    entry["operation"] = "Apply".into();
    entry["manager"] = "m1".into();
    let path = format!("{PODS}/p");
    let patch = json!({"metadata": {"managedFields": [entry]}});
    world.write(&path, Write::Patch(PatchKind::Merge, patch)).unwrap();
    let applied = world.apply(&path, "m1", pod).unwrap();
    assert_eq!(applied["spec"], created["spec"]);
}
