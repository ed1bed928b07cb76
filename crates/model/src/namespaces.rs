//! Namespaces: their labels, for policies that select them.

use k8s_openapi::api::core::v1;
use types::Labels;

use crate::field::name_of;
use crate::{Kind, Lower, Object, Rejected};

/// Label that holds a Namespace's own name (k8s.io/api/core/v1 `LabelMetadataName`).
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A Namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Name.
    pub name: String,
    /// Labels; `kubernetes.io/metadata.name` is always among them.
    pub labels: Labels,
}

impl Namespace {
    /// A Namespace with these labels and the one every Namespace has.
    #[must_use]
    pub fn new(name: &str, mut labels: Labels) -> Self {
        labels.insert(NAME_LABEL.to_owned(), name.to_owned());
        Self { name: name.to_owned(), labels }
    }
}

impl Lower for v1::Namespace {
    const KIND: Kind = Kind::Namespace;

    fn lower(&self) -> Result<Object, Rejected> {
        let labels = self.metadata.labels.clone().unwrap_or_default();
        Ok(Object::Namespace(Namespace::new(&name_of(&self.metadata), labels)))
    }
}
