//! Bindings: which role whom.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::user::User;

/// Who a binding is about (`rbac.authorization.k8s.io/v1 Subject`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Namespace of a service account; filled in from the binding where the object leaves it out.
    pub namespace: String,
}

/// The role a binding gives (`rbac.authorization.k8s.io/v1 RoleRef`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RoleRef {
    /// `Role` or `ClusterRole`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// A binding by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingRef {
    /// Namespace of a RoleBinding; empty for a ClusterRoleBinding.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A binding, read.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) itself: BindingRef,
    pub(crate) role: RoleRef,
    subjects: Vec<Subject>,
}

impl Binding {
    pub(crate) fn of(object: &Value) -> Self {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let itself = BindingRef { namespace: text("/metadata/namespace"), name: text("/metadata/name") };
        let subjects = object.get("subjects").and_then(|list| Vec::<Subject>::deserialize(list).ok());
        let mut subjects = subjects.unwrap_or_default();
        for subject in subjects.iter_mut().filter(|subject| subject.kind == "ServiceAccount") {
            if subject.namespace.is_empty() {
                subject.namespace.clone_from(&itself.namespace);
            }
        }
        let role = RoleRef { kind: text("/roleRef/kind"), name: text("/roleRef/name") };
        Self { itself, role, subjects }
    }

    pub(crate) fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// The first subject that is this user.
    pub(crate) fn subject(&self, user: &User) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.is(user))
    }
}

impl Subject {
    fn is(&self, user: &User) -> bool {
        match self.kind.as_str() {
            "User" => user.name == self.name,
            "Group" => user.is_in(&self.name),
            "ServiceAccount" => {
                !self.namespace.is_empty()
                    && User::split_service_account(&user.name) == Some((&self.namespace, &self.name))
            }
            _ => false,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind.as_str() {
            "ServiceAccount" => write!(f, "{} \"{}/{}\"", self.kind, self.name, self.namespace),
            _ => write!(f, "{} {:?}", self.kind, self.name),
        }
    }
}

impl fmt::Display for RoleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind, self.name)
    }
}

impl fmt::Display for BindingRef {
    /// Name before Namespace, as upstream has it (`roleBindingDescriber`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "ClusterRoleBinding {:?}", self.name)
        } else {
            write!(f, "RoleBinding \"{}/{}\"", self.name, self.namespace)
        }
    }
}
