//! What a definition is refused for.
//!
//! Source: apiextensions `pkg/apis/apiextensions/validation/validation.go`. Refused beyond upstream: conversion by
//! webhook, which is not served here.

use std::collections::BTreeSet;

use engine_kinds::object::{list, text};
use engine_kinds::{Cause, Findings, NameRule, name_problems};
use engine_structural::{Problem, Schema, check_structure, compile_rules};
use serde_json::{Value, json};

use crate::annotations::{APPROVED, Approval, approval, is_protected};
use crate::definition::pointer;
use crate::status::is_established;

/// Types of printer columns.
const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
/// Formats of printer columns.
const COLUMN_FORMATS: &[&str] =
    &["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
/// Most selectable fields (upstream: `MaxSelectableFields`).
const MAX_SELECTABLE: usize = 8;

/// Checks a definition, and a change of it.
pub(crate) fn definition(new: &Value, old: Option<&Value>, findings: &mut Findings) {
    let plural_group = format!("{}.{}", text(new, "/spec/names/plural"), text(new, "/spec/group"));
    if text(new, "/metadata/name") != plural_group {
        let why = "must be spec.names.plural+\".\"+spec.group";
        findings.invalid("metadata.name", &json!(text(new, "/metadata/name")), why);
    }
    group(new, findings);
    scope(new, findings);
    names(new, findings);
    versions(new, findings);
    conversion(new, findings);
    approved(new, old, findings);
    if let Some(old) = old {
        change(new, old, findings);
    }
}

fn dns(rule: NameRule, field: &str, value: &str, findings: &mut Findings) {
    let problems = name_problems(rule, value);
    if !problems.is_empty() {
        findings.invalid(field, &json!(value), &problems.join(","));
    }
}

fn group(new: &Value, findings: &mut Findings) {
    let group = text(new, "/spec/group");
    if group.is_empty() {
        findings.required("spec.group", "");
        return;
    }
    dns(NameRule::Subdomain, "spec.group", group, findings);
    if !group.contains('.') {
        findings.invalid("spec.group", &json!(group), "should be a domain with at least one dot");
    }
}

fn scope(new: &Value, findings: &mut Findings) {
    match text(new, "/spec/scope") {
        "Cluster" | "Namespaced" => {}
        "" => findings.required("spec.scope", ""),
        other => findings.not_supported("spec.scope", other, &["Cluster", "Namespaced"]),
    }
}

fn names(new: &Value, findings: &mut Findings) {
    let name = |field: &str| text(new, &format!("/spec/names/{field}")).to_owned();
    for field in ["plural", "singular", "kind", "listKind"] {
        let (at, value) = (format!("spec.names.{field}"), name(field));
        if value.is_empty() {
            findings.required(&at, "");
            continue;
        }
        let is_kind = matches!(field, "kind" | "listKind");
        let label = if is_kind { value.to_lowercase() } else { value.clone() };
        let problems = name_problems(NameRule::Label1035, &label);
        if !problems.is_empty() {
            let lead = if is_kind { "may have mixed case, but should otherwise match: " } else { "" };
            findings.invalid(&at, &json!(value), &format!("{lead}{}", problems.join(",")));
        }
    }
    for (field, at) in [("shortNames", "spec.names.shortNames"), ("categories", "spec.names.categories")] {
        for (index, value) in list(new, &format!("/spec/names/{field}")).iter().enumerate() {
            dns(NameRule::Label1035, &format!("{at}[{index}]"), value.as_str().unwrap_or_default(), findings);
        }
    }
    if !name("kind").is_empty() && name("kind") == name("listKind") {
        let why = "kind and listKind may not be the same";
        findings.invalid("spec.names.listKind", &json!(name("listKind")), why);
    }
}

fn versions(new: &Value, findings: &mut Findings) {
    let versions = list(new, "/spec/versions");
    let shown: Vec<&Value> = versions.iter().map(|version| &version["name"]).collect();
    let unique: BTreeSet<&str> = versions.iter().map(|version| text(version, "/name")).collect();
    if unique.len() < versions.len() {
        findings.invalid("spec.versions", &json!(shown), "must contain unique version names");
    }
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        findings.invalid("spec.versions", &json!(shown), why);
    }
    for (index, version) in versions.iter().enumerate() {
        let at = format!("spec.versions[{index}]");
        dns(NameRule::Label1035, &format!("{at}.name"), text(version, "/name"), findings);
        schema(version, &at, findings);
        columns(version, &at, findings);
        subresources(version, &at, findings);
        selectable(version, &at, findings);
        if version["deprecated"] != true && version["deprecationWarning"].is_string() {
            let why = "can only be set for deprecated versions";
            findings.invalid(&format!("{at}.deprecationWarning"), &version["deprecationWarning"], why);
        }
    }
}

