//! Columns of CertificateSigningRequests.

use serde_json::{Value, json};

use super::{AGE, NAME, column};
use crate::age::human_duration;
use crate::object::{integer, list, text};
use crate::row::Column;

pub(crate) const SIGNING_REQUEST: &[Column] = &[
    NAME,
    AGE,
    column("SignerName", |request, _| json!(text(request, "/spec/signerName"))),
    column("Requestor", |request, _| json!(text(request, "/spec/username"))),
    column("RequestedDuration", |request, _| match integer(request, "/spec/expirationSeconds") {
        Some(seconds) => human_duration(seconds).into(),
        None => json!("<none>"),
    }),
    column("Condition", |request, _| condition(request).into()),
];

/// `Pending`, or the verdict and what came of it (upstream: `extractCSRStatus`).
fn condition(request: &Value) -> String {
    let has = |kind: &str| list(request, "/status/conditions").iter().any(|one| text(one, "/type") == kind);
    let mut parts = vec![if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    }];
    if has("Failed") {
        parts.push("Failed");
    }
    if !text(request, "/status/certificate").is_empty() {
        parts.push("Issued");
    }
    parts.join(",")
}
