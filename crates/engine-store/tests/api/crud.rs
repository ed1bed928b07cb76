//! Create, read, update: codes, metadata, conflicts, subresources.

use engine_store::{PatchKind, Write};
use serde_json::json;

use crate::harness::{CONFIG_MAPS, DEPLOYMENTS, PODS, World, mk_config_map, mk_deployment, mk_pod};

#[test]
fn a_new_object_gets_its_metadata() {
    let mut world = World::new();
    let made = world.post(DEPLOYMENTS, mk_deployment("web")).unwrap();
    assert_eq!(made["metadata"]["namespace"], "default");
    assert_eq!(made["metadata"]["generation"], 1);
    assert_eq!(made["metadata"]["uid"].as_str().unwrap().len(), 36);
    assert!(made["metadata"]["creationTimestamp"].as_str().unwrap().starts_with("2025-01-01T00:00:"));
    assert_eq!(made["metadata"]["resourceVersion"], world.store.revision().to_string());
    assert_eq!(made["spec"]["replicas"], 1);
    assert_eq!(made["spec"]["strategy"]["rollingUpdate"]["maxSurge"], "25%");
    assert_eq!(made["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert_eq!(world.get(&format!("{DEPLOYMENTS}/web")).unwrap(), made);
}

#[test]
fn errors_of_create_and_read() {
    let mut world = World::new();
    let missing = world.get(&format!("{CONFIG_MAPS}/x")).unwrap_err();
    assert_eq!((missing.code, missing.message.as_str()), (404, "configmaps \"x\" not found"));
    assert_eq!(missing.to_value()["details"], json!({"name": "x", "kind": "configmaps"}));
    let missing = world.get("/apis/apps/v1/namespaces/default/deployments/x").unwrap_err();
    assert_eq!(missing.message, "deployments.apps \"x\" not found");
    assert_eq!(world.get("/apis/apps/v1/namespaces/default/widgets/x").unwrap_err().code, 404);
    assert_eq!(world.get("/apis/apps/v2/namespaces/default/deployments/x").unwrap_err().code, 404);

    world.post(CONFIG_MAPS, mk_config_map("a", json!({}))).unwrap();
    let twice = world.post(CONFIG_MAPS, mk_config_map("a", json!({}))).unwrap_err();
    assert_eq!((twice.code, twice.message.as_str()), (409, "configmaps \"a\" already exists"));
    let elsewhere = json!({"metadata": {"name": "b", "namespace": "other"}});
    assert_eq!(world.post(CONFIG_MAPS, elsewhere).unwrap_err().code, 400);
    let nowhere =
        world.post("/api/v1/namespaces/nowhere/configmaps", mk_config_map("a", json!({}))).unwrap_err();
    assert_eq!((nowhere.code, nowhere.message.as_str()), (404, "namespaces \"nowhere\" not found"));
    let versioned = json!({"metadata": {"name": "b", "resourceVersion": "1"}});
    assert_eq!(world.post(CONFIG_MAPS, versioned).unwrap_err().code, 400);
    let other_kind = world.post(PODS, mk_deployment("web")).unwrap_err();
    assert_eq!(other_kind.code, 400);
    assert!(
        other_kind.message.starts_with("Deployment in version \"v1\" cannot be handled as a Pod"),
        "{other_kind}"
    );
}

#[test]
fn names_are_generated() {
    let mut world = World::new();
    let made = world.post(CONFIG_MAPS, json!({"metadata": {"generateName": "cm-"}})).unwrap();
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("cm-") && name.len() == 8, "{name}");
    let unnamed = world.post(CONFIG_MAPS, json!({"metadata": {}})).unwrap_err();
    assert_eq!(unnamed.code, 422);
    assert!(
        unnamed.message.contains("metadata.name: Required value: name or generateName is required"),
        "{unnamed}"
    );
}

#[test]
fn updates_are_conditional_on_the_version() {
    let mut world = World::new();
    let made = world.post(CONFIG_MAPS, mk_config_map("a", json!({"k": "1"}))).unwrap();
    let path = format!("{CONFIG_MAPS}/a");
    let mut changed = made.clone();
    changed["data"]["k"] = json!("2");
    world.put(&path, changed.clone()).unwrap();
    let stale = world.put(&path, changed.clone()).unwrap_err();
    assert_eq!((stale.code, stale.reason), (409, "Conflict"));
    assert_eq!(
        stale.message,
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes \
         to the latest version and try again"
    );
    changed["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    changed["data"]["k"] = json!("3");
    assert_eq!(world.put(&path, changed.clone()).unwrap()["data"]["k"], "3");
    changed["metadata"]["uid"] = json!("other");
    assert_eq!(world.put(&path, changed.clone()).unwrap_err().code, 409);
    let renamed = mk_config_map("b", json!({}));
    assert_eq!(world.put(&path, renamed).unwrap_err().code, 400);
    assert_eq!(
        world.put(&format!("{CONFIG_MAPS}/none"), mk_config_map("none", json!({}))).unwrap_err().code,
        404
    );
}

#[test]
fn some_kinds_are_created_by_update() {
    let mut world = World::new();
    let path = "/api/v1/namespaces/default/endpoints/x";
    let written = world.write(path, Write::Update(json!({"metadata": {"name": "x"}}))).unwrap();
    assert!(written.created);
    let lease = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}});
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    assert!(world.write(path, Write::Update(lease.clone())).unwrap().created);
    let unversioned = world.put(path, lease).unwrap_err();
    assert_eq!(unversioned.code, 422);
    assert!(
        unversioned
            .message
            .contains("metadata.resourceVersion: Invalid value: 0: must be specified for an update")
    );
}

