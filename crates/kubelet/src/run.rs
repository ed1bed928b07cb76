//! The loop of one node: each Pod that the API puts on it gets a worker, and what Pods refer to is kept current.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;

use engine_kubelet::volumes;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use tokio::sync::watch as channel;
use types::NamespacedName;
use watch::{ObjectBatch, Selection};

use crate::node::{AllSources, HeldSources, Kubelet};
use crate::worker::{Newest, Worker};

/// Runs the Pods of a node for as long as it is polled.
pub async fn run(node: Arc<Kubelet>) {
    let client = &node.client;
    let mut config_maps = pin!(watch::objects::<ConfigMap>(client, Selection::default()));
    let mut secrets = pin!(watch::objects::<Secret>(client, Selection::default()));
    let mut services = pin!(watch::objects::<Service>(client, Selection::default()));
    let here = Selection::fields(format!("spec.nodeName={}", node.place.name));
    let mut pods = pin!(watch::objects::<Pod>(client, here));
    // Containers refer to these: none starts before they are known.
    take(config_maps.as_mut(), &node.sources, |all| &mut all.config_maps).await;
    take(secrets.as_mut(), &node.sources, |all| &mut all.secrets).await;
    take(services.as_mut(), &node.sources, |all| &mut all.services).await;
    let mut here = Here { node: Arc::clone(&node), workers: BTreeMap::new() };
    loop {
        tokio::select! {
            namespaces = take(config_maps.as_mut(), &node.sources, |all| &mut all.config_maps) => {
                here.files_changed(&namespaces);
            }
            namespaces = take(secrets.as_mut(), &node.sources, |all| &mut all.secrets) => {
                here.files_changed(&namespaces);
            }
            _ = take(services.as_mut(), &node.sources, |all| &mut all.services) => {}
            batch = pods.next() => match batch {
                Some(batch) => here.take(batch),
                None => return,
            },
        }
    }
}

/// Folds the next batch of one kind; the names that it is about.
async fn take<K: Metadata<Ty = ObjectMeta>>(
    mut stream: impl Stream<Item = ObjectBatch<K>> + Unpin,
    sources: &HeldSources,
    of: fn(&mut AllSources) -> &mut BTreeMap<NamespacedName, K>,
) -> BTreeSet<NamespacedName> {
    let Some(batch) = stream.next().await else { return std::future::pending().await };
    let mut all = sources.locked();
    let held = of(&mut all);
    match batch {
        ObjectBatch::Replace(objects) => {
            let before = std::mem::take(held);
            *held = objects.into_iter().map(|object| (name_of(object.metadata()), object)).collect();
            before.into_keys().chain(held.keys().cloned()).collect()
        }
        ObjectBatch::Put(object) => {
            let name = name_of(object.metadata());
            held.insert(name.clone(), object);
            [name].into()
        }
        ObjectBatch::Remove(object) => {
            let name = name_of(object.metadata());
            held.remove(&name);
            [name].into()
        }
    }
}

fn name_of(meta: &ObjectMeta) -> NamespacedName {
    NamespacedName::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// The Pods on our node, by uid, each with its loop.
struct Here {
    node: Arc<Kubelet>,
    workers: BTreeMap<String, channel::Sender<Newest>>,
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
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        match self.workers.get(&uid) {
            Some(worker) => worker.send_modify(|newest| newest.pod = pod),
            None => {
                let (sender, newest) = channel::channel(Newest { pod: pod.clone(), files: 0 });
                tokio::spawn(Worker::new(Arc::clone(&self.node), pod).run(newest));
                self.workers.insert(uid, sender);
            }
        }
    }

    /// Volumes show what these ConfigMaps or Secrets hold now.
    fn files_changed(&self, names: &BTreeSet<NamespacedName>) {
        let is_mounted = |pod: &Pod| {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let mut shown = volumes::object_names(pod);
            shown.any(|name| names.contains(&NamespacedName::new(namespace, name)))
        };
        for worker in self.workers.values() {
            worker.send_if_modified(|newest| {
                let concerns = is_mounted(&newest.pod);
                newest.files += u64::from(concerns);
                concerns
            });
        }
    }

    /// A Pod that is gone from the API while it is here was deleted with force: it ends at once.
    fn remove(&mut self, uid: &str) {
        if let Some(worker) = self.workers.get(uid) {
            worker.send_modify(|newest| {
                newest.pod.metadata.deletion_timestamp = Some(Time(Timestamp::now()));
            });
        }
    }
}
