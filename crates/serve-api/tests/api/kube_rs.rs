//! kube-rs: both ways to watch, metadata, apply, logs and exec.

use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt;
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, AttachParams, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::World;

pub(crate) async fn client(world: &World) -> kube::Client {
    let text = std::fs::read_to_string(world.directory.join("kubeconfig")).unwrap();
    let kubeconfig = kube::config::Kubeconfig::from_yaml(&text).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    kube::Client::try_from(config).unwrap()
}

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"t": "1"}}, "data": {"a": "1"}}))
        .unwrap()
}

/// Follows a watcher through its start, a change and a deletion.
async fn follow(api: Api<ConfigMap>, config: watcher::Config, old: &str, new: &str) {
    api.create(&PostParams::default(), &config_map(old)).await.unwrap();
    let mut events = pin!(watcher::watcher(api.clone(), config.labels("t=1")));
    let mut next = async || {
        tokio::time::timeout(Duration::from_secs(20), events.try_next()).await.unwrap().unwrap().unwrap()
    };
    assert!(matches!(next().await, Event::Init));
    let Event::InitApply(first) = next().await else { panic!("the old object comes first") };
    assert_eq!(first.metadata.name.as_deref(), Some(old));
    assert!(matches!(next().await, Event::InitDone));
    api.create(&PostParams::default(), &config_map(new)).await.unwrap();
    let Event::Apply(created) = next().await else { panic!("then the new one") };
    assert_eq!(created.metadata.name.as_deref(), Some(new));
    api.delete(old, &DeleteParams::default()).await.unwrap();
    let Event::Delete(deleted) = next().await else { panic!("then the deletion") };
    assert_eq!(deleted.metadata.name.as_deref(), Some(old));
    api.delete(new, &DeleteParams::default()).await.unwrap();
}

#[test]
fn both_watcher_modes_follow_changes() {
    let world = World::start();
    world.tokio.block_on(async {
        let api: Api<ConfigMap> = Api::default_namespaced(client(&world).await);
        follow(api.clone(), watcher::Config::default(), "a", "b").await;
        follow(api, watcher::Config::default().streaming_lists(), "c", "d").await;
    });
}

#[test]
fn lists_metadata_patches_and_conflicts() {
    let world = World::start();
    world.tokio.block_on(async {
        let api: Api<ConfigMap> = Api::default_namespaced(client(&world).await);
        for name in ["a", "b", "c"] {
            api.create(&PostParams::default(), &config_map(name)).await.unwrap();
        }
        let page = api.list(&ListParams::default().labels("t=1").limit(2)).await.unwrap();
        assert_eq!(page.items.len(), 2);
        let token = page.metadata.continue_.unwrap();
        let rest =
            api.list(&ListParams::default().labels("t=1").limit(2).continue_token(&token)).await.unwrap();
        assert_eq!(rest.items[0].metadata.name.as_deref(), Some("c"));
        let metadata = api.list_metadata(&ListParams::default().labels("t=1")).await.unwrap();
        assert_eq!(metadata.items.len(), 3);

        let patch = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"b": "2"}});
        let applied = api.patch("a", &PatchParams::apply("test"), &Patch::Apply(patch)).await.unwrap();
        assert_eq!(applied.data.unwrap().len(), 2);
        let merged = api
            .patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"b": null}})))
            .await
            .unwrap();
        assert_eq!(merged.data.clone().unwrap().len(), 1);
        let mut stale = api.get("a").await.unwrap();
        stale.metadata.resource_version = Some("2".to_owned());
        stale.data.as_mut().unwrap().insert("c".to_owned(), "3".to_owned());
        let refused = api.replace("a", &PostParams::default(), &stale).await.unwrap_err();
        assert!(
            matches!(refused, kube::Error::Api(status) if status.code == 409 && status.reason == "Conflict")
        );
    });
}

#[test]
fn logs_and_exec() {
    let world = World::start();
    world.running_pod("web", json!({"app": "web"}));
    world.tokio.block_on(async {
        let api: Api<Pod> = Api::default_namespaced(client(&world).await);
        assert_eq!(api.logs("web", &LogParams::default()).await.unwrap(), "one\ntwo\nthree\n");

        let attach = AttachParams::default().stdin(true).stderr(false);
        let mut process = api.exec("web", ["cat"], &attach).await.unwrap();
        let mut stdin = process.stdin().unwrap();
        let mut stdout = process.stdout().unwrap();
        stdin.write_all(b"through the pod").await.unwrap();
        stdin.shutdown().await.unwrap();
        drop(stdin);
        let mut text = String::new();
        tokio::time::timeout(Duration::from_secs(20), stdout.read_to_string(&mut text))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(text, "through the pod");

        let mut process = api.exec("web", ["false"], &AttachParams::default()).await.unwrap();
        let status = process.take_status().unwrap().await.unwrap();
        assert_eq!(status.reason.as_deref(), Some("NonZeroExitCode"));
        assert_eq!(status.details.unwrap().causes.unwrap()[0].message.as_deref(), Some("3"));
    });
}

#[test]
fn the_end_of_the_server_ends_its_streams() {
    let mut world = World::start();
    let mut stream = world.tokio.block_on(async {
        let request =
            http::Request::get("/api/v1/pods?watch=true").body(kube::client::Body::empty()).unwrap();
        client(&world).await.send(request).await.unwrap().into_body()
    });
    let ended = std::thread::scope(|scope| {
        let stopped = scope.spawn(|| world.stop());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ended = runtime.block_on(async {
            let read = async { while let Some(Ok(_)) = stream.frame().await {} };
            tokio::time::timeout(Duration::from_secs(10), read).await
        });
        stopped.join().unwrap();
        ended
    });
    ended.expect("the stream ends with the server");
}
