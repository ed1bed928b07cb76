//! kube-rs as operators use it: watchers in both modes, metadata, apply, a store that survives 410.

use std::pin::pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, reflector, watcher as watch_objects};
use kube::{Client, Config, ResourceExt};
use serde_json::json;

use crate::bed::{PATIENCE, can_run};
use crate::lab::Lab;

async fn connect(lab: &Lab) -> Client {
    let kubeconfig = Kubeconfig::read_from(lab.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    let object =
        json!({ "metadata": { "name": name, "labels": { "check": name } }, "data": { "value": value } });
    serde_json::from_value(object).unwrap()
}

/// Waits for the next event of a stream.
async fn next<T>(stream: &mut (impl Stream<Item = Result<T, watcher::Error>> + Unpin)) -> T {
    let event = tokio::time::timeout(PATIENCE, stream.next()).await.expect("an event in time");
    event.expect("the stream goes on").expect("no error")
}

/// What a watcher tells from its start until it has seen one object made, changed and deleted.
async fn follow(maps: &Api<ConfigMap>, config: watcher::Config, name: &str) {
    maps.create(&PostParams::default(), &config_map(name, "1")).await.unwrap();
    let mut events = pin!(watch_objects(maps.clone(), config.labels(&format!("check={name}"))));
    assert!(matches!(next(&mut events).await, Event::Init));
    assert!(matches!(next(&mut events).await, Event::InitApply(object) if object.name_any() == name));
    assert!(matches!(next(&mut events).await, Event::InitDone));
    let patch = Patch::Merge(json!({ "data": { "value": "2" } }));
    maps.patch(name, &PatchParams::default(), &patch).await.unwrap();
    let Event::Apply(changed) = next(&mut events).await else { panic!("no change") };
    assert_eq!(changed.data.unwrap()["value"], "2");
    maps.delete(name, &DeleteParams::default()).await.unwrap();
    assert!(matches!(next(&mut events).await, Event::Delete(object) if object.name_any() == name));
}

/// Metadata only, through list and watch.
async fn follow_metadata(maps: &Api<ConfigMap>, client: &Client) {
    maps.create(&PostParams::default(), &config_map("metadata", "1")).await.unwrap();
    let config = watcher::Config::default().labels("check=metadata");
    let metadata: Api<PartialObjectMeta<ConfigMap>> = Api::default_namespaced(client.clone());
    let mut events = pin!(watch_objects(metadata, config));
    assert!(matches!(next(&mut events).await, Event::Init));
    let Event::InitApply(object) = next(&mut events).await else { panic!("no object") };
    assert_eq!((object.name_any().as_str(), object.labels()["check"].as_str()), ("metadata", "metadata"));
    assert!(matches!(next(&mut events).await, Event::InitDone));
    maps.delete("metadata", &DeleteParams::default()).await.unwrap();
    assert!(matches!(next(&mut events).await, Event::Delete(_)));
}

/// Two managers: shared fields, a conflict, force, and what one no longer applies.
async fn apply(maps: &Api<ConfigMap>) {
    let wanted = |data| Patch::Apply(json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": data }));
    let (one, two) = (PatchParams::apply("one"), PatchParams::apply("two"));
    maps.patch("applied", &one, &wanted(json!({ "a": "1", "b": "1" }))).await.unwrap();
    let refused = maps.patch("applied", &two, &wanted(json!({ "a": "2" }))).await.unwrap_err();
    let kube::Error::Api(status) = refused else { panic!("{refused}") };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"), "{status:?}");
    maps.patch("applied", &two.clone().force(), &wanted(json!({ "a": "2" }))).await.unwrap();
    let left = maps.patch("applied", &one, &wanted(json!({}))).await.unwrap();
    assert_eq!(serde_json::to_value(left.data).unwrap(), json!({ "a": "2" }));
    maps.delete("applied", &DeleteParams::default()).await.unwrap();
}

/// A watch from a forgotten version is told so in the stream, which is what makes a reflector list again.
async fn forgotten(maps: &Api<ConfigMap>) {
    let mut events = maps.watch(&WatchParams::default(), "1").await.unwrap().boxed();
    let first = tokio::time::timeout(PATIENCE, events.try_next()).await.unwrap().unwrap();
    assert!(matches!(&first, Some(WatchEvent::Error(status)) if status.code == 410), "{first:?}");
}

/// A store that a reflector keeps.
async fn reflect(maps: &Api<ConfigMap>) {
    let (store, writer) = reflector::store::<ConfigMap>();
    let config = watcher::Config::default().labels("check=reflected");
    let stream = watch_objects(maps.clone(), config).default_backoff().reflect(writer).touched_objects();
    let running = tokio::spawn(stream.for_each(|_| std::future::ready(())));
    store.wait_until_ready().await.unwrap();
    assert!(store.is_empty());
    maps.create(&PostParams::default(), &config_map("reflected", "1")).await.unwrap();
    let wanted = ObjectRef::new("reflected").within("default");
    let arrived = async {
        while store.get(&wanted).is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, arrived).await.expect("the object is in the store");
    running.abort();
    let selected = ListParams::default().labels("check=reflected");
    maps.delete_collection(&DeleteParams::default(), &selected).await.unwrap();
    assert!(maps.list(&selected).await.unwrap().items.is_empty());
}

/// Lists by pages, table-free single reads, optimistic concurrency, dry run.
async fn objects(maps: &Api<ConfigMap>) {
    let made = maps.create(&PostParams::default(), &config_map("object", "1")).await.unwrap();
    let mut newer = made.clone();
    newer.data.as_mut().unwrap().insert("value".to_owned(), "2".to_owned());
    maps.replace("object", &PostParams::default(), &newer).await.unwrap();
    let stale = maps.replace("object", &PostParams::default(), &made).await.unwrap_err();
    assert!(matches!(stale, kube::Error::Api(status) if status.is_conflict()));
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    maps.create(&dry, &config_map("dry", "1")).await.unwrap();
    assert!(maps.get_opt("dry").await.unwrap().is_none());
    let page = maps.list(&ListParams::default().limit(1)).await.unwrap();
    assert!(page.items.len() == 1 && page.metadata.continue_.is_some());
    assert_eq!(maps.get_metadata("object").await.unwrap().name_any(), "object");
    maps.delete("object", &DeleteParams::default()).await.unwrap();
}

#[test]
fn kube_rs_does_not_notice() {
    let test = "kube_rs_does_not_notice";
    if !can_run(test) {
        return;
    }
    let lab = Lab::up_again(test);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = connect(&lab).await;
        let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
        follow(&maps, watcher::Config::default(), "listed").await;
        follow(&maps, watcher::Config::default().streaming_lists(), "streamed").await;
        follow_metadata(&maps, &client).await;
        apply(&maps).await;
        forgotten(&maps).await;
        reflect(&maps).await;
        objects(&maps).await;
        let discovered = kube::discovery::Discovery::new(client.clone()).run().await.unwrap();
        assert!(discovered.has_group("networking.k8s.io"));
        let pods: Api<Pod> = Api::all(client);
        assert!(pods.list(&ListParams::default()).await.unwrap().metadata.resource_version.is_some());
    });
}
