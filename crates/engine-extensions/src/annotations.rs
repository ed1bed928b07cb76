//! Approval of kinds in the project's own groups (upstream: `apihelpers.GetAPIApprovalState`).

use engine_kinds::object::map;
use serde_json::Value;

/// Where the approval stands.
pub(crate) const APPROVED: &str = "api-approved.kubernetes.io";

/// Whether a group may be used only with approval.
pub(crate) fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"].iter().any(|own| group == *own || group.ends_with(&format!(".{own}")))
}

/// What a definition says about its approval.
pub(crate) enum Approval {
    /// Nothing.
    Missing,
    /// That it has none, and knows.
    Bypassed(String),
    /// Where it was approved.
    Approved(String),
    /// Something that is neither.
    Invalid(String),
}

pub(crate) fn approval(definition: &Value) -> Approval {
    let found = map(definition, "/metadata/annotations").and_then(|all| all.get(APPROVED));
    let text = found.and_then(Value::as_str).unwrap_or_default().to_owned();
    if text.is_empty() {
        Approval::Missing
    } else if text.starts_with("unapproved") {
        Approval::Bypassed(text)
    } else if text.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty()) {
        Approval::Approved(text)
    } else {
        Approval::Invalid(text)
    }
}
