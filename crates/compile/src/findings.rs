//! Findings about objects that could not even be read, and the one way to write a finding.

use std::collections::BTreeSet;

use model::Snapshot;
use plan::{Finding, Severity};
use types::ObjectRef;

/// What a feature reports into.
pub(crate) type Findings = BTreeSet<Finding>;

/// A finding of severity Error: what the object asks for does not happen.
pub(crate) fn error(
    object: ObjectRef,
    field: impl Into<String>,
    reason: &'static str,
    message: impl Into<String>,
) -> Finding {
    Finding { severity: Severity::Error, object, field: field.into(), reason, message: message.into() }
}

/// A finding of severity Warning: it happens, but likely not as meant.
pub(crate) fn warning(
    object: ObjectRef,
    field: impl Into<String>,
    reason: &'static str,
    message: impl Into<String>,
) -> Finding {
    Finding { severity: Severity::Warning, ..error(object, field, reason, message) }
}

/// Objects that could not be read as meant.
///
/// Secrets are left out: most of them are of other types and nobody's business, and the gateway reports those that
/// an Ingress names.
pub(crate) fn of_input(snapshot: &Snapshot, findings: &mut Findings) {
    for rejected in snapshot.rejected.values().filter(|rejected| rejected.object.kind != "Secret") {
        let object = rejected.object.clone();
        findings.insert(error(object, &*rejected.field, rejected.reason, &*rejected.message));
    }
}
