//! The journal: committed changes as serializable records, and a store rebuilt from them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::store::{Key, Store, StoreConfig};
use engine_kinds::{Kind, object};

/// One committed change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The revision of the change.
    pub revision: u64,
    /// API group of the resource.
    pub group: String,
    /// Plural resource name; empty in a record that only carries a revision.
    pub resource: String,
    /// Whether the object was deleted.
    pub deleted: bool,
    /// The object after the change; for a deletion its last state.
    #[serde(with = "shared")]
    pub object: Arc<Value>,
}

/// Why records make no store.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A record names a kind this version does not have.
    #[error("record {revision} is about {resource}.{group}, which this version does not serve")]
    UnknownResource {
        /// Revision of the record.
        revision: u64,
        /// Group in the record.
        group: String,
        /// Resource in the record.
        resource: String,
    },
    /// A record's object has no name.
    #[error("record {revision} holds an object without a name")]
    NoName {
        /// Revision of the record.
        revision: u64,
    },
}

impl Record {
    pub(crate) fn new(revision: u64, kind: &Kind, object: &Arc<Value>, deleted: bool) -> Self {
        Self {
            revision,
            group: kind.group.to_string(),
            resource: kind.plural.to_string(),
            deleted,
            object: Arc::clone(object),
        }
    }

    /// Namespace and name of the object, by which a later record replaces an earlier one.
    #[must_use]
    pub fn key(&self) -> String {
        Key::of(&self.object).to_string()
    }
}

impl Store {
    /// A store with the state the records lead to. Watches from before must list again.
    ///
    /// # Errors
    /// When a record does not fit this version.
    pub fn restore(config: StoreConfig, records: impl Iterator<Item = Record>) -> Result<Self, RestoreError> {
        let mut store = Self::new(config.clone());
        let mut revision = store.revision();
        for record in records {
            let Record { group, resource, .. } = &record;
            if resource.is_empty() {
                revision = revision.max(record.revision);
                continue;
            }
            let id = store.registry().of_resource(group, resource).ok_or_else(|| {
                RestoreError::UnknownResource {
                    revision: record.revision,
                    group: group.clone(),
                    resource: resource.clone(),
                }
            })?;
            let key = Key::of(&record.object);
            if key.name.is_empty() {
                return Err(RestoreError::NoName { revision: record.revision });
            }
            let stored = store.registry().stored(id);
            store.place(stored, &key, &record.object, record.deleted);
            revision = revision.max(record.revision);
        }
        store.begin_history_after(revision);
        Ok(store)
    }

    /// One record per object, and one that only carries the revision: what a journal can be replaced with.
    pub fn snapshot(&self) -> impl Iterator<Item = Record> + '_ {
        let objects = self.stored_objects().map(|(kind, object)| {
            let revision = object::resource_version(object).parse().unwrap_or_default();
            Record::new(revision, kind, object, false)
        });
        objects.chain(std::iter::once(Record {
            revision: self.revision(),
            group: String::new(),
            resource: String::new(),
            deleted: false,
            object: Arc::new(Value::Null),
        }))
    }
}

/// `Arc<Value>` on the wire is the value itself.
mod shared {
    use super::{Arc, Value};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(object: &Arc<Value>, serializer: S) -> Result<S::Ok, S::Error> {
        object.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Value>, D::Error> {
        Value::deserialize(deserializer).map(Arc::new)
    }
}