#[test]
fn writing_the_same_changes_nothing() {
    let mut world = World::new();
    let made = world.post(DEPLOYMENTS, mk_deployment("web")).unwrap();
    let revision = world.store.revision();
    let path = format!("{DEPLOYMENTS}/web");
    assert_eq!(world.put(&path, made.clone()).unwrap(), made);
    assert_eq!(world.patch(&path, PatchKind::Merge, json!({"spec": {"replicas": 1}})).unwrap(), made);
    assert_eq!(world.put(&path, mk_deployment("web")).unwrap(), made);
    assert_eq!(world.store.revision(), revision);
}

#[test]
fn generation_follows_the_spec() {
    let mut world = World::new();
    world.post(DEPLOYMENTS, mk_deployment("web")).unwrap();
    let path = format!("{DEPLOYMENTS}/web");
    let labelled = world.patch(&path, PatchKind::Merge, json!({"metadata": {"labels": {"a": "b"}}})).unwrap();
    assert_eq!(labelled["metadata"]["generation"], 1);
    let scaled = world.patch(&path, PatchKind::Merge, json!({"spec": {"replicas": 3}})).unwrap();
    assert_eq!(scaled["metadata"]["generation"], 2);
    let status = json!({"status": {"observedGeneration": 2, "replicas": 3}});
    let status = world.patch(&format!("{path}/status"), PatchKind::Merge, status).unwrap();
    assert_eq!(status["metadata"]["generation"], 2);
}

