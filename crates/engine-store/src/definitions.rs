//! Definitions at work: their status, the kinds they bring, and the end of their objects.
//!
//! What are controllers upstream is settled here before the write is over, so that a definition's kinds are served
//! from the answer on.

use std::sync::Arc;

use engine_extensions::{CLEANUP, GROUP, Names, PLURAL, accept, is_established, kinds_of, terminate};
use engine_kinds::object::{self, set_metadata, text, time_text};
use engine_kinds::{Kind, Status};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::registry::KindId;
use crate::store::{Commit, Store};

/// Group and plural of the resource a definition brings.
fn resource_of(definition: &Value) -> (&str, &str) {
    (text(definition, "/spec/group"), text(definition, "/spec/names/plural"))
}

/// What tells whether the kinds of a definition are still the same: its generation, which grows with its `spec`, and
/// the names it was given.
fn basis_of(definition: &Value) -> String {
    let names = definition.pointer("/status/acceptedNames").unwrap_or(&Value::Null);
    let generation = object::integer(definition, "/metadata/generation").unwrap_or(0);
    format!("{} {generation} {names}", object::uid(definition))
}

impl Store {
    fn definitions(&self) -> KindId {
        self.registry().built_in(GROUP, PLURAL)
    }

    /// Notes that a definition must be looked at: it changed, or an object of it went.
    pub(crate) fn mark_definition(&mut self, stored: KindId, name: &str, deleted: bool) {
        let kind = Arc::clone(self.registry().kind(stored));
        if stored == self.definitions() {
            self.due.insert(name.to_owned());
        } else if deleted && kind.is_custom() {
            self.due.insert(kind.qualified_resource());
        }
    }

    /// Looks at every definition that is due, until none is.
    pub(crate) fn settle_definitions(&mut self, now: Timestamp) {
        while let Some(name) = self.due.pop_first() {
            match self.get(self.definitions(), "", &name) {
                None => self.forget_definition(&name),
                Some(definition) if object::is_deleting(&definition) => self.empty(&definition, now),
                Some(definition) => self.settle(&definition, now),
            }
        }
    }

    fn settle(&mut self, definition: &Value, now: Timestamp) {
        let (group, plural) = resource_of(definition);
        let others = self.registry().all().iter().map(|kind| &**kind);
        let others = Names::of(others.filter(|kind| kind.group == group && kind.plural != plural));
        let settled = accept(definition, &others, now);
        if settled == *definition {
            self.serve_definition(definition);
        } else {
            // Comes back here, as it is due again.
            self.commit(self.definitions(), Commit::Put(settled));
        }
    }

    /// Serves the kinds of a definition, if it is established. Only a change of what they are made from makes new
    /// kinds, as those end the watches of the old ones.
    pub(crate) fn serve_definition(&mut self, definition: &Value) {
        let (resource, basis) = (resource_of(definition), basis_of(definition));
        if is_established(definition) && self.registry().basis(resource.0, resource.1) != Some(&basis) {
            let kinds = kinds_of(definition);
            self.change_kinds(|registry| registry.serve(resource, kinds, basis));
        }
    }

    /// Serves the kinds of a definition no longer; others may want its names.
    pub(crate) fn forget_definition(&mut self, name: &str) {
        let Some((plural, group)) = name.split_once('.') else { return };
        let known = self.registry().of_resource(group, plural);
        if !known.is_some_and(|id| self.registry().kind(id).is_custom()) {
            return;
        }
        self.change_kinds(|registry| registry.forget(group, plural));
        let same_group = self.all(self.definitions()).filter(|other| text(other, "/spec/group") == group);
        let names: Vec<String> = same_group.map(|other| object::name(&other).to_owned()).collect();
        self.due.extend(names);
    }

    /// Deletes the objects of a definition that is going, and then the definition.
    fn empty(&mut self, definition: &Value, now: Timestamp) {
        let marked = terminate(definition, now);
        let (group, plural) = resource_of(definition);
        let stored = self.registry().of_resource(group, plural).map(|id| self.registry().stored(id));
        let objects: Vec<Arc<Value>> = stored.map_or_else(Vec::new, |stored| self.all(stored).collect());
        let mut left = 0;
        for object in objects {
            let Some(stored) = stored else { break };
            let holds = object::finalizers(&object).next().is_some();
            left += usize::from(holds);
            if !object::is_deleting(&object) || !holds {
                let mut last = Value::clone(&object);
                set_metadata(&mut last, "deletionTimestamp", Some(time_text(now).into()));
                set_metadata(&mut last, "deletionGracePeriodSeconds", Some(0.into()));
                self.commit(stored, if holds { Commit::Put(last) } else { Commit::Remove(last) });
            }
        }
        if left > 0 {
            if marked != *definition {
                self.commit(self.definitions(), Commit::Put(marked));
            }
            return;
        }
        let kept: Vec<&str> = object::finalizers(definition).filter(|name| *name != CLEANUP).collect();
        let mut last = marked.clone();
        set_metadata(&mut last, "finalizers", (!kept.is_empty()).then(|| json!(kept)));
        if kept.is_empty() {
            self.commit(self.definitions(), Commit::Remove(last));
        } else if last != *definition {
            self.commit(self.definitions(), Commit::Put(last));
        }
    }

    /// Refuses new objects of a definition that is going.
    pub(crate) fn check_definition(&self, kind: &Kind) -> Result<(), Status> {
        if !kind.is_custom() {
            return Ok(());
        }
        let definition = self.get(self.definitions(), "", &kind.qualified_resource());
        if definition.is_some_and(|definition| object::is_deleting(&definition)) {
            let text = "create not allowed while custom resource definition is terminating";
            return Err(Status::new(405, "MethodNotAllowed", text));
        }
        Ok(())
    }
}
