//! The kubelets of a lab, all in one: what the API puts on our nodes gets a worker each, with the objects it refers to.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use tokio::sync::watch as channel;
use types::{NamespacedName, NodeName};
use watch::{Client, ObjectBatch, Selection};

use crate::node::{AllSources, NodeContext, Shared};
use crate::worker::Worker;

/// Runs the Pods of these nodes for as long as it is polled.
pub async fn run(client: Client, shared: Arc<Shared>, nodes: Vec<Arc<NodeContext>>) {
    let mut config_maps = pin!(watch::objects::<ConfigMap>(&client, Selection::default()));
    let mut secrets = pin!(watch::objects::<Secret>(&client, Selection::default()));
    let mut services = pin!(watch::objects::<Service>(&client, Selection::default()));
    let mut claims = pin!(watch::objects::<PersistentVolumeClaim>(&client, Selection::default()));
    let mut volumes = pin!(watch::objects::<PersistentVolume>(&client, Selection::default()));
    let mut pods = pin!(watch::objects::<Pod>(&client, Selection::default()));
    // Containers refer to these: none starts before they are known.
    take(config_maps.as_mut(), &shared, |all| &mut all.config_maps).await;
    take(secrets.as_mut(), &shared, |all| &mut all.secrets).await;
    take(services.as_mut(), &shared, |all| &mut all.services).await;
    take(claims.as_mut(), &shared, |all| &mut all.claims).await;
    take_volumes(volumes.as_mut(), &shared).await;
    let nodes = nodes.into_iter().map(|node| (node.name.clone(), node)).collect();
    let mut here = Here { nodes, workers: BTreeMap::new() };
    loop {
        tokio::select! {
            () = take(config_maps.as_mut(), &shared, |all| &mut all.config_maps) => {}
            () = take(secrets.as_mut(), &shared, |all| &mut all.secrets) => {}
            () = take(services.as_mut(), &shared, |all| &mut all.services) => {}
            () = take(claims.as_mut(), &shared, |all| &mut all.claims) => {}
            () = take_volumes(volumes.as_mut(), &shared) => {}
            batch = pods.next() => match batch {
                Some(batch) => here.take(batch),
                None => return,
            },
        }
    }
}

/// Folds the next batch of one kind.
async fn take<K: Metadata<Ty = ObjectMeta>>(
    mut stream: impl Stream<Item = ObjectBatch<K>> + Unpin,
    shared: &Shared,
    of: fn(&mut AllSources) -> &mut BTreeMap<NamespacedName, K>,
) {
    let Some(batch) = stream.next().await else { return std::future::pending().await };
    fold(batch, shared, of);
}

/// Folds the next batch of volumes; what a volume of the lab held goes with it.
async fn take_volumes(
    mut stream: impl Stream<Item = ObjectBatch<PersistentVolume>> + Unpin,
    shared: &Shared,
) {
    let Some(batch) = stream.next().await else { return std::future::pending().await };
    if let ObjectBatch::Remove(volume) = &batch
        && let Some(source) = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref())
        && source.driver == shared.storage.driver
    {
        let directory = shared.storage.directory.join(&source.volume_handle);
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(directory = %directory.display(), %error, "a volume could not be removed");
            }
            _ => {}
        }
    }
    fold(batch, shared, |all| &mut all.volumes);
}

fn fold<K: Metadata<Ty = ObjectMeta>>(
    batch: ObjectBatch<K>,
    shared: &Shared,
    of: fn(&mut AllSources) -> &mut BTreeMap<NamespacedName, K>,
) {
    let mut all = shared.sources.locked();
    let held = of(&mut all);
    match batch {
        ObjectBatch::Replace(objects) => {
            *held = objects.into_iter().map(|object| (name_of(object.metadata()), object)).collect();
        }
        ObjectBatch::Put(object) => {
            held.insert(name_of(object.metadata()), object);
        }
        ObjectBatch::Remove(object) => {
            held.remove(&name_of(object.metadata()));
        }
    }
}

fn name_of(meta: &ObjectMeta) -> NamespacedName {
    NamespacedName::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// The Pods on our nodes, by uid, each with its loop.
struct Here {
    nodes: BTreeMap<NodeName, Arc<NodeContext>>,
    workers: BTreeMap<String, channel::Sender<Pod>>,
}

impl Here {
    fn take(&mut self, batch: ObjectBatch<Pod>) {
        self.workers.retain(|_, sender| !sender.is_closed());
        match batch {
            ObjectBatch::Put(pod) => self.put(pod),
            ObjectBatch::Remove(pod) => self.remove(&pod.metadata.uid.unwrap_or_default()),
            ObjectBatch::Replace(pods) => {
                let there: Vec<String> = pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
                let gone: Vec<String> =
                    self.workers.keys().filter(|uid| !there.contains(uid)).cloned().collect();
                pods.into_iter().for_each(|pod| self.put(pod));
                gone.iter().for_each(|uid| self.remove(uid));
            }
        }
    }

    fn put(&mut self, pod: Pod) {
        let on = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        let Some(node) = self.nodes.get(&NodeName(on)) else { return };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        match self.workers.get(&uid) {
            Some(worker) => {
                worker.send_replace(pod);
            }
            None => {
                let (sender, newest) = channel::channel(pod.clone());
                tokio::spawn(Worker::new(Arc::clone(node), pod).run(newest));
                self.workers.insert(uid, sender);
            }
        }
    }

    /// A Pod that is gone from the API while it is here was deleted with force: it ends at once.
    fn remove(&mut self, uid: &str) {
        if let Some(worker) = self.workers.get(uid) {
            worker.send_modify(|pod| pod.metadata.deletion_timestamp = Some(Time(Timestamp::now())));
        }
    }
}