#[test]
fn status_is_a_part_of_its_own() {
    let mut world = World::new();
    let mut pod = mk_pod("p");
    pod["status"] = json!({"phase": "Running"});
    let made = world.post(PODS, pod).unwrap();
    assert_eq!(made["status"]["phase"], "Pending");
    let path = format!("{PODS}/p");
    let mut wished = made.clone();
    wished["status"]["phase"] = json!("Failed");
    wished["metadata"]["labels"]["x"] = json!("y");
    let written = world.put(&path, wished.clone()).unwrap();
    assert_eq!(
        (written["status"]["phase"].as_str(), written["metadata"]["labels"]["x"].as_str()),
        (Some("Pending"), Some("y"))
    );
    wished["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    wished["metadata"]["labels"]["x"] = json!("z");
    wished["status"] = json!({"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]});
    let written = world.put(&format!("{path}/status"), wished).unwrap();
    assert_eq!(
        (written["status"]["phase"].as_str(), written["metadata"]["labels"]["x"].as_str()),
        (Some("Running"), Some("y"))
    );
    assert_eq!(world.get(&format!("{path}/status")).unwrap(), written);
}

#[test]
fn scale_reads_and_writes_replicas() {
    let mut world = World::new();
    world.post(DEPLOYMENTS, mk_deployment("web")).unwrap();
    let path = format!("{DEPLOYMENTS}/web/scale");
    let scale = world.get(&path).unwrap();
    assert_eq!(scale["kind"], "Scale");
    assert_eq!(scale["status"], json!({"replicas": 0, "selector": "app=web"}));
    let scaled = world.patch(&path, PatchKind::Merge, json!({"spec": {"replicas": 4}})).unwrap();
    assert_eq!(scaled["spec"]["replicas"], 4);
    assert_eq!(world.get(&format!("{DEPLOYMENTS}/web")).unwrap()["spec"]["replicas"], 4);
    assert_eq!(world.put(&path, scale).unwrap_err().code, 409);
    let current = world.get(&path).unwrap();
    let mut zero = current.clone();
    zero["spec"]["replicas"] = json!(0);
    assert!(world.put(&path, zero).unwrap()["spec"].get("replicas").is_none());
    let bad = world.patch(&path, PatchKind::Merge, json!({"spec": {"replicas": -1}})).unwrap_err();
    assert_eq!(bad.code, 422);
}

#[test]
fn binding_gives_a_pod_its_node_once() {
    let mut world = World::new();
    world.post(PODS, mk_pod("p")).unwrap();
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "node-a"}});
    let answer = world.write(&format!("{PODS}/p/binding"), Write::Create(binding.clone())).unwrap();
    assert!(answer.created);
    let pod = world.get(&format!("{PODS}/p")).unwrap();
    assert_eq!(pod["spec"]["nodeName"], "node-a");
    assert_eq!(pod["status"]["conditions"][0]["type"], "PodScheduled");
    assert_eq!(world.post(&format!("{PODS}/p/binding"), binding).unwrap_err().code, 409);
}

#[test]
fn a_dry_run_leaves_nothing() {
    let mut world = World::new();
    let revision = world.store.revision();
    world.options.dry_run = true;
    let made = world.post(CONFIG_MAPS, mk_config_map("a", json!({"k": "v"}))).unwrap();
    assert_eq!(made["data"]["k"], "v");
    assert_eq!(world.get(&format!("{CONFIG_MAPS}/a")).unwrap_err().code, 404);
    assert_eq!(world.store.revision(), revision);
}

#[test]
fn events_show_in_both_groups() {
    let mut world = World::new();
    let event = json!({
        "metadata": {"name": "e"}, "eventTime": "2025-01-01T00:00:00.000001Z", "note": "hello",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"}, "type": "Normal", "reason": "Started",
        "action": "Start", "reportingController": "example.com/x", "reportingInstance": "x-1",
    });
    let made = world.post("/apis/events.k8s.io/v1/namespaces/default/events", event).unwrap();
    assert_eq!(
        (made["apiVersion"].as_str(), made["note"].as_str()),
        (Some("events.k8s.io/v1"), Some("hello"))
    );
    let core = world.get("/api/v1/namespaces/default/events/e").unwrap();
    assert_eq!((core["apiVersion"].as_str(), core["message"].as_str()), (Some("v1"), Some("hello")));
    assert_eq!(core["involvedObject"]["name"], "p");
    assert_eq!(world.get("/apis/events.k8s.io/v1/namespaces/default/events/e").unwrap(), made);
}

#[test]
fn a_journal_makes_the_same_store_again() {
    let mut world = World::new();
    world.post(CONFIG_MAPS, mk_config_map("a", json!({"k": "v"}))).unwrap();
    world.post(CONFIG_MAPS, mk_config_map("b", json!({}))).unwrap();
    world.delete(&format!("{CONFIG_MAPS}/a"), json!({})).unwrap();
    let records = world.store.take_journal();
    assert!(world.store.take_journal().is_empty());
    for record in &records {
        if let Some(text) = record.to_json() {
            assert_eq!(&engine_store::Record::parse(&record.key, &text).unwrap(), record);
            for damaged in [&text[1..], &text[..text.len() - 1], ""] {
                assert!(engine_store::Record::parse(&record.key, damaged).is_err(), "{damaged}");
            }
        }
    }
    let again = engine_store::Store::restore(crate::harness::mk_config(), records.into_iter()).unwrap();
    assert_eq!(again.revision(), world.store.revision());
    let all = |store: &engine_store::Store| -> Vec<engine_store::Record> { store.snapshot().collect() };
    assert_eq!(all(&again), all(&world.store));
}
