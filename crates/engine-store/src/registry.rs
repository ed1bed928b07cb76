//! The kinds a store serves: the built-in ones, and a place for more.

use std::sync::Arc;

use engine_kinds::{Kind, Status};

use crate::request::Target;

/// Place of a kind in the [`Registry`] and of its objects in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KindId(usize);

/// Every kind served, built-in groups first.
pub(crate) struct Registry {
    kinds: Vec<Arc<Kind>>,
}

impl KindId {
    /// Position of the kind's objects in the store.
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

impl Registry {
    /// The built-in kinds.
    pub(crate) fn new() -> Self {
        Self { kinds: engine_kinds::built_in().map(Arc::new).collect() }
    }

    /// Every kind, in the order discovery lists groups.
    pub(crate) fn all(&self) -> &[Arc<Kind>] {
        &self.kinds
    }

    /// The kind of a resource.
    pub(crate) fn of_resource(&self, group: &str, plural: &str) -> Option<KindId> {
        self.position(|kind| kind.plural == plural && kind.group == group)
    }

    /// A kind that is always there.
    pub(crate) fn built_in(&self, group: &str, plural: &str) -> KindId {
        self.of_resource(group, plural).expect("the kind is built in")
    }

    /// The kind a target names; 404 when there is none.
    pub(crate) fn of_target(&self, target: &Target) -> Result<KindId, Status> {
        self.position(|kind| {
            kind.plural == target.resource && kind.group == target.group && kind.version == target.version
        })
        .ok_or_else(Status::unknown_resource)
    }

    fn position(&self, is_it: impl Fn(&Kind) -> bool) -> Option<KindId> {
        self.kinds.iter().position(|kind| is_it(kind)).map(KindId)
    }

    /// The kind in that place.
    pub(crate) fn kind(&self, id: KindId) -> &Arc<Kind> {
        &self.kinds[id.0]
    }

    /// The place of the kind that stores the objects of this one: its own, except for views.
    pub(crate) fn stored(&self, id: KindId) -> KindId {
        match &self.kind(id).view_of {
            None => id,
            Some(view) => self.of_resource(&view.group, &view.plural).expect("a view names a stored kind"),
        }
    }
}