fn found(problems: Vec<Problem>, findings: &mut Findings) {
    for Problem { path, reason, message } in problems {
        findings.found(Cause { reason: reason.text(), message, field: path });
    }
}

fn schema(version: &Value, at: &str, findings: &mut Findings) {
    let at = format!("{at}.schema.openAPIV3Schema");
    let json = &version["schema"]["openAPIV3Schema"];
    if !json.is_object() {
        findings.required(&at, "schemas are required");
        return;
    }
    let problems = check_structure(json, &at);
    let good = problems.is_empty();
    found(problems, findings);
    // Rules of a schema that is wrong would only be wrong again.
    if good {
        found(compile_rules(&mut Schema::parse(json), &at), findings);
    }
}

fn columns(version: &Value, at: &str, findings: &mut Findings) {
    for (index, column) in version["additionalPrinterColumns"].as_array().into_iter().flatten().enumerate() {
        let at = |field: &str| format!("{at}.additionalPrinterColumns[{index}].{field}");
        let field = |name: &str| column[name].as_str().unwrap_or_default();
        if field("name").is_empty() {
            findings.required(&at("name"), "");
        }
        let types = format!("must be one of {}", COLUMN_TYPES.join(","));
        match field("type") {
            "" => findings.required(&at("type"), &types),
            kind if !COLUMN_TYPES.contains(&kind) => findings.invalid(&at("type"), &json!(kind), &types),
            _ => {}
        }
        let format = field("format");
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let why = format!("must be one of {}", COLUMN_FORMATS.join(","));
            findings.invalid(&at("format"), &json!(format), &why);
        }
        match field("jsonPath") {
            "" => findings.required(&at("JSONPath"), ""),
            path => {
                if let Err(error) = engine_structural::JsonPath::parse(path) {
                    findings.invalid(&at("JSONPath"), &json!(path), &error.to_string());
                }
            }
        }
    }
}

fn subresources(version: &Value, at: &str, findings: &mut Findings) {
    let scale = &version["subresources"]["scale"];
    if !scale.is_object() {
        return;
    }
    for (field, roots, is_required) in [
        ("specReplicasPath", &["/spec/"][..], true),
        ("statusReplicasPath", &["/status/"][..], true),
        ("labelSelectorPath", &["/spec/", "/status/"][..], false),
    ] {
        let at = format!("{at}.subresources.scale.{field}");
        let path = scale[field].as_str().unwrap_or_default();
        if path.is_empty() {
            if is_required {
                findings.required(&at, "");
            }
            continue;
        }
        match pointer(path).filter(|_| path.starts_with('.')) {
            None => findings.invalid(&at, &json!(path), "must be a json path in the dot notation"),
            Some(found) if !roots.iter().any(|root| found.starts_with(root)) => {
                let place = match field {
                    "specReplicasPath" => "should be a json path under .spec",
                    "statusReplicasPath" => "should be a json path under .status",
                    _ => "should be a json path under either .spec or .status",
                };
                findings.invalid(&at, &json!(path), place);
            }
            Some(_) => {}
        }
    }
}

