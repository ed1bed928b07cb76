//! Why an object could not be lowered, and what stands in for it.

use types::{NamespacedName, ObjectRef};

use crate::{Conditions, NetworkPolicy, Object};

/// An object that could not be read as it is meant.
///
/// A rejected object takes the place of every earlier form of it, so that a snapshot depends on what the cluster
/// says now and not on what it said before. What stands in for it is nothing, except where nothing would open
/// what the object wants closed: a NetworkPolicy is replaced by its most restrictive reading. A Service of which only
/// annotations of ours cannot be read is served without them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The object.
    pub object: ObjectRef,
    /// The field at fault, such as `spec.ports[0].port`; empty when it is the whole object.
    pub field: String,
    /// One CamelCase word.
    pub reason: &'static str,
    /// What is wrong, for a person; one sentence without a full stop.
    pub message: String,
    /// What the snapshot holds in its place.
    pub stand_in: Option<Box<Object>>,
    /// Conditions of ours in its status; `None` when it could not be read either, or its kind has none.
    pub conditions: Option<Conditions>,
}

impl Rejected {
    /// An object of which not even the fields could be read.
    ///
    /// An unreadable NetworkPolicy isolates every Pod of its namespace in both directions: it must never be the
    /// reason why something is reachable.
    #[must_use]
    pub fn unreadable(object: ObjectRef, message: impl Into<String>) -> Self {
        let stand_in = match (object.kind.as_str(), &object.namespace) {
            ("NetworkPolicy", Some(namespace)) => {
                let name = NamespacedName::new(namespace.as_str(), object.name.as_str());
                Some(Box::new(Object::NetworkPolicy(NetworkPolicy::deny_all(name))))
            }
            _ => None,
        };
        Self {
            object,
            field: String::new(),
            reason: "Unreadable",
            message: message.into(),
            stand_in,
            conditions: None,
        }
    }
}
