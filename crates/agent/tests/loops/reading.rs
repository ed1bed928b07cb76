//! Lists and watches.

use apply_kube::{DeleteOptions, Target, Writer};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use model::Snapshot;
use serde_json::{Value, json};
use watch::{ObjectBatch, Selection};

use crate::server::{TestServer, eventually, in_time};

fn mk_service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name, "namespace": "default" },
        "spec": { "ports": [{ "port": 80 }] },
    })
}

fn mk_config_map(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": "default" },
        "data": { "key": value },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_follows_the_cluster() {
    let server = TestServer::start().await;
    let writer = Writer::new(server.client.clone());
    writer.create(&mk_service("before")).await.expect("created");
    let mut changes = Box::pin(watch::changes(&server.client));
    let mut snapshot = Snapshot::default();
    let mut is_synced = false;
    while !is_synced {
        let batch = in_time("every kind listed", changes.next()).await.expect("endless");
        batch.changes.into_iter().for_each(|change| _ = snapshot.apply(change));
        is_synced = batch.is_synced;
    }
    assert!(snapshot.services.keys().any(|name| name.name == "before"));
    writer.create(&mk_service("after")).await.expect("created");
    let before = Target::namespaced("v1", "Service", "default", "before");
    writer.delete(&before, &DeleteOptions::default()).await.expect("deleted");
    let is_followed = |snapshot: &Snapshot| {
        let has = |name: &str| snapshot.services.keys().any(|service| service.name == name);
        has("after") && !has("before")
    };
    while !is_followed(&snapshot) {
        let batch = in_time("changes seen", changes.next()).await.expect("endless");
        assert!(batch.is_synced, "synced stays");
        batch.changes.into_iter().for_each(|change| _ = snapshot.apply(change));
    }
    let listed = watch::list_all(&server.client).await.expect("listed");
    assert_eq!(listed, snapshot, "a fresh list says the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_outlives_the_server() {
    let mut server = TestServer::start().await;
    let writer = Writer::new(server.client.clone());
    writer.create(&mk_config_map("mine", "1")).await.expect("created");
    let mut maps =
        Box::pin(watch::objects::<ConfigMap>(&server.client, Selection::fields("metadata.name=mine")));
    let first = in_time("first list", maps.next()).await.expect("endless");
    assert!(matches!(&first, ObjectBatch::Replace(list) if list.len() == 1), "{first:?}");
    server.restart().await;
    eventually("the server answers", || async { writer.apply(&mk_config_map("mine", "2")).await.ok() }).await;
    // Whether it goes on where it was or lists again is between it and the server.
    loop {
        let objects = match in_time("the change after the restart", maps.next()).await.expect("endless") {
            ObjectBatch::Replace(list) => list,
            ObjectBatch::Put(map) => vec![map],
            ObjectBatch::Remove(map) => panic!("nothing was deleted: {map:?}"),
        };
        if objects.iter().any(|map| map.data.as_ref().is_some_and(|data| data["key"] == "2")) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_can_be_selected() {
    let server = TestServer::start().await;
    let writer = Writer::new(server.client.clone());
    let mut maps =
        Box::pin(watch::objects::<ConfigMap>(&server.client, Selection::fields("metadata.name=mine")));
    assert_eq!(in_time("list", maps.next()).await, Some(ObjectBatch::Replace(Vec::new())));
    writer.create(&mk_config_map("other", "1")).await.expect("created");
    writer.create(&mk_config_map("mine", "1")).await.expect("created");
    let Some(ObjectBatch::Put(made)) = in_time("put", maps.next()).await else { panic!("made") };
    assert_eq!(made.metadata.name.as_deref(), Some("mine"));
    let mine = Target::namespaced("v1", "ConfigMap", "default", "mine");
    writer.delete(&mine, &DeleteOptions::default()).await.expect("deleted");
    assert!(matches!(in_time("remove", maps.next()).await, Some(ObjectBatch::Remove(_))));
}
