//! Reading single fields of API objects, with the field's path in every complaint.

use std::fmt;
use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use types::{NamespacedName, ObjectRef, Port, Prefix, Protocol};

use crate::Rejected;

/// Why a field could not be read, before it is known which object it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldError {
    pub(crate) field: String,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl FieldError {
    pub(crate) fn new(field: impl Into<String>, reason: &'static str, message: impl fmt::Display) -> Self {
        Self { field: field.into(), reason, message: message.to_string() }
    }

    pub(crate) fn invalid(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::new(field, "Invalid", message)
    }

    pub(crate) fn missing(field: impl Into<String>) -> Self {
        Self::new(field, "Required", "the field is required")
    }

    pub(crate) fn of(self, object: ObjectRef) -> Rejected {
        let Self { field, reason, message } = self;
        Rejected { object, field, reason, message, stand_in: None, conditions: None }
    }
}

pub(crate) type Read<T> = Result<T, FieldError>;

/// The name of a cluster-scoped object; an API server never sends an object without one.
pub(crate) fn name_of(meta: &ObjectMeta) -> String {
    meta.name.clone().unwrap_or_default()
}

/// Namespace and name of a namespaced object.
pub(crate) fn namespaced_name_of(meta: &ObjectMeta) -> NamespacedName {
    NamespacedName::new(meta.namespace.clone().unwrap_or_default(), name_of(meta))
}

/// `metadata.creationTimestamp` in seconds since the epoch; 0 when the object was never stored.
pub(crate) fn created_of(meta: &ObjectMeta) -> i64 {
    meta.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second())
}

pub(crate) fn read_address(field: impl FnOnce() -> String, text: &str) -> Read<IpAddr> {
    text.trim().parse().map_err(|_| FieldError::invalid(field(), format!("`{text}` is not an IP address")))
}

pub(crate) fn read_prefix(field: impl FnOnce() -> String, text: &str) -> Read<Prefix> {
    text.trim().parse().map_err(|error| FieldError::invalid(field(), error))
}

pub(crate) fn read_port(field: impl FnOnce() -> String, number: i32) -> Read<Port> {
    Port::try_from(number).map_err(|error| FieldError::invalid(field(), error))
}

/// A protocol field, which defaults to TCP in every API type.
pub(crate) fn read_protocol(field: impl FnOnce() -> String, text: Option<&str>) -> Read<Protocol> {
    match text {
        None | Some("") => Ok(Protocol::Tcp),
        Some(text) => text.parse().map_err(|error| FieldError::invalid(field(), error)),
    }
}