fn selectable(version: &Value, at: &str, findings: &mut Findings) {
    let fields = version["selectableFields"].as_array().map_or(&[][..], Vec::as_slice);
    let mut seen = BTreeSet::new();
    for (index, field) in fields.iter().enumerate() {
        let at = format!("{at}.selectableFields[{index}].jsonPath");
        let path = field["jsonPath"].as_str().unwrap_or_default();
        let Some(pointer) = pointer(path).filter(|_| path.starts_with('.')) else {
            if path.is_empty() {
                findings.required(&at, "");
            } else {
                findings.invalid(&at, &json!(path), "is an invalid path: expected [ or .");
            }
            continue;
        };
        if pointer.starts_with("/metadata") {
            findings.invalid(&at, &json!(path), "must not point to fields in metadata");
            continue;
        }
        let steps = pointer.split('/').skip(1);
        let schema =
            steps.fold(&version["schema"]["openAPIV3Schema"], |schema, step| &schema["properties"][step]);
        if schema.is_null() {
            findings.invalid(&at, &json!(path), "is an invalid path: does not refer to a valid field");
        } else if !matches!(schema["type"].as_str(), Some("string" | "boolean" | "integer")) {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            findings.invalid(&at, &json!(path), why);
        }
        if !seen.insert(path) {
            findings.duplicate(&at, &json!(path));
        }
    }
    if fields.len() > MAX_SELECTABLE {
        findings.too_many(&format!("{at}.selectableFields"), fields.len(), MAX_SELECTABLE);
    }
}

fn conversion(new: &Value, findings: &mut Findings) {
    match text(new, "/spec/conversion/strategy") {
        "None" => {
            if new["spec"]["conversion"]["webhook"].is_object() {
                let why = "should not be set when strategy is not set to Webhook";
                findings.forbidden("spec.conversion.webhookClientConfig", why);
            }
        }
        "" => findings.required("spec.conversion.strategy", ""),
        // Objects of such a kind could be written and not be read back in another version.
        other => findings.not_supported("spec.conversion.strategy", other, &["None"]),
    }
    if new["spec"]["preserveUnknownFields"] == true {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        findings.invalid("spec.preserveUnknownFields", &json!(true), why);
    }
}

fn approved(new: &Value, old: Option<&Value>, findings: &mut Findings) {
    if !is_protected(text(new, "/spec/group")) || old.is_some() {
        return;
    }
    let at = format!("metadata.annotations[{APPROVED}]");
    match approval(new) {
        Approval::Approved(_) | Approval::Bypassed(_) => {}
        Approval::Missing => {
            let why = format!(
                "protected groups must have approval annotation {APPROVED:?}, see https://github.com/kubernetes/enhancements/pull/1111"
            );
            findings.required(&at, &why);
        }
        Approval::Invalid(value) => {
            let why = format!(
                "protected groups must have approval annotation {APPROVED:?} with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111"
            );
            findings.invalid(&at, &json!(value), &why);
        }
    }
}

/// What an update may not change, and what it may not forget.
fn change(new: &Value, old: &Value, findings: &mut Findings) {
    let always = ["/spec/group", "/spec/names/plural"];
    let established = ["/spec/scope", "/spec/names/kind"];
    let fields = always.iter().chain(established.iter().filter(|_| is_established(old)));
    for pointer in fields {
        let at = pointer.trim_start_matches('/').replace('/', ".");
        findings.immutable(&at, old.pointer(pointer), new.pointer(pointer));
    }
    let versions: Vec<&str> =
        list(new, "/spec/versions").iter().map(|version| text(version, "/name")).collect();
    for (index, stored) in list(old, "/status/storedVersions").iter().enumerate() {
        let name = stored.as_str().unwrap_or_default();
        if !versions.contains(&name) {
            let why = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            findings.invalid(&format!("status.storedVersions[{index}]"), stored, &why);
        }
    }
}
