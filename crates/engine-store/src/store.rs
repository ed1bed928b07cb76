//! The store itself: objects by kind and key, the revision, and the one place where changes are committed.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use serde_json::Value;

use crate::alloc::Allocations;
use crate::journal::Record;
use crate::list::view_of;
use crate::log::{Change, Log};
use crate::registry::{KindId, Registry};
use crate::request::Target;
use crate::scale;
use engine_kinds::object::{self, set_metadata};
use engine_kinds::{Kind, Status};

/// What a store is made with.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Range of `ClusterIPs`.
    pub service_cidr: types::Prefix,
    /// Range of node ports, both ends included.
    pub node_port_range: (u16, u16),
    /// Whether committed changes are kept for [`Store::take_journal`].
    pub keep_journal: bool,
}

/// Namespace and name of an object; the namespace of cluster-scoped objects is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// All objects of one kind.
type Objects = BTreeMap<Key, Arc<Value>>;

/// The Kubernetes API as a state machine.
pub struct Store {
    config: StoreConfig,
    registry: Registry,
    objects: Vec<Objects>,
    log: Log,
    revision: u64,
    allocations: Allocations,
    journal: Vec<Record>,
}

/// A change on its way into the store.
pub(crate) enum Commit {
    /// Store this object.
    Put(Value),
    /// Remove the object; this is its last state.
    Remove(Value),
}

impl Key {
    pub(crate) fn of(object: &Value) -> Self {
        Self { namespace: object::namespace(object).to_owned(), name: object::name(object).to_owned() }
    }

    /// Reads the form that `Display` writes.
    pub(crate) fn parse(text: &str) -> Self {
        let (namespace, name) = text.split_once('/').unwrap_or(("", text));
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Store {
    /// An empty store. [`Store::bootstrap`] adds what every cluster has.
    #[must_use]
    pub fn new(config: StoreConfig) -> Self {
        let allocations = Allocations::new(&config);
        let registry = Registry::new();
        let objects = registry.all().iter().map(|_| Objects::new()).collect();
        Self { config, registry, objects, log: Log::new(1), revision: 1, allocations, journal: Vec::new() }
    }

    /// Forgets the log: the history begins after `revision`.
    pub(crate) fn begin_history_after(&mut self, revision: u64) {
        self.revision = revision;
        self.log = Log::new(revision);
    }

    /// Every object with the kind it is stored as.
    pub(crate) fn stored_objects(&self) -> impl Iterator<Item = (&Kind, &Arc<Value>)> {
        let kinds = self.registry.all().iter().zip(&self.objects);
        kinds.flat_map(|(kind, objects)| objects.values().map(|object| (&**kind, object)))
    }

    /// Every kind served.
    pub fn kinds(&self) -> &[Arc<Kind>] {
        self.registry.all()
    }

    /// The kind a target names.
    ///
    /// # Errors
    /// 404 when there is none.
    pub fn kind(&self, target: &Target) -> Result<Arc<Kind>, Status> {
        self.registry.of_target(target).map(|id| Arc::clone(self.registry.kind(id)))
    }

    /// The revision of the last change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// One object, or its `status` or `scale`.
    ///
    /// # Errors
    /// 404 when the resource or the object is not there, 405 for subresources that cannot be read.
    pub fn read(&self, target: &Target) -> Result<Arc<Value>, Status> {
        let id = self.registry.of_target(target)?;
        let kind = self.registry.kind(id);
        let object = view_of(kind, self.find(id, target)?);
        match target.subresource.as_deref() {
            None => Ok(object),
            Some(name) => {
                let subresource = kind.subresource(name).ok_or_else(Status::unknown_resource)?;
                match name {
                    "scale" => Ok(Arc::new(scale::of(&object))),
                    _ if subresource.speaks.is_none() && subresource.verbs.contains(&"get") => Ok(object),
                    _ => Err(Status::method_not_allowed()),
                }
            }
        }
    }

    /// Every committed change since the last call; empty unless the configuration asks for a journal.
    pub fn take_journal(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.journal)
    }

    pub(crate) fn config(&self) -> &StoreConfig {
        &self.config
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn allocations(&self) -> &Allocations {
        &self.allocations
    }

    /// The object a target names, in its stored form.
    pub(crate) fn find(&self, id: KindId, target: &Target) -> Result<&Arc<Value>, Status> {
        let name = target.name.as_deref().unwrap_or_default();
        self.get(self.registry.stored(id), target.namespace.as_deref().unwrap_or_default(), name)
            .ok_or_else(|| Status::not_found(self.registry.kind(id), name))
    }

    /// An object by its key.
    pub(crate) fn get(&self, stored: KindId, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.objects[stored.index()].get(&Key { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// Objects a collection target covers, from `start` on, in key order.
    pub(crate) fn scan(
        &self,
        stored: KindId,
        target: &Target,
        start: Option<&Key>,
    ) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        let namespace = target.namespace.clone();
        let first = start.cloned().or_else(|| {
            namespace.as_ref().map(|namespace| Key { namespace: namespace.clone(), name: String::new() })
        });
        let from = first.map_or(Bound::Unbounded, Bound::Included);
        self.objects[stored.index()].range((from, Bound::Unbounded)).take_while(move |(key, _)| {
            namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
        })
    }

    /// All objects of a kind.
    pub(crate) fn all(&self, stored: KindId) -> impl Iterator<Item = &Arc<Value>> {
        self.objects[stored.index()].values()
    }

    /// Makes a change real: revision, objects, allocations, log and journal move together.
    pub(crate) fn commit(&mut self, stored: KindId, commit: Commit) -> Arc<Value> {
        self.revision += 1;
        let (mut object, deleted) = match commit {
            Commit::Put(object) => (object, false),
            Commit::Remove(object) => (object, true),
        };
        set_metadata(&mut object, "resourceVersion", Some(self.revision.to_string().into()));
        let key = Key::of(&object);
        let after = Arc::new(object);
        let before = self.place(stored, &key, &after, deleted);
        if self.config.keep_journal {
            self.journal.push(Record::new(self.revision, self.registry.kind(stored), &after, deleted));
        }
        let change =
            Change { revision: self.revision, kind: stored, key, before, after: Arc::clone(&after), deleted };
        self.log.push(change);
        after
    }

    /// Puts an object at its place without history; allocations follow.
    pub(crate) fn place(
        &mut self,
        stored: KindId,
        key: &Key,
        object: &Arc<Value>,
        deleted: bool,
    ) -> Option<Arc<Value>> {
        let objects = &mut self.objects[stored.index()];
        let before =
            if deleted { objects.remove(key) } else { objects.insert(key.clone(), Arc::clone(object)) };
        if self.registry.kind(stored).plural == "services" {
            self.allocations.release(before.as_deref());
            self.allocations.claim((!deleted).then_some(&**object));
        }
        before
    }
}
