//! Validation: findings with field paths and the texts of upstream, and the order in which rules run.

mod autoscaler;
mod certificate;
mod disruption;
mod endpoints;
mod ingress;
mod job;
mod meta;
mod names;
mod network_policy;
mod plain;
mod pod;
mod service;
mod service_range;
mod workload;

use serde_json::Value;

use crate::kind::{Form, Kind};
use crate::part::Part;
use crate::row::NameRule;
use crate::status::{Cause, Status};

pub(crate) use autoscaler::autoscaler;
pub(crate) use certificate::signing_request;
pub(crate) use disruption::disruption_budget;
pub(crate) use endpoints::{endpoint_slice, endpoints};
pub(crate) use ingress::{ingress, ingress_class};
pub(crate) use job::{cron_job, job};
pub(crate) use network_policy::network_policy;
pub(crate) use plain::{config_map, lease, secret};
pub(crate) use pod::pod;
pub(crate) use service::service;
pub use service::service_addresses;
pub(crate) use service_range::{ip_address, service_cidr};
pub(crate) use workload::{daemon_set, deployment, replica_set, stateful_set};

/// Rules broken so far (upstream: apimachinery `pkg/util/validation/field`).
#[derive(Debug, Default)]
pub struct Findings {
    causes: Vec<Cause>,
}

impl Findings {
    fn add(&mut self, reason: &'static str, field: &str, message: String) {
        self.causes.push(Cause { reason, message, field: field.to_owned() });
    }

    /// Whether no rule is broken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.causes.is_empty()
    }

    /// Findings made apart.
    pub fn append(&mut self, mut other: Self) {
        self.causes.append(&mut other.causes);
    }

    /// A finding made elsewhere.
    pub fn found(&mut self, cause: Cause) {
        self.causes.push(cause);
    }

    /// A value that breaks a rule.
    pub fn invalid(&mut self, field: &str, value: &Value, why: &str) {
        self.add("FieldValueInvalid", field, format!("Invalid value: {value}: {why}"));
    }

    /// A value that breaks a rule and is too large to be shown.
    pub fn broken(&mut self, field: &str, why: &str) {
        self.add("FieldValueInvalid", field, format!("Invalid value: {why}"));
    }

    /// A value that is missing.
    pub fn required(&mut self, field: &str, why: &str) {
        let text =
            if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
        self.add("FieldValueRequired", field, text);
    }

    /// A value outside a fixed list.
    pub fn not_supported(&mut self, field: &str, value: &str, supported: &[&str]) {
        let supported: Vec<String> = supported.iter().map(|value| format!("\"{value}\"")).collect();
        let text = format!("Unsupported value: \"{value}\": supported values: {}", supported.join(", "));
        self.add("FieldValueNotSupported", field, text);
    }

    /// A value that stands twice.
    pub fn duplicate(&mut self, field: &str, value: &Value) {
        self.add("FieldValueDuplicate", field, format!("Duplicate value: {value}"));
    }

    /// A value that may not be there.
    pub fn forbidden(&mut self, field: &str, why: &str) {
        self.add("FieldValueForbidden", field, format!("Forbidden: {why}"));
    }

    /// A text that is too long.
    pub fn too_long(&mut self, field: &str, max: usize) {
        self.add("FieldValueTooLong", field, format!("Too long: may not be more than {max} bytes"));
    }

    /// Too many items.
    pub fn too_many(&mut self, field: &str, found: usize, max: usize) {
        self.add("FieldValueTooMany", field, format!("Too many: {found}: must have at most {max} items"));
    }

    /// A name that refers to nothing.
    pub fn not_found(&mut self, field: &str, value: &str) {
        self.add("FieldValueNotFound", field, format!("Not found: \"{value}\""));
    }

    /// Something that is not the client's fault.
    pub fn internal(&mut self, field: &str, why: &str) {
        self.add("InternalError", field, format!("Internal error: {why}"));
    }

    /// A field that an update may not change.
    pub fn immutable(&mut self, field: &str, old: Option<&Value>, new: Option<&Value>) {
        if old != new {
            self.invalid(field, new.unwrap_or(&Value::Null), "field is immutable");
        }
    }

    /// 422 when anything was found.
    pub fn into_result(self, kind: &Kind, name: &str) -> Result<(), Status> {
        if self.causes.is_empty() {
            return Ok(());
        }
        Err(Status::invalid(&kind.group, &kind.kind, name, self.causes))
    }
}

/// What is wrong with a name.
#[must_use]
pub fn name_problems(rule: NameRule, name: &str) -> Vec<String> {
    match rule {
        NameRule::Subdomain => names::subdomain(name),
        NameRule::Label => names::label(name),
        NameRule::Label1035 => names::label_1035(name),
        NameRule::PathSegment => names::path_segment(name),
        NameRule::Address => names::address(name),
    }
}

/// Checks a new object.
pub fn new_object(kind: &Kind, object: &Value) -> Result<(), Status> {
    let mut findings = Findings::default();
    meta::check(kind, object, &mut findings);
    kind.validate(object, None, &mut findings);
    findings.into_result(kind, crate::object::name(object))
}

/// Checks the new state of an object.
pub fn update(kind: &Kind, part: Part, new: &Value, old: &Value) -> Result<(), Status> {
    let mut findings = Findings::default();
    meta::check(kind, new, &mut findings);
    meta::check_update(new, old, &mut findings);
    match part {
        Part::Main | Part::Scale => kind.validate(new, Some(old), &mut findings),
        // The schema of a custom kind is about its status too.
        Part::Status if matches!(kind.form, Form::Custom(_)) => kind.validate(new, Some(old), &mut findings),
        Part::Status if kind.is_core("services") => service::status(new, &mut findings),
        Part::EphemeralContainers => pod::ephemeral::update(new, old, &mut findings),
        Part::Status | Part::Approval if kind.plural == "certificatesigningrequests" && !kind.is_custom() => {
            certificate::verdicts(new, old, part == Part::Approval, &mut findings);
        }
        Part::Status | Part::Approval | Part::Finalize => {}
    }
    findings.into_result(kind, crate::object::name(new))
}
