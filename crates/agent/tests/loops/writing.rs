//! Writes, their errors, and Events.

use apply_kube::{
    DeleteOptions, Error, EventKind, EventNote, Events, MANAGED_BY_LABEL, Subject, Target, Writer,
};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Event;
use serde_json::{Value, json};
use types::{NodeName, ObjectRef, PodName};
use watch::{Client, ObjectBatch, Selection};

use crate::server::{TestServer, in_time};

fn mk_config_map(value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "settings", "namespace": "default" },
        "data": { "key": value },
    })
}

fn mk_pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "default" },
        "spec": { "containers": [{ "name": "main", "image": "example" }] },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_lives_from_create_to_delete() {
    let server = TestServer::start().await;
    let writer = Writer::new(server.client.clone());
    let made = writer.create_ours(&mk_config_map("1")).await.expect("created");
    assert_eq!(made["metadata"]["labels"][MANAGED_BY_LABEL], "sealane");
    assert!(matches!(writer.create(&mk_config_map("1")).await, Err(Error::AlreadyExists { .. })));
    let mut changed = made.clone();
    changed["data"]["key"] = json!("2");
    writer.replace(&changed).await.expect("replaced");
    assert!(matches!(writer.replace(&changed).await, Err(Error::Conflict { .. })), "an old version");
    let target = Target::of(&made).expect("complete");
    let patched = writer.merge_patch(&target, &json!({ "data": { "key": null, "new": "3" } })).await;
    assert_eq!(patched.expect("patched")["data"], json!({ "new": "3" }));
    let applied = writer.apply(&mk_config_map("4")).await.expect("applied");
    assert_eq!(applied["data"], json!({ "key": "4", "new": "3" }));
    writer.delete(&target, &DeleteOptions::default()).await.expect("deleted");
    writer.delete(&target, &DeleteOptions::default()).await.expect("gone already");
    assert!(matches!(writer.merge_patch(&target, &json!({})).await, Err(Error::NotFound { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_is_bound_and_gets_a_status() {
    let server = TestServer::start().await;
    let writer = Writer::new(server.client.clone());
    writer.create(&mk_pod("web")).await.expect("created");
    writer.bind(&PodName::new("default", "web"), &NodeName::from("node-a")).await.expect("bound");
    let target = Target::namespaced("v1", "Pod", "default", "web");
    let status = json!({ "phase": "Running", "podIP": "192.0.2.1", "podIPs": [{ "ip": "192.0.2.1" }] });
    let pod = writer.patch_status(&target, &status).await.expect("patched");
    assert_eq!(pod["spec"]["nodeName"], "node-a");
    assert_eq!(pod["status"]["podIP"], "192.0.2.1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_object_is_named_with_its_field() {
    let server = TestServer::start().await;
    let writer = Writer::new(server.client.clone());
    let mut invalid = mk_pod("web");
    invalid["spec"]["containers"] = json!([]);
    let Err(Error::Invalid { message }) = writer.create(&invalid).await else { panic!("invalid") };
    assert!(message.contains("spec.containers"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_an_error_worth_retrying() {
    let server = TestServer::start().await;
    let client = server.client.clone();
    drop(server);
    let writer = Writer::new(client);
    let is_unreachable = || async {
        matches!(writer.create(&mk_config_map("1")).await, Err(error @ Error::Unreachable(_)) if error.is_worth_retrying())
            .then_some(())
    };
    crate::server::eventually("the server ends", is_unreachable).await;
}

async fn read_events(client: &Client) -> Vec<Event> {
    let mut events = Box::pin(watch::objects::<Event>(client, Selection::default()));
    let Some(ObjectBatch::Replace(list)) = in_time("list", events.next()).await else {
        panic!("a list first")
    };
    list
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_told_again_by_a_new_process_is_counted() {
    let server = TestServer::start().await;
    let writer = Writer::new(server.client.clone());
    let pod = writer.create(&mk_pod("web")).await.expect("created");
    let object = ObjectRef { kind: "Pod".into(), namespace: Some("default".into()), name: "web".into() };
    let identity = watch::identity(&server.client, &object).await.expect("readable").expect("there");
    assert_eq!(Some(identity.uid.as_str()), pod["metadata"]["uid"].as_str());
    let note = EventNote {
        subject: Subject { api_version: identity.api_version, object, uid: identity.uid },
        kind: EventKind::Warning,
        reason: "Unhealthy".into(),
        message: "readiness probe failed".into(),
        component: "kubelet".into(),
        host: Some("node-a".into()),
    };
    for _ in 0..3 {
        Events::new(writer.clone()).note(&note).await.expect("noted");
    }
    let events = read_events(&server.client).await;
    let counts: Vec<Option<i32>> = events.iter().map(|event| event.count).collect();
    assert_eq!(counts, [Some(3)], "{events:?}");
    assert_eq!(events[0].involved_object.name.as_deref(), Some("web"));
}
