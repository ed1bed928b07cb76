//! Deletion: answers, finalizers, grace, policies, namespaces.

use engine_store::{DeleteOptions, ListOptions, PatchKind, Write};
use serde_json::json;

use crate::harness::{CONFIG_MAPS, DEPLOYMENTS, PODS, World, mk_config_map, mk_deployment, mk_pod};

#[test]
fn a_delete_answers_status_or_object() {
    let mut world = World::new();
    let made = world.post(CONFIG_MAPS, mk_config_map("a", json!({}))).unwrap();
    let answer =
        world.delete(&format!("{CONFIG_MAPS}/a"), json!({"propagationPolicy": "Background"})).unwrap();
    assert_eq!(answer["status"], "Success");
    assert_eq!(answer["details"], json!({"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}));
    assert_eq!(world.delete(&format!("{CONFIG_MAPS}/a"), json!({})).unwrap_err().code, 404);
    world.post(PODS, mk_pod("p")).unwrap();
    assert_eq!(world.delete(&format!("{PODS}/p"), json!({})).unwrap()["kind"], "Pod");
    assert_eq!(world.get(&format!("{PODS}/p")).unwrap_err().code, 404);
}

#[test]
fn preconditions_protect() {
    let mut world = World::new();
    world.post(CONFIG_MAPS, mk_config_map("a", json!({}))).unwrap();
    let refused =
        world.delete(&format!("{CONFIG_MAPS}/a"), json!({"preconditions": {"uid": "x"}})).unwrap_err();
    assert_eq!(refused.code, 409);
    assert!(
        refused.message.contains("Precondition failed: UID in precondition: x, UID in object meta: "),
        "{refused}"
    );
}

#[test]
fn finalizers_hold() {
    let mut world = World::new();
    let mut object = mk_config_map("a", json!({}));
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    world.post(CONFIG_MAPS, object).unwrap();
    let path = format!("{CONFIG_MAPS}/a");
    let held = world.delete(&path, json!({})).unwrap();
    assert!(held["metadata"]["deletionTimestamp"].is_string());
    let again = world.delete(&path, json!({})).unwrap();
    assert_eq!(again, held);
    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    let refused = world.patch(&path, PatchKind::Merge, more).unwrap_err();
    assert!(refused.message.contains("no new finalizers can be added"), "{refused}");
    world.patch(&path, PatchKind::Merge, json!({"metadata": {"finalizers": null}})).unwrap();
    assert_eq!(world.get(&path).unwrap_err().code, 404);
}

#[test]
fn scheduled_pods_stop_gracefully() {
    let mut world = World::new();
    let mut pod = mk_pod("p");
    pod["spec"]["nodeName"] = json!("node-a");
    world.post(PODS, pod).unwrap();
    let path = format!("{PODS}/p");
    let leaving = world.delete(&path, json!({})).unwrap();
    assert_eq!(leaving["metadata"]["deletionGracePeriodSeconds"], 30);
    let longer = world.delete(&path, json!({"gracePeriodSeconds": 60})).unwrap();
    assert_eq!(longer["metadata"]["deletionGracePeriodSeconds"], 30);
    let shorter = world.delete(&path, json!({"gracePeriodSeconds": 1})).unwrap();
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 1);
    world.delete(&path, json!({"gracePeriodSeconds": 0})).unwrap();
    assert_eq!(world.get(&path).unwrap_err().code, 404);
}

#[test]
fn policies_become_finalizers() {
    let mut world = World::new();
    for (policy, finalizer) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        world.post(DEPLOYMENTS, mk_deployment("web")).unwrap();
        let path = format!("{DEPLOYMENTS}/web");
        let held = world.delete(&path, json!({"propagationPolicy": policy})).unwrap();
        assert_eq!(held["metadata"]["finalizers"], json!([finalizer]));
        assert_eq!(held["metadata"]["generation"], 2);
        world.patch(&path, PatchKind::Merge, json!({"metadata": {"finalizers": []}})).unwrap();
        assert_eq!(world.get(&path).unwrap_err().code, 404);
    }
    world.post(DEPLOYMENTS, mk_deployment("web")).unwrap();
    let refused =
        world.delete(&format!("{DEPLOYMENTS}/web"), json!({"propagationPolicy": "Never"})).unwrap_err();
    assert_eq!(refused.code, 400);
}

#[test]
fn namespaces_empty_before_they_go() {
    let mut world = World::new();
    let made = world.post("/api/v1/namespaces", json!({"metadata": {"name": "n"}})).unwrap();
    assert_eq!(made["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "n"}));
    assert_eq!(made["spec"], json!({"finalizers": ["kubernetes"]}));
    let leaving = world.delete("/api/v1/namespaces/n", json!({})).unwrap();
    assert_eq!(
        (leaving["kind"].as_str(), leaving["status"]["phase"].as_str()),
        (Some("Namespace"), Some("Terminating"))
    );
    let refused = world.post("/api/v1/namespaces/n/configmaps", mk_config_map("a", json!({}))).unwrap_err();
    assert_eq!(refused.code, 403);
    assert!(
        refused
            .message
            .ends_with("unable to create new content in namespace n because it is being terminated"),
        "{refused}"
    );
    assert_eq!(refused.to_value()["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let mut empty = leaving;
    empty["spec"]["finalizers"] = json!([]);
    world.put("/api/v1/namespaces/n/finalize", empty).unwrap();
    assert_eq!(world.get("/api/v1/namespaces/n").unwrap_err().code, 404);
    for name in ["default", "kube-system", "kube-public"] {
        assert_eq!(world.delete(&format!("/api/v1/namespaces/{name}"), json!({})).unwrap_err().code, 403);
    }
}

#[test]
fn collections_go_by_selector() {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        world.post(CONFIG_MAPS, mk_config_map(name, json!({}))).unwrap();
    }
    let list = ListOptions { field_selector: Some("metadata.name!=b".to_owned()), ..ListOptions::default() };
    let write = Write::DeleteCollection { options: DeleteOptions::default(), list };
    let answer = world.write(CONFIG_MAPS, write).unwrap().object;
    assert_eq!(
        (answer["kind"].as_str(), answer["items"].as_array().unwrap().len()),
        (Some("ConfigMapList"), 2)
    );
    assert_eq!(world.list(CONFIG_MAPS, &ListOptions::default()).unwrap().items.len(), 1);
    // Neither those of all namespaces at once, nor namespaces.
    for path in ["/api/v1/configmaps", "/api/v1/namespaces"] {
        let all = Write::DeleteCollection { options: DeleteOptions::default(), list: ListOptions::default() };
        assert_eq!(world.write(path, all).unwrap_err().code, 405, "{path}");
    }
}

#[test]
fn an_eviction_deletes() {
    let mut world = World::new();
    world.post(PODS, mk_pod("p")).unwrap();
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    world.post(&format!("{PODS}/p/eviction"), eviction).unwrap();
    assert_eq!(world.get(&format!("{PODS}/p")).unwrap_err().code, 404);
}
