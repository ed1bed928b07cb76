//! Annotations of ingress-nginx: those that are honoured, and what becomes of the others.

use model::Ingress;
use types::ObjectRef;

use crate::findings::{Findings, error};

/// Prefix of the annotations.
const PREFIX: &str = "nginx.ingress.kubernetes.io/";
const HONOURED: [&str; 4] = ["rewrite-target", "use-regex", "ssl-redirect", "force-ssl-redirect"];

/// Annotations that keep clients out. An Ingress that has one answers 503 until it is honoured: serving it without
/// would open what its author closed.
const RESTRICTING: [&str; 13] = [
    "allowlist-source-range",
    "whitelist-source-range",
    "denylist-source-range",
    "auth-type",
    "auth-secret",
    "auth-url",
    "auth-tls-secret",
    "auth-tls-verify-client",
    "auth-tls-match-cn",
    "auth-snippet",
    "enable-global-auth",
    "configuration-snippet",
    "server-snippet",
];

/// What the annotations of one Ingress say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Annotations {
    /// `rewrite-target`.
    pub(super) rewrite_target: Option<String>,
    /// `use-regex`.
    pub(super) use_regex: bool,
    /// `ssl-redirect`; true unless it says otherwise.
    pub(super) ssl_redirect: bool,
    /// `force-ssl-redirect`.
    pub(super) force_ssl_redirect: bool,
    /// The Ingress is only the canary of another one, which takes all traffic while canaries are not served.
    pub(super) canary: bool,
    /// Why every path of the Ingress answers 503.
    pub(super) closed: Option<String>,
}

/// Reads the annotations and reports those that are not honoured.
pub(super) fn read(ingress: &Ingress, findings: &mut Findings) -> Annotations {
    let value = |key: &str| ingress.nginx_annotations.get(key).map(|value| value.trim());
    for (key, value) in &ingress.nginx_annotations {
        if HONOURED.contains(&key.as_str()) || is_default(key, value) {
            continue;
        }
        let message = match RESTRICTING.contains(&key.as_str()) {
            true => {
                "the annotation is not honoured; as it may keep clients out, every path of the Ingress \
                     answers 503"
            }
            false => "the annotation is not honoured",
        };
        findings.insert(error(object(ingress), field(key), "AnnotationNotHonoured", message));
    }
    let mut restricting = RESTRICTING
        .iter()
        .filter(|key| ingress.nginx_annotations.get(**key).is_some_and(|value| !is_default(key, value)));
    let closed = restricting
        .next()
        .map(|key| format!("annotation {} of Ingress {} is not honoured", field_key(key), ingress.name));
    Annotations {
        rewrite_target: value("rewrite-target").filter(|target| !target.is_empty()).map(str::to_owned),
        use_regex: read_bool(ingress, "use-regex", findings).unwrap_or(false),
        ssl_redirect: read_bool(ingress, "ssl-redirect", findings).unwrap_or(true),
        force_ssl_redirect: read_bool(ingress, "force-ssl-redirect", findings).unwrap_or(false),
        canary: value("canary").and_then(parse_bool) == Some(true),
        closed,
    }
}

/// Values that ask for what happens anyway.
fn is_default(key: &str, value: &str) -> bool {
    match key {
        "backend-protocol" => value.trim().eq_ignore_ascii_case("HTTP"),
        "ssl-passthrough" | "canary" | "enable-cors" | "enable-modsecurity" => {
            parse_bool(value) == Some(false)
        }
        "enable-global-auth" => true,
        _ => false,
    }
}

/// As ingress-nginx: Go's `strconv.ParseBool`; anything else is as if not given, and reported.
fn read_bool(ingress: &Ingress, key: &str, findings: &mut Findings) -> Option<bool> {
    let text = ingress.nginx_annotations.get(key)?;
    let parsed = parse_bool(text);
    if parsed.is_none() {
        let message = format!("`{text}` is neither true nor false");
        findings.insert(error(object(ingress), field(key), "AnnotationInvalid", message));
    }
    parsed
}

fn parse_bool(text: &str) -> Option<bool> {
    match text.trim() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn object(ingress: &Ingress) -> ObjectRef {
    ObjectRef::namespaced("Ingress", &ingress.name)
}

fn field_key(key: &str) -> String {
    format!("{PREFIX}{key}")
}

fn field(key: &str) -> String {
    format!("metadata.annotations[{PREFIX}{key}]")
}
