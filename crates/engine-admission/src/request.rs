//! The write that policies look at.

use serde_json::{Value, json};

/// What a write does (`admission.k8s.io/v1 Operation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// A changed object.
    Update,
    /// An object that goes.
    Delete,
}

/// A write, with the objects as they are and as they are to be.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What it does.
    pub operation: Operation,
    /// API group, version and plural name of the resource.
    pub resource: [&'a str; 3],
    /// Kind of the objects.
    pub kind: &'a str,
    /// Subresource; empty for the resource itself.
    pub subresource: &'a str,
    /// Namespace; empty for cluster-scoped resources.
    pub namespace: &'a str,
    /// Name of the object.
    pub name: &'a str,
    /// `UserInfo` of whoever asks.
    pub user: &'a Value,
    /// Whether nothing is kept.
    pub dry_run: bool,
    /// The object as it is to be; none for deletions.
    pub object: Option<&'a Value>,
    /// The object as it is; none for new ones.
    pub old: Option<&'a Value>,
    /// The Namespace it lives in.
    pub home: Option<&'a Value>,
}

impl Operation {
    /// As rules name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

impl Request<'_> {
    /// The variable `request` of expressions (`admission.k8s.io/v1 AdmissionRequest`).
    pub(crate) fn to_value(self) -> Value {
        let [group, version, resource] = self.resource;
        let kind = json!({"group": group, "version": version, "kind": self.kind});
        let resource = json!({"group": group, "version": version, "resource": resource});
        json!({
            "kind": kind,
            "resource": resource,
            "subResource": self.subresource,
            "requestKind": kind,
            "requestResource": resource,
            "requestSubResource": self.subresource,
            "name": self.name,
            "namespace": self.namespace,
            "operation": self.operation.as_str(),
            "userInfo": self.user,
            "dryRun": self.dry_run,
        })
    }
}
