//! The journal: committed changes as records that can be kept, and a store rebuilt from them.

use serde::Deserialize;

use crate::key::Key;
use crate::registry::KindId;
use crate::store::{Store, StoreConfig};
use crate::stored::Stored;
use engine_kinds::{Kind, object};

/// One committed change.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The revision of the change.
    pub revision: u64,
    /// API group of the resource.
    pub group: String,
    /// Plural resource name; empty in a record that only carries a revision.
    pub resource: String,
    /// Namespace and name of the object, with a slash between; by it a later record replaces an earlier one.
    pub key: String,
    /// The object after the change; none when it was deleted.
    pub object: Option<Stored>,
}

/// What stands before the object in a record that is read back.
#[derive(Deserialize)]
struct Kept {
    revision: u64,
    group: String,
    resource: String,
}

/// Stands between that and the object.
const OBJECT: &str = ",\"object\":";

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

/// Why a text is no record.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// It is no JSON, or lacks what every record has.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// There is no object in it.
    #[error("the record holds no object")]
    NoObject,
}

impl Record {
    pub(crate) fn new(revision: u64, kind: &Kind, key: &Key, object: Option<Stored>) -> Self {
        Self {
            revision,
            group: kind.group.to_string(),
            resource: kind.plural.to_string(),
            key: key.to_string(),
            object,
        }
    }

    /// A record that touches no object and carries the revision the store goes on from.
    #[must_use]
    pub fn of_revision(revision: u64) -> Self {
        let nothing = String::new();
        Self { revision, group: nothing.clone(), resource: nothing.clone(), key: nothing, object: None }
    }

    /// The record of an object as JSON text, to be kept; none for a deletion, which leaves nothing to keep.
    #[must_use]
    pub fn to_json(&self) -> Option<String> {
        let object = self.object.as_ref()?;
        let Self { revision, group, resource, .. } = self;
        Some(format!(
            "{{\"revision\":{revision},\"group\":\"{group}\",\"resource\":\"{resource}\",\"deleted\":false{OBJECT}{}}}",
            object.text()
        ))
    }

    /// Reads what [`Record::to_json`] wrote; `key` is that of the record. The object is checked to be JSON, not parsed:
    /// a start with a hundred thousand objects has no time for that.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(key: &str, text: &str) -> Result<Self, ParseError> {
        let (head, object) = text.split_once(OBJECT).ok_or(ParseError::NoObject)?;
        let object = object.strip_suffix('}').ok_or(ParseError::NoObject)?;
        let Kept { revision, group, resource } = serde_json::from_str(&format!("{head}}}"))?;
        let object = Some(Stored::of_text(object)?);
        Ok(Self { revision, group, resource, key: key.to_owned(), object })
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
        // Objects of custom kinds may come before the definitions that bring the kinds.
        let mut waiting = Vec::new();
        for record in records {
            revision = revision.max(record.revision);
            if record.resource.is_empty() {
                continue;
            }
            match store.registry().of_resource(&record.group, &record.resource) {
                Some(id) => store.restore_one(id, record)?,
                None => waiting.push(record),
            }
        }
        for record in waiting {
            let id = store.registry().of_resource(&record.group, &record.resource).ok_or_else(|| {
                RestoreError::UnknownResource {
                    revision: record.revision,
                    group: record.group.clone(),
                    resource: record.resource.clone(),
                }
            })?;
            store.restore_one(id, record)?;
        }
        store.begin_history_after(revision);
        Ok(store)
    }

    fn restore_one(&mut self, id: KindId, record: Record) -> Result<(), RestoreError> {
        let key = Key::parse(&record.key);
        if key.name().is_empty() {
            return Err(RestoreError::NoName { revision: record.revision });
        }
        let stored = self.registry().stored(id);
        let is_definition =
            record.resource == engine_extensions::PLURAL && record.group == engine_extensions::GROUP;
        let definition = record.object.as_ref().filter(|_| is_definition).map(Stored::untyped);
        let is_gone = is_definition && record.object.is_none();
        self.place(stored, &key, record.object);
        if let Some(definition) = definition {
            self.serve_definition(&definition);
        } else if is_gone {
            self.forget_definition(key.name());
        }
        Ok(())
    }

    /// One record per object, and one that only carries the revision: what a journal can be replaced with.
    pub fn snapshot(&self) -> impl Iterator<Item = Record> + '_ {
        let objects = self.stored_objects().map(|(kind, key, object)| {
            let revision = object::resource_version(&object.untyped()).parse().unwrap_or_default();
            Record::new(revision, kind, key, Some(object.clone()))
        });
        objects.chain(std::iter::once(Record::of_revision(self.revision())))
    }
}
