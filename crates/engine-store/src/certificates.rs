//! CertificateSigningRequests: what is asked for never changes, and verdicts are dated.
//!
//! Upstream: `pkg/registry/certificates/certificates/strategy.go`.

use engine_kinds::object::{copy_field, default_to, time_text};
use engine_kinds::{Kind, Part};
use jiff::Timestamp;
use serde_json::Value;

/// Completes the new state of a request.
pub(crate) fn prepare(kind: &Kind, part: Part, old: &Value, new: &mut Value, now: Timestamp) {
    if kind.plural != "certificatesigningrequests" || kind.is_custom() {
        return;
    }
    copy_field(old, new, "spec");
    if part == Part::Main {
        return;
    }
    let conditions = new.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten().filter_map(Value::as_object_mut) {
        for field in ["lastUpdateTime", "lastTransitionTime"] {
            default_to(condition, field, time_text(now));
        }
    }
}
