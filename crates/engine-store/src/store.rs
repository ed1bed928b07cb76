//! The store itself: objects by kind and key, the revision, and the one place where changes are committed.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::addresses;
use crate::alloc::Allocations;
use crate::collection::Collection;
use crate::journal::Record;
use crate::key::Key;
use crate::log::{self, Change, Log};
use crate::pinned::Pins;
use crate::registry::{KindId, Registry};
use crate::request::Target;
use crate::scale;
use crate::stored::{Head, Shown, Stored};
use engine_kinds::object::{self, set_metadata};
use engine_kinds::{Kind, Status};

/// What a store is made with.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Ranges of `ClusterIPs`, at most one of each family: one makes the cluster single-stack, two dual-stack, and the
    /// first is the family of Services that ask for none.
    pub service_cidrs: Vec<types::Prefix>,
    /// Range of node ports, both ends included.
    pub node_port_range: (u16, u16),
    /// Whether committed changes are kept for [`Store::take_journal`].
    pub keep_journal: bool,
}

/// The Kubernetes API as a state machine.
pub struct Store {
    config: StoreConfig,
    registry: Registry,
    objects: Vec<Collection<Stored>>,
    log: Log,
    pins: Pins,
    revision: u64,
    allocations: Allocations,
    journal: Vec<Record>,
    /// The places whose watches have something new, since somebody asked.
    changed: BTreeSet<KindId>,
    /// Definitions to look at again before the write is over, by name.
    pub(crate) due: BTreeSet<String>,
    /// Whether the ServiceCIDRs are to be looked at again before the write is over.
    pub(crate) ranges_are_due: bool,
}

/// A change on its way into the store.
pub(crate) enum Commit {
    /// Store this object.
    Put(Value),
    /// Remove the object; this is its last state.
    Remove(Value),
}

impl Store {
    /// An empty store. [`Store::bootstrap`] adds what every cluster has.
    #[must_use]
    pub fn new(config: StoreConfig) -> Self {
        let allocations = Allocations::new(&config);
        let registry = Registry::new();
        let objects = registry.places().map(|_| Collection::default()).collect();
        let (log, pins) = (Log::new(1, log::BUDGET), Pins::default());
        let (journal, changed, due) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let ranges_are_due = false;
        Self {
            config,
            registry,
            objects,
            log,
            pins,
            revision: 1,
            allocations,
            journal,
            changed,
            due,
            ranges_are_due,
        }
    }

    /// Forgets the log: the history begins after `revision`.
    pub(crate) fn begin_history_after(&mut self, revision: u64) {
        self.revision = revision;
        self.log = Log::new(revision, log::BUDGET);
    }

    /// Every object with the kind it is stored as.
    pub(crate) fn stored_objects(&self) -> impl Iterator<Item = (&Kind, &Key, &Stored)> {
        let kinds = self.registry.places().zip(&self.objects);
        kinds.flat_map(|(kind, objects)| objects.iter().map(|(key, object)| (&**kind, key, object)))
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

    /// One object, or its `status` or `scale`, parsed.
    ///
    /// # Errors
    /// As [`Store::show`].
    pub fn read(&self, target: &Target) -> Result<Arc<Value>, Status> {
        Ok(Arc::new(self.show(target)?.value()))
    }

    /// One object, or its `status` or `scale`, ready to be sent.
    ///
    /// # Errors
    /// 404 when the resource or the object is not there, 405 for subresources that cannot be read.
    pub fn show(&self, target: &Target) -> Result<Shown, Status> {
        let id = self.registry.of_target(target)?;
        let kind = self.registry.kind(id);
        let object = shown_as(kind, &Head::of(kind), self.find_stored(id, target)?);
        let Some(name) = target.subresource.as_deref() else { return Ok(object) };
        let subresource = kind.subresource(name).ok_or_else(Status::unknown_resource)?;
        match name {
            "scale" => Ok(Shown::of_value(&scale::of(kind, &object.value()))),
            _ if subresource.speaks.is_none() && subresource.verbs.contains(&"get") => Ok(object),
            _ => Err(Status::method_not_allowed()),
        }
    }

    /// Every committed change since the last call; empty unless the configuration asks for a journal.
    pub fn take_journal(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.journal)
    }

    /// Where the watches of which there is something new since the last call read from ([`crate::Cursor::source`]).
    pub fn take_changed(&mut self) -> BTreeSet<KindId> {
        std::mem::take(&mut self.changed)
    }

