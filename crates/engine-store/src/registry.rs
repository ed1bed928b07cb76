//! The kinds a store serves: the built-in ones, and those that definitions bring.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine_kinds::{Kind, Status};

use crate::request::Target;

/// Place of a kind in a store and of its objects; kinds that show each other's objects have places of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KindId(usize);

/// A kind in its place. A place is never given to another kind, so that watches can tell that theirs is gone.
struct Slot {
    kind: Arc<Kind>,
    /// Where its objects are: its own place, except for views and further versions.
    stored: KindId,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Served,
    /// A version that is no longer served, of a resource that is.
    Kept,
    /// Its definition is gone.
    Gone,
}

/// Every kind there is or was.
pub(crate) struct Registry {
    slots: Vec<Slot>,
    /// What is served, built-in groups first.
    served: Vec<Arc<Kind>>,
    /// What the versions of a definition's resource were made from, by group and plural.
    bases: BTreeMap<(String, String), String>,
    /// Grows with every change.
    generation: u64,
}

impl KindId {
    /// Counted from 0.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

impl Registry {
    /// The built-in kinds.
    pub(crate) fn new() -> Self {
        let definition = Kind::from(&engine_extensions::DEFINITION);
        let kinds = engine_kinds::built_in().chain(std::iter::once(definition)).map(Arc::new);
        let slots =
            kinds.enumerate().map(|(index, kind)| Slot { kind, stored: KindId(index), state: State::Served });
        let (served, bases) = (Vec::new(), BTreeMap::new());
        let mut registry = Self { slots: slots.collect(), served, bases, generation: 0 };
        let stored: Vec<KindId> = registry.slots.iter().map(|slot| registry.store_of(slot)).collect();
        registry.slots.iter_mut().zip(stored).for_each(|(slot, stored)| slot.stored = stored);
        registry.changed();
        registry
    }

    fn store_of(&self, slot: &Slot) -> KindId {
        match &slot.kind.view_of {
            None => slot.stored,
            Some(view) => self.of_resource(&view.group, &view.plural).expect("a view names a stored kind"),
        }
    }

    fn changed(&mut self) {
        self.generation += 1;
        let served = self.slots.iter().filter(|slot| slot.state == State::Served);
        self.served = served.map(|slot| Arc::clone(&slot.kind)).collect();
    }

    /// How often the kinds changed.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// How many places there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Every place.
    pub(crate) fn ids(&self) -> impl Iterator<Item = KindId> + use<> {
        (0..self.slots.len()).map(KindId)
    }

    /// Every kind served, in the order discovery lists groups.
    pub(crate) fn all(&self) -> &[Arc<Kind>] {
        &self.served
    }

    /// Every kind there is or was, by its place.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.slots.iter().map(|slot| &slot.kind)
    }

    /// The kind of a resource, in any version.
    pub(crate) fn of_resource(&self, group: &str, plural: &str) -> Option<KindId> {
        self.position(|slot| {
            slot.state != State::Gone && slot.kind.plural == plural && slot.kind.group == group
        })
    }

    /// A kind that is always there.
    pub(crate) fn built_in(&self, group: &str, plural: &str) -> KindId {
        self.of_resource(group, plural).expect("the kind is built in")
    }

    /// The kind a target names; 404 when there is none.
    pub(crate) fn of_target(&self, target: &Target) -> Result<KindId, Status> {
        self.position(|slot| {
            slot.state == State::Served
                && slot.kind.plural == target.resource
                && slot.kind.group == target.group
                && slot.kind.version == target.version
        })
        .ok_or_else(Status::unknown_resource)
    }

    fn position(&self, is_it: impl Fn(&Slot) -> bool) -> Option<KindId> {
        self.slots.iter().position(is_it).map(KindId)
    }

    /// The kind in that place.
    pub(crate) fn kind(&self, id: KindId) -> &Arc<Kind> {
        &self.slots[id.0].kind
    }

    /// The place of the kind that stores the objects of this one.
    pub(crate) fn stored(&self, id: KindId) -> KindId {
        self.slots[id.0].stored
    }

    /// Whether the kind in that place is still served as it was when `kind` was taken from it.
    pub(crate) fn is_unchanged(&self, id: KindId, kind: &Arc<Kind>) -> bool {
        self.slots[id.0].state == State::Served && Arc::ptr_eq(self.kind(id), kind)
    }

    /// What the versions served of a resource were made from.
    pub(crate) fn basis(&self, group: &str, plural: &str) -> Option<&str> {
        self.bases.get(&(group.to_owned(), plural.to_owned())).map(String::as_str)
    }

    /// Serves these versions of a resource, and no others; `basis` is what they were made from.
    pub(crate) fn serve(&mut self, (group, plural): (&str, &str), kinds: Vec<Kind>, basis: String) {
        self.bases.insert((group.to_owned(), plural.to_owned()), basis);
        let stored = self.of_resource(group, plural).map(|id| self.stored(id));
        for slot in self.versions(group, plural) {
            slot.state = State::Kept;
        }
        let mut stored = stored;
        for kind in kinds {
            let version = kind.version.clone();
            let kind = Arc::new(kind);
            if let Some(slot) = self.versions(group, plural).find(|slot| slot.kind.version == version) {
                slot.kind = kind;
                slot.state = State::Served;
                continue;
            }
            let own = KindId(self.slots.len());
            let stored = *stored.get_or_insert(own);
            self.slots.push(Slot { kind, stored, state: State::Served });
        }
        self.changed();
    }

    /// Serves a resource no longer; its places stay empty.
    pub(crate) fn forget(&mut self, group: &str, plural: &str) {
        self.bases.remove(&(group.to_owned(), plural.to_owned()));
        for slot in self.versions(group, plural) {
            slot.state = State::Gone;
        }
        self.changed();
    }

    fn versions<'a>(&'a mut self, group: &'a str, plural: &'a str) -> impl Iterator<Item = &'a mut Slot> {
        self.slots.iter_mut().filter(move |slot| {
            slot.state != State::Gone
                && slot.kind.is_custom()
                && slot.kind.plural == plural
                && slot.kind.group == group
        })
    }
}
