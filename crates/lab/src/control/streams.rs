//! The watches that keep the world current: whole objects of the kinds that controllers read, metadata of all others.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use controllers::{AnyObject, Held, OtherKind, World};
use futures_util::stream::{AbortHandle, SelectAll, abortable};
use futures_util::{Stream, StreamExt};
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serve_api::ApiHandle;
use watch::{Client, Named, Selection, Watched};

use super::known::{KindKey, Known, key_of};

/// One step of one kind's watch, ready to be folded.
pub(super) type Step = Box<dyn FnOnce(&mut Known) + Send>;
type Steps = Pin<Box<dyn Stream<Item = Step> + Send>>;

/// All watches.
pub(super) struct Streams {
    pub(super) all: SelectAll<Steps>,
    client: Client,
    handle: ApiHandle,
    others: BTreeMap<OtherKind, AbortHandle>,
}

impl Streams {
    /// Watches of every kind that controllers read whole.
    pub(super) fn new(client: Client, handle: ApiHandle, known: &mut Known) -> Self {
        let mut streams = Self { all: SelectAll::new(), client, handle, others: BTreeMap::new() };
        streams.whole(known, |world| &mut world.namespaces);
        streams.whole(known, |world| &mut world.nodes);
        streams.whole(known, |world| &mut world.pods);
        streams.whole(known, |world| &mut world.replica_sets);
        streams.whole(known, |world| &mut world.deployments);
        streams.whole(known, |world| &mut world.stateful_sets);
        streams.whole(known, |world| &mut world.daemon_sets);
        streams.whole(known, |world| &mut world.revisions);
        streams.whole(known, |world| &mut world.jobs);
        streams.whole(known, |world| &mut world.cron_jobs);
        streams.whole(known, |world| &mut world.disruption_budgets);
        streams.whole(known, |world| &mut world.volume_claims);
        streams.whole(known, |world| &mut world.volumes);
        streams.whole(known, |world| &mut world.services);
        streams.whole(known, |world| &mut world.endpoint_slices);
        streams.whole(known, |world| &mut world.endpoints);
        streams.whole(known, |world| &mut world.service_accounts);
        streams.whole(known, |world| &mut world.config_maps);
        streams.whole(known, |world| &mut world.secrets);
        streams.whole(known, |world| &mut world.ingresses);
        streams.whole(known, |world| &mut world.network_policies);
        streams.whole(known, |world| &mut world.events);
        streams.whole(known, |world| &mut world.leases);
        streams
    }

    fn whole<K>(&mut self, known: &mut Known, of: fn(&mut World) -> &mut Held<K>)
    where
        K: Watched + Metadata<Ty = ObjectMeta> + Into<AnyObject>,
    {
        let key = key_of(&K::api_version(&()), &K::kind(&()));
        known.begin(&key);
        let batches = watch::objects::<K>(&self.client, Selection::default());
        let steps = batches.map(move |batch| {
            let key = Arc::clone(&key);
            Box::new(move |known: &mut Known| known.fold(&key, of, batch)) as Step
        });
        self.all.push(Box::pin(steps));
    }

    /// Watches kinds that are new, and no longer those that are gone.
    pub(super) fn follow_kinds(&mut self, known: &mut Known) {
        let mut gone = std::mem::take(&mut self.others);
        // A view shows objects that are stored, and watched, as another kind.
        for kind in self.handle.kinds().iter().filter(|kind| kind.view_of.is_none()) {
            let other = OtherKind {
                api_version: kind.api_version(),
                kind: kind.kind.to_string(),
                plural: kind.plural.to_string(),
            };
            if World::is_whole(&other.api_version, &other.kind) {
                continue;
            }
            let watched = gone.remove(&other).unwrap_or_else(|| {
                let named = Named {
                    group: kind.group.to_string(),
                    version: kind.version.to_string(),
                    kind: other.kind.clone(),
                    plural: other.plural.clone(),
                };
                self.watch_metadata(known, &named, &other)
            });
            self.others.insert(other, watched);
        }
        for (kind, watched) in gone {
            watched.abort();
            known.forget(&key_of(&kind.api_version, &kind.kind), &kind);
        }
    }

    fn watch_metadata(&mut self, known: &mut Known, named: &Named, other: &OtherKind) -> AbortHandle {
        let key: KindKey = key_of(&other.api_version, &other.kind);
        known.begin(&key);
        let other = other.clone();
        let (batches, watched) = abortable(watch::metadata(&self.client, named));
        let steps = batches.map(move |batch| {
            let (key, other) = (Arc::clone(&key), other.clone());
            Box::new(move |known: &mut Known| known.fold_other(&key, &other, batch)) as Step
        });
        self.all.push(Box::pin(steps));
        watched
    }
}