    pub(crate) fn config(&self) -> &StoreConfig {
        &self.config
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Changes which kinds are served, and makes room for their objects.
    pub(crate) fn change_kinds(&mut self, change: impl FnOnce(&mut Registry)) {
        change(&mut self.registry);
        self.objects.resize_with(self.registry.len(), Collection::default);
        // Watches of kinds that are gone have their end to tell.
        self.changed.extend(self.registry.ids());
    }

    /// How often the kinds served have changed.
    #[must_use]
    pub fn kinds_generation(&self) -> u64 {
        self.registry.generation()
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn allocations(&self) -> &Allocations {
        &self.allocations
    }

    pub(crate) fn allocations_mut(&mut self) -> &mut Allocations {
        &mut self.allocations
    }

    pub(crate) fn pins(&self) -> &Pins {
        &self.pins
    }

    /// The objects of a kind.
    pub(crate) fn objects(&self, stored: KindId) -> &Collection<Stored> {
        &self.objects[stored.index()]
    }

    /// The object a target names, in its stored form; of a custom kind in the version asked for.
    pub(crate) fn find(&self, id: KindId, target: &Target) -> Result<Arc<Value>, Status> {
        let kind = self.registry.kind(id);
        if kind.is_custom() {
            return Ok(Arc::new(in_version(kind, self.find_stored(id, target)?)));
        }
        let stored = self.registry.kind(self.registry.stored(id));
        Ok(Arc::new(self.find_stored(id, target)?.value(stored)))
    }

    fn find_stored(&self, id: KindId, target: &Target) -> Result<&Stored, Status> {
        let name = target.name.as_deref().unwrap_or_default();
        let key = Key::new(target.namespace.as_deref().unwrap_or_default(), name);
        let found = self.objects(self.registry.stored(id)).get(&key);
        found.ok_or_else(|| Status::not_found(self.registry.kind(id), name))
    }

    /// An object by its key.
    pub(crate) fn get(&self, stored: KindId, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let object = self.objects(stored).get(&Key::new(namespace, name))?;
        Some(Arc::new(object.value(self.registry.kind(stored))))
    }

    /// Whether there is an object with that key.
    pub(crate) fn holds(&self, stored: KindId, namespace: &str, name: &str) -> bool {
        self.objects(stored).get(&Key::new(namespace, name)).is_some()
    }

    /// All objects of a kind.
    pub(crate) fn all(&self, stored: KindId) -> impl Iterator<Item = Arc<Value>> {
        let kind = self.registry.kind(stored);
        self.objects(stored).iter().map(|(_, object)| Arc::new(object.value(kind)))
    }

    /// Makes a change real: revision, objects, allocations, log and journal move together.
    pub(crate) fn commit(&mut self, stored: KindId, commit: Commit) -> Value {
        self.revision += 1;
        let (mut object, deleted) = match commit {
            Commit::Put(object) => (object, false),
            Commit::Remove(object) => (object, true),
        };
        set_metadata(&mut object, "resourceVersion", Some(self.revision.to_string().into()));
        let key = Key::new(object::namespace(&object), object::name(&object));
        let after = Stored::new(&object);
        let current = (!deleted).then(|| after.clone());
        let before = self.place(stored, &key, current.clone());
        if self.config.keep_journal {
            self.journal.push(Record::new(self.revision, self.registry.kind(stored), &key, current));
        }
        self.mark_definition(stored, key.name(), deleted);
        self.changed.insert(stored);
        self.log.push(stored, Change { revision: self.revision, key, before, after, deleted });
        self.pins.take_away_before(|kind| self.log.floor(kind));
        object
    }

    /// Puts an object at its place, or takes it away, without history; allocations follow.
    pub(crate) fn place(&mut self, stored: KindId, key: &Key, object: Option<Stored>) -> Option<Stored> {
        let after = object.clone();
        let objects = &mut self.objects[stored.index()];
        let before = match object {
            Some(object) => objects.insert(key, object),
            None => objects.remove(key),
        };
        self.follow(stored, key, before.as_ref(), after.as_ref());
        before
    }

    /// Keeps in mind what an object that came, changed or went holds of the Service ranges.
    fn follow(&mut self, stored: KindId, key: &Key, before: Option<&Stored>, after: Option<&Stored>) {
        let kind = self.registry.kind(stored);
        if kind.is_core("services") {
            self.allocations.release(before.map(Stored::untyped).as_ref());
            self.allocations.claim(after.map(Stored::untyped).as_ref());
        } else if addresses::is_address(kind) {
            key.name()
                .parse()
                .into_iter()
                .for_each(|address| self.allocations.note(address, after.is_some()));
        } else if addresses::is_range(kind) {
            self.follow_ranges();
        }
    }
}

/// A stored object in the form of a kind that shows it.
pub(crate) fn shown_as(kind: &Kind, head: &Head, object: &Stored) -> Shown {
    match &kind.view_of {
        None if kind.is_custom() => Shown::new(head, Stored::new(&in_version(kind, object))),
        None => Shown::new(head, object.clone()),
        Some(view) => Shown::new(head, Stored::new(&(view.from_stored)(&object.untyped()))),
    }
}

/// A custom object in a version: with its `apiVersion` (conversion `None`), without what its schema does not know, and
/// with its defaults.
fn in_version(kind: &Kind, object: &Stored) -> Value {
    let mut seen = object.value(kind);
    // Stored objects have good metadata, so nothing but unknown fields can be found, and they are dropped.
    let _ = kind.decode(&mut seen);
    kind.default(&mut seen);
    seen
}
