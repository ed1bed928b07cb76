//! The world as the controllers see it, and what is not to be seen in it yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use controllers::{AnyObject, Held, OtherKind, World};
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use types::NamespacedName;
use watch::ObjectBatch;

/// A kind as `apiVersion` and `kind`, apart by a blank.
pub(super) type KindKey = Arc<str>;

/// The world, and what is not to be seen in it yet.
#[derive(Default)]
pub(super) struct Known {
    pub(super) world: World,
    /// Kinds that were not listed yet. Before they are, nobody may judge what there is and what is gone.
    unlisted: BTreeSet<KindKey>,
    /// Newest resourceVersion seen of each object, for every kind that is watched.
    seen: BTreeMap<KindKey, BTreeMap<NamespacedName, u64>>,
    /// Objects written and not yet seen, with the resourceVersion to see.
    awaited: BTreeMap<(KindKey, NamespacedName), u64>,
}

pub(super) fn key_of(api_version: &str, kind: &str) -> KindKey {
    format!("{api_version} {kind}").into()
}

impl Known {
    /// A kind is watched from now on.
    pub(super) fn begin(&mut self, key: &KindKey) {
        self.unlisted.insert(Arc::clone(key));
        self.seen.insert(Arc::clone(key), BTreeMap::new());
    }

    /// A kind is served no more.
    pub(super) fn forget(&mut self, key: &KindKey, kind: &OtherKind) {
        self.unlisted.remove(key);
        self.seen.remove(key);
        self.awaited.retain(|(awaited, _), _| awaited != key);
        self.world.others.remove(kind);
    }

    /// Whether every kind was listed once.
    pub(super) fn is_complete(&self) -> bool {
        self.unlisted.is_empty()
    }

    pub(super) fn awaits_effects(&self) -> bool {
        !self.awaited.is_empty()
    }

    pub(super) fn stop_waiting(&mut self) {
        self.awaited.clear();
    }

    /// One step of the watch of a kind that is held whole.
    pub(super) fn fold<K>(&mut self, key: &KindKey, of: fn(&mut World) -> &mut Held<K>, batch: ObjectBatch<K>)
    where
        K: Metadata<Ty = ObjectMeta> + Into<AnyObject>,
    {
        match batch {
            ObjectBatch::Replace(objects) => {
                of(&mut self.world).clear();
                self.listed(key);
                for object in objects {
                    self.saw(key, object.metadata());
                    self.world.put(object);
                }
            }
            ObjectBatch::Put(object) => {
                self.saw(key, object.metadata());
                self.world.put(object);
            }
            ObjectBatch::Remove(object) => {
                self.lost(key, object.metadata());
                self.world.remove(object);
            }
        }
    }

    /// One step of the watch of any other kind.
    pub(super) fn fold_other(&mut self, key: &KindKey, kind: &OtherKind, batch: ObjectBatch<ObjectMeta>) {
        // A last step of a kind that is served no more.
        if !self.seen.contains_key(key) {
            return;
        }
        match batch {
            ObjectBatch::Replace(all) => {
                self.listed(key);
                all.iter().for_each(|meta| self.saw(key, meta));
                let held = all.into_iter().map(|meta| (name_of(&meta), meta)).collect();
                self.world.others.insert(kind.clone(), held);
            }
            ObjectBatch::Put(meta) => {
                self.saw(key, &meta);
                self.world.others.entry(kind.clone()).or_default().insert(name_of(&meta), meta);
            }
            ObjectBatch::Remove(meta) => {
                self.lost(key, &meta);
                self.world.others.entry(kind.clone()).or_default().remove(&name_of(&meta));
            }
        }
    }

    fn listed(&mut self, key: &KindKey) {
        self.unlisted.remove(key);
        self.awaited.retain(|(awaited, _), _| awaited != key);
        self.seen.insert(Arc::clone(key), BTreeMap::new());
    }

    fn lost(&mut self, key: &KindKey, meta: &ObjectMeta) {
        let name = name_of(meta);
        if let Some(seen) = self.seen.get_mut(key) {
            seen.remove(&name);
        }
        self.awaited.remove(&(Arc::clone(key), name));
    }

    fn saw(&mut self, key: &KindKey, meta: &ObjectMeta) {
        let name = name_of(meta);
        let version = meta.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0);
        let place = (Arc::clone(key), name);
        if self.awaited.get(&place).is_some_and(|awaited| version >= *awaited) {
            self.awaited.remove(&place);
        }
        if let Some(seen) = self.seen.get_mut(key) {
            seen.insert(place.1, version);
        }
    }

    /// The controllers do not look again before they can see this.
    pub(super) fn expect(&mut self, written: &Value) {
        let text = |pointer: &str| written.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let key = key_of(text("/apiVersion"), text("/kind"));
        // Kinds that are not watched are never seen, so that there is nothing to wait for.
        let Some(seen) = self.seen.get(&key) else { return };
        let name = NamespacedName::new(text("/metadata/namespace"), text("/metadata/name"));
        let Ok(version) = text("/metadata/resourceVersion").parse() else { return };
        // A write that changed nothing has no effect to wait for.
        if seen.get(&name).is_none_or(|seen| *seen < version) {
            self.awaited.insert((key, name), version);
        }
    }
}

fn name_of(meta: &ObjectMeta) -> NamespacedName {
    NamespacedName::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    fn mk_map(version: &str) -> ConfigMap {
        let meta = json!({ "metadata": { "namespace": "shop", "name": "a", "resourceVersion": version } });
        serde_json::from_value(meta).unwrap()
    }

    #[test]
    fn a_write_is_waited_for_until_it_shows() {
        let mut known = Known::default();
        let key = key_of("v1", "ConfigMap");
        known.begin(&key);
        assert!(!known.is_complete());
        known.fold(&key, |world| &mut world.config_maps, ObjectBatch::Replace(vec![mk_map("5")]));
        assert!(known.is_complete());
        let written = |version: &str| serde_json::to_value(mk_map(version)).unwrap();
        known.expect(&written("5"));
        assert!(!known.awaits_effects(), "it shows already");
        known.expect(&written("7"));
        assert!(known.awaits_effects());
        known.fold(&key, |world| &mut world.config_maps, ObjectBatch::Put(mk_map("8")));
        assert!(!known.awaits_effects());
        known.expect(&written("9"));
        known.fold(&key, |world| &mut world.config_maps, ObjectBatch::Remove(mk_map("10")));
        assert!(!known.awaits_effects(), "it came and went");
    }

    #[test]
    fn a_kind_that_is_served_no_more_holds_nothing_up() {
        let mut known = Known::default();
        let key = key_of("example.com/v1", "Widget");
        let kind = OtherKind {
            api_version: "example.com/v1".to_owned(),
            kind: "Widget".to_owned(),
            plural: "widgets".to_owned(),
        };
        known.begin(&key);
        known.forget(&key, &kind);
        assert!(known.is_complete());
        known.fold_other(&key, &kind, ObjectBatch::Put(ObjectMeta::default()));
        assert!(known.world.others.is_empty(), "a late step changes nothing");
    }
}
