//! TLS Secrets: a certificate chain and its key.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1;
use types::{NamespacedName, ObjectRef};

use crate::field::{FieldError, Read, namespaced_name_of};
use crate::{Kind, Lower, Object, Rejected};

/// The only type of Secret that is read (k8s.io/api/core/v1 `SecretTypeTLS`); watch with this field selector.
pub const TLS_SECRET_TYPE: &str = "kubernetes.io/tls";

/// A Secret of type `kubernetes.io/tls`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// Namespace and name.
    pub name: NamespacedName,
    /// `tls.crt`, PEM.
    pub certificate_pem: String,
    /// `tls.key`, PEM. Never printed.
    pub key_pem: String,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Lower for v1::Secret {
    const KIND: Kind = Kind::Secret;

    /// A Secret of another type is rejected, so that an Ingress that names it can be told why.
    fn lower(&self) -> Result<Object, Rejected> {
        let name = namespaced_name_of(&self.metadata);
        read_secret(self, &name)
            .map(Object::Secret)
            .map_err(|error| error.of(ObjectRef::namespaced("Secret", &name)))
    }
}

fn read_secret(secret: &v1::Secret, name: &NamespacedName) -> Read<Secret> {
    let kind = secret.type_.as_deref().unwrap_or("Opaque");
    if kind != TLS_SECRET_TYPE {
        let message = format!("the Secret is of type {kind}, not {TLS_SECRET_TYPE}");
        return Err(FieldError::new("type", "NotTls", message));
    }
    Ok(Secret {
        name: name.clone(),
        certificate_pem: read_pem(secret, "tls.crt")?,
        key_pem: read_pem(secret, "tls.key")?,
    })
}

fn read_pem(secret: &v1::Secret, key: &str) -> Read<String> {
    let field = || format!("data[{key}]");
    let ByteString(bytes) =
        secret.data.as_ref().and_then(|data| data.get(key)).ok_or_else(|| FieldError::missing(field()))?;
    match std::str::from_utf8(bytes) {
        Ok(text) if text.contains("-----BEGIN ") => Ok(text.to_owned()),
        _ => Err(FieldError::invalid(field(), "holds no PEM block")),
    }
}
