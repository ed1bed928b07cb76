//! IngressClasses: which controller serves them, and whether one is the default.

use k8s_openapi::api::networking::v1;

use crate::field::{created_of, name_of};
use crate::{Kind, Lower, Object, Rejected};

/// Annotation of the default class (k8s.io/api/networking/v1 `AnnotationIsDefaultIngressClass`).
const DEFAULT_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";

/// An IngressClass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressClass {
    /// Name.
    pub name: String,
    /// `spec.controller`, empty when not given.
    pub controller: String,
    /// Annotated as the default class.
    pub is_default: bool,
    /// `metadata.creationTimestamp`, in seconds since the epoch.
    pub created: i64,
}

impl Lower for v1::IngressClass {
    const KIND: Kind = Kind::IngressClass;

    fn lower(&self) -> Result<Object, Rejected> {
        let annotations = self.metadata.annotations.as_ref();
        let default = annotations.and_then(|annotations| annotations.get(DEFAULT_ANNOTATION));
        Ok(Object::IngressClass(IngressClass {
            name: name_of(&self.metadata),
            controller: self.spec.as_ref().and_then(|spec| spec.controller.clone()).unwrap_or_default(),
            is_default: default.is_some_and(|value| value == "true"),
            created: created_of(&self.metadata),
        }))
    }
}
