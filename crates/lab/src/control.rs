//! Drives the controllers: keeps their world current, and writes what they want.

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use apply_kube::{DeleteOptions, Error, Target as ObjectTarget, Writer};
use controllers::{AnyObject, Held, World, Write};
use futures_util::stream::{SelectAll, select_all};
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use serve_api::ApiHandle;
use std::pin::Pin;
use tokio::time::{Instant, sleep_until, timeout};
use types::NamespacedName;
use watch::{Client, ObjectBatch, Selection, Watched};

/// How long more changes are waited for before the controllers look, so that a burst is one look.
const SETTLE: Duration = Duration::from_millis(5);
/// The controllers look at least this often: some of what they do depends on the time.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long the effects of writes are waited for before the controllers look anyway.
const EFFECT_LIMIT: Duration = Duration::from_secs(2);
/// How many kinds the world has; each is listed once before the first look.
const KINDS: usize = 15;

/// One step of one kind's watch, ready to be folded.
type Step = Box<dyn FnOnce(&mut Known) + Send>;
type Steps = Pin<Box<dyn Stream<Item = Step> + Send>>;

/// The world, and what is not to be seen in it yet.
#[derive(Default)]
struct Known {
    world: World,
    listed: usize,
    /// Newest resourceVersion seen of each object.
    seen: BTreeMap<(&'static str, NamespacedName), u64>,
    /// Objects written and not yet seen, with the resourceVersion to see.
    awaited: BTreeMap<(&'static str, NamespacedName), u64>,
}

/// Runs the controllers for as long as it is polled.
pub(crate) async fn run(client: Client, handle: ApiHandle, root_ca: String) {
    let writer = Writer::new(client.clone());
    let mut steps = all_steps(&client);
    let mut known = Known::default();
    known.world.root_ca = Some(root_ca);
    let mut wrote_at = Instant::now();
    loop {
        take_steps(&mut steps, &mut known).await;
        let in_flight = !known.awaited.is_empty() && wrote_at.elapsed() < EFFECT_LIMIT;
        if known.listed < KINDS || in_flight {
            continue;
        }
        known.awaited.clear();
        for write in controllers::reconcile(&known.world, Timestamp::now()) {
            wrote_at = Instant::now();
            match perform(&writer, &handle, &write).await {
                Ok(Some(written)) => known.expect(&written),
                Ok(None)
                | Err(Error::Conflict { .. } | Error::NotFound { .. } | Error::AlreadyExists { .. }) => {}
                Err(error) => tracing::warn!(%error, ?write, "a controller's write was refused"),
            }
        }
    }
}

async fn take_steps(steps: &mut SelectAll<Steps>, known: &mut Known) {
    let deadline = Instant::now() + LOOK_AGAIN;
    let first = tokio::select! {
        step = steps.next() => step,
        () = sleep_until(deadline) => return,
    };
    match first {
        Some(step) => step(known),
        None => return pending().await,
    }
    while let Ok(Some(step)) = timeout(SETTLE, steps.next()).await {
        step(known);
        if Instant::now() >= deadline {
            return;
        }
    }
}

fn all_steps(client: &Client) -> SelectAll<Steps> {
    let all: [Steps; KINDS] = [
        steps(client, "Namespace", |world| &mut world.namespaces),
        steps(client, "Node", |world| &mut world.nodes),
        steps(client, "Pod", |world| &mut world.pods),
        steps(client, "ReplicaSet", |world| &mut world.replica_sets),
        steps(client, "Deployment", |world| &mut world.deployments),
        steps(client, "Service", |world| &mut world.services),
        steps(client, "EndpointSlice", |world| &mut world.endpoint_slices),
        steps(client, "Endpoints", |world| &mut world.endpoints),
        steps(client, "ServiceAccount", |world| &mut world.service_accounts),
        steps(client, "ConfigMap", |world| &mut world.config_maps),
        steps(client, "Secret", |world| &mut world.secrets),
        steps(client, "Ingress", |world| &mut world.ingresses),
        steps(client, "NetworkPolicy", |world| &mut world.network_policies),
        steps(client, "Event", |world| &mut world.events),
        steps(client, "Lease", |world| &mut world.leases),
    ];
    select_all(all)
}

fn steps<K>(client: &Client, kind: &'static str, of: fn(&mut World) -> &mut Held<K>) -> Steps
where
    K: Watched + Metadata<Ty = ObjectMeta> + Into<AnyObject>,
{
    let batches = watch::objects::<K>(client, Selection::default());
    Box::pin(batches.map(move |batch| Box::new(move |known: &mut Known| known.fold(kind, of, batch)) as Step))
}

impl Known {
    fn fold<K>(&mut self, kind: &'static str, of: fn(&mut World) -> &mut Held<K>, batch: ObjectBatch<K>)
    where
        K: Metadata<Ty = ObjectMeta> + Into<AnyObject>,
    {
        match batch {
            ObjectBatch::Replace(objects) => {
                of(&mut self.world).clear();
                self.awaited.retain(|(awaited, _), _| *awaited != kind);
                self.seen.retain(|(seen, _), _| *seen != kind);
                // A watch that broke is listed again; what counts is that every kind was listed once.
                self.listed = (self.listed + 1).min(KINDS);
                for object in objects {
                    self.saw(kind, object.metadata());
                    self.world.put(object);
                }
            }
            ObjectBatch::Put(object) => {
                self.saw(kind, object.metadata());
                self.world.put(object);
            }
            ObjectBatch::Remove(object) => {
                let key = (kind, name_of(object.metadata()));
                self.awaited.remove(&key);
                self.seen.remove(&key);
                self.world.remove(object);
            }
        }
    }

    fn saw(&mut self, kind: &'static str, meta: &ObjectMeta) {
        let key = (kind, name_of(meta));
        let version = meta.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0);
        if self.awaited.get(&key).is_some_and(|awaited| version >= *awaited) {
            self.awaited.remove(&key);
        }
        self.seen.insert(key, version);
    }

    /// The controllers do not look again before they can see this.
    fn expect(&mut self, written: &Value) {
        let text = |pointer: &str| written.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let Some(kind) = KIND_NAMES.iter().find(|kind| **kind == text("/kind")) else { return };
        let name = NamespacedName::new(text("/metadata/namespace"), text("/metadata/name"));
        let Ok(version) = text("/metadata/resourceVersion").parse() else { return };
        let key = (*kind, name);
        // A write that changed nothing has no effect to wait for.
        if self.seen.get(&key).is_none_or(|seen| *seen < version) {
            self.awaited.insert(key, version);
        }
    }
}

/// The kinds that are watched here; others are never seen, so that there is nothing to wait for.
const KIND_NAMES: [&str; KINDS] = [
    "Namespace",
    "Node",
    "Pod",
    "ReplicaSet",
    "Deployment",
    "Service",
    "EndpointSlice",
    "Endpoints",
    "ServiceAccount",
    "ConfigMap",
    "Secret",
    "Ingress",
    "NetworkPolicy",
    "Event",
    "Lease",
];

fn name_of(meta: &ObjectMeta) -> NamespacedName {
    NamespacedName::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// Carries out one write; the object as it is now, where the answer says.
async fn perform(writer: &Writer, handle: &ApiHandle, write: &Write) -> Result<Option<Value>, Error> {
    match write {
        Write::Create(object) => writer.create(object).await.map(Some),
        Write::Replace(object) => writer.replace(object).await.map(Some),
        Write::ReplaceStatus(object) => writer.replace_status(object).await.map(Some),
        Write::Finalize(object) => finalize(handle, object).await.map(|()| None),
        Write::Delete { api_version, kind, name, uid } => {
            let namespace = Some(name.namespace.clone()).filter(|namespace| !namespace.is_empty());
            let target = ObjectTarget { namespace, ..ObjectTarget::cluster(api_version, kind, &name.name) };
            let options = DeleteOptions { uid: Some(uid.clone()), ..DeleteOptions::default() };
            writer.delete(&target, &options).await.map(|()| None)
        }
        Write::Bind { pod, node, .. } => writer.bind(pod, node).await.map(|()| None),
    }
}

/// A Namespace's last step goes through the server in this process: the writer knows no such part of an object.
async fn finalize(handle: &ApiHandle, object: &Value) -> Result<(), Error> {
    let target = engine_store::Target {
        group: String::new(),
        version: "v1".to_owned(),
        resource: "namespaces".to_owned(),
        namespace: None,
        name: object.pointer("/metadata/name").and_then(Value::as_str).map(ToOwned::to_owned),
        subresource: Some("finalize".to_owned()),
    };
    let options = engine_store::WriteOptions::default();
    let written = handle.write(&target, engine_store::Write::Update(object.clone()), &options).await;
    written.map(drop).map_err(|status| Error::Refused { code: status.code, message: status.message })
}
