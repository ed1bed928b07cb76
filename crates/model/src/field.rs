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
    let parsed = text.trim().parse().or_else(|error| without_zeros(text.trim()).parse().map_err(|_| error));
    parsed.map_err(|_| FieldError::invalid(field(), format!("`{text}` is not an IP address")))
}

pub(crate) fn read_prefix(field: impl FnOnce() -> String, text: &str) -> Read<Prefix> {
    let parsed = text.trim().parse().or_else(|error| without_zeros(text.trim()).parse().map_err(|_| error));
    parsed.map_err(|error| FieldError::invalid(field(), error))
}

/// The text with the leading zeros of each number of an IPv4 address left out. Objects from before Kubernetes 1.22 may
/// have them, and they mean decimal numbers (CVE-2021-29923; upstream: `ParseIPSloppy` of `k8s.io/utils/net`).
fn without_zeros(text: &str) -> String {
    let (address, rest) =
        text.split_once('/').map_or((text, ""), |(address, _)| (address, &text[address.len()..]));
    let decimal = |number: &str| match number.trim_start_matches('0') {
        "" if !number.is_empty() => "0".to_owned(),
        short => short.to_owned(),
    };
    let numbers: Vec<String> = address.split('.').map(decimal).collect();
    if numbers.len() == 4 { numbers.join(".") + rest } else { text.to_owned() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_of_old_objects_are_decimal() {
        let address = |text| read_address(String::new, text).ok().map(|address| address.to_string());
        assert_eq!(address("010.096.000.08").as_deref(), Some("10.96.0.8"));
        assert_eq!(address("10.96.0.256"), None);
        assert_eq!(address("10.96..8"), None);
        assert_eq!(address("fd00::08").as_deref(), Some("fd00::8"));
        let range = |text| read_prefix(String::new, text).ok().map(|range| range.to_string());
        assert_eq!(range("010.096.000.000/16").as_deref(), Some("10.96.0.0/16"));
        assert_eq!(range("010.096.000.000"), None);
    }
}
