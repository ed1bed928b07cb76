//! Rules for CertificateSigningRequests (upstream: `pkg/apis/certificates/validation`).
//!
//! That the request is signed by its own key is not checked: nothing here signs certificates.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Findings;
use crate::object::{integer, list, text};

/// What a certificate may be for (upstream: `certificates/v1 KeyUsage`).
const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// Conditions that decide, once and for all.
const VERDICTS: &[&str] = &["Approved", "Denied"];

pub(crate) fn signing_request(object: &Value, _: Option<&Value>, findings: &mut Findings) {
    let request = text(object, "/spec/request");
    if let Err(why) = parse_request(request) {
        findings.invalid("spec.request", &request.into(), why);
    }
    let usages = list(object, "/spec/usages");
    if usages.is_empty() {
        findings.required("spec.usages", "");
    }
    for (index, usage) in usages.iter().enumerate() {
        let field = format!("spec.usages[{index}]");
        let usage_text = usage.as_str().unwrap_or_default();
        if !USAGES.contains(&usage_text) {
            findings.not_supported(&field, usage_text, USAGES);
        }
        if usages[..index].contains(usage) {
            findings.duplicate(&field, usage);
        }
    }
    signer_name(text(object, "/spec/signerName"), findings);
    if let Some(seconds) = integer(object, "/spec/expirationSeconds").filter(|seconds| *seconds < 600) {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        findings.invalid("spec.expirationSeconds", &seconds.into(), why);
    }
}

/// `domain/path`.
fn signer_name(name: &str, findings: &mut Findings) {
    let is_good = name.split_once('/').is_some_and(|(domain, path)| domain.contains('.') && !path.is_empty());
    if name.is_empty() {
        findings.required("spec.signerName", "");
    } else if name == "kubernetes.io/legacy-unknown" {
        let why = "the legacy signerName is not allowed via this API version";
        findings.invalid("spec.signerName", &name.into(), why);
    } else if !is_good {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        findings.invalid("spec.signerName", &name.into(), why);
    }
}

/// Base64 of PEM of a DER sequence.
fn parse_request(request: &str) -> Result<(), &'static str> {
    const WRONG_BLOCK: &str = "PEM block type must be CERTIFICATE REQUEST";
    let pem = STANDARD.decode(request).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pem = pem.ok_or(WRONG_BLOCK)?;
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE REQUEST-----").ok_or(WRONG_BLOCK)?;
    let (body, _) = rest.split_once("-----END CERTIFICATE REQUEST-----").ok_or(WRONG_BLOCK)?;
    let body: String = body.split_whitespace().collect();
    let der = STANDARD.decode(body).map_err(|_| WRONG_BLOCK)?;
    let is_sequence = der.first() == Some(&0x30) && der_length(&der[1..]) == Some(der.len() - 1);
    if is_sequence { Ok(()) } else { Err("asn1: structure error: the request is no DER sequence") }
}

/// The size of a DER length and of what it announces (X.690 section 8.1.3).
fn der_length(der: &[u8]) -> Option<usize> {
    let first = usize::from(*der.first()?);
    if first < 0x80 {
        return Some(1 + first);
    }
    let count = first & 0x7f;
    let bytes = der.get(1..=count).filter(|bytes| bytes.len() <= 4)?;
    let length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    Some(1 + count + length)
}

/// What a write to `status` or `approval` may do to the verdicts.
pub(crate) fn verdicts(new: &Value, old: &Value, is_approval: bool, findings: &mut Findings) {
    let field = "status.conditions";
    let has = |object: &Value, kind: &str| {
        list(object, "/status/conditions").iter().any(|condition| text(condition, "/type") == kind)
    };
    for kind in VERDICTS {
        if has(old, kind) && !has(new, kind) {
            findings.forbidden(field, &format!("updates may not remove a condition of type \"{kind}\""));
        } else if !is_approval && has(new, kind) && !has(old, kind) {
            findings.forbidden(field, &format!("updates may not add a condition of type \"{kind}\""));
        }
    }
    let conditions = list(new, "/status/conditions");
    for (index, condition) in conditions.iter().enumerate() {
        let (kind, status) = (text(condition, "/type"), text(condition, "/status"));
        if kind.is_empty() {
            findings.required(&format!("{field}[{index}].type"), "");
        }
        match (status, VERDICTS.contains(&kind) || kind == "Failed") {
            ("", _) => findings.required(&format!("{field}[{index}].status"), ""),
            ("True", _) | ("False" | "Unknown", false) => {}
            (_, true) => findings.not_supported(&format!("{field}[{index}].status"), status, &["True"]),
            (_, false) => {
                let supported = ["False", "True", "Unknown"];
                findings.not_supported(&format!("{field}[{index}].status"), status, &supported);
            }
        }
    }
    if VERDICTS.iter().all(|kind| has(new, kind)) {
        let last = conditions.iter().rposition(|condition| VERDICTS.contains(&text(condition, "/type")));
        let last = last.unwrap_or_default();
        let why = "Approved and Denied conditions are mutually exclusive";
        findings.invalid(&format!("{field}[{last}].type"), &conditions[last]["type"], why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_pem_of_a_sequence() {
        let wrap = |label: &str, der: &[u8]| {
            let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der));
            STANDARD.encode(pem)
        };
        assert_eq!(parse_request(&wrap("CERTIFICATE REQUEST", &[0x30, 3, 2, 1, 0])), Ok(()));
        assert_eq!(parse_request(&wrap("CERTIFICATE REQUEST", &[0x30, 0x81, 3, 2, 1, 0])), Ok(()));
        for bad in [&[][..], &[0x30], &[0x30, 4, 2, 1, 0], &[0x31, 3, 2, 1, 0], &[0x30, 0xff, 1]] {
            assert!(parse_request(&wrap("CERTIFICATE REQUEST", bad)).is_err(), "{bad:?}");
        }
        assert!(parse_request(&wrap("CERTIFICATE", &[0x30, 0])).is_err());
        assert!(parse_request("%").is_err());
    }
}
