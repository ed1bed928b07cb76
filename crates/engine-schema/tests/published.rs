//! Our schemas against those that Kubernetes publishes, as a package of another registry carries them.
//!
//! `cargo xtask clients` fetches the file; without it the test is skipped.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that reads a file")]

use std::collections::BTreeSet;

use sealane_engine_schema::documents;
use serde_json::{Map, Value};

const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/schemas-1.34.json");

/// What clients and our own engine read of a place in a schema.
const MEANINGS: &[&str] = &[
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-patch-merge-key",
    "x-kubernetes-patch-strategy",
];

/// Names of the schemas that are written otherwise on purpose: scalars with a form of their own, and free JSON.
const OTHERWISE: &[&str] =
    &["Quantity", "IntOrString", "Time", "MicroTime", "FieldsV1", "RawExtension", "JSON"];

/// Differences that stay: the Rust types our schemas are made of let these fields be absent, as the API does.
const KNOWN: &[&str] = &["io.k8s.api.core.v1.Event required", "io.k8s.api.events.v1.Event required"];

/// What a place says of merging; what is the default anyway is the same as nothing.
fn meaning(schema: &Value, key: &str) -> String {
    let found = schema.get(key).cloned().unwrap_or_default();
    let is_default = key == "x-kubernetes-list-type" && found == "atomic"
        || key == "x-kubernetes-map-type" && found == "granular";
    if is_default { "null".to_owned() } else { found.to_string() }
}

/// The type of a place: a reference's last part, or a word.
fn type_of(schema: &Value) -> String {
    let reference = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref")).and_then(Value::as_str);
    if let Some(name) = reference.and_then(|reference| reference.rsplit('.').next()) {
        return name.to_owned();
    }
    if schema.get("x-kubernetes-int-or-string").is_some() || schema.get("oneOf").is_some() {
        return "IntOrString".to_owned();
    }
    let word = match schema.get("type") {
        Some(Value::Array(words)) => words[0].as_str(),
        word => word.and_then(Value::as_str),
    };
    match (word.unwrap_or("any"), schema.get("items"), schema.get("additionalProperties")) {
        ("array", Some(items), _) => format!("[{}]", type_of(items)),
        ("object", _, Some(items)) if items.is_object() => format!("{{{}}}", type_of(items)),
        (word, ..) => word.to_owned(),
    }
}

/// Whether two types say the same.
fn same_type(ours: &str, published: &str) -> bool {
    let plain = |name: &str| {
        let inner = name.trim_matches(['[', ']', '{', '}']);
        if OTHERWISE.contains(&inner) || inner == "string" || inner == "object" || inner == "any" {
            name.replace(inner, "free")
        } else {
            name.to_owned()
        }
    };
    ours == published || plain(ours) == plain(published)
}

fn words(schema: &Value, key: &str) -> BTreeSet<String> {
    let list = schema.get(key).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

fn properties(schema: &Value) -> Map<String, Value> {
    schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Where one schema differs from the published one.
fn differences(name: &str, ours: &Value, published: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut tell = |place: String, ours: String, published: String| {
        found.push(format!("{name}{place}: {ours} instead of {published}"));
    };
    for key in MEANINGS {
        let (is, should) = (meaning(ours, key), meaning(published, key));
        if is != should {
            tell(format!(" {key}"), is, should);
        }
    }
    let (own, theirs) = (properties(ours), properties(published));
    for field in own.keys().chain(theirs.keys().filter(|field| !own.contains_key(*field))) {
        let (Some(ours), Some(published)) = (own.get(field), theirs.get(field)) else {
            let text = |there: bool| if there { "there" } else { "missing" }.to_owned();
            tell(format!(".{field}"), text(own.contains_key(field)), text(theirs.contains_key(field)));
            continue;
        };
        let (is, should) = (type_of(ours), type_of(published));
        if !same_type(&is, &should) {
            tell(format!(".{field}"), is, should);
        }
        for key in MEANINGS {
            let (is, should) = (meaning(ours, key), meaning(published, key));
            if is != should {
                tell(format!(".{field} {key}"), is, should);
            }
        }
    }
    let (is, should) = (words(ours, "required"), words(published, "required"));
    if is != should {
        tell(" required".to_owned(), format!("{is:?}"), format!("{should:?}"));
    }
    found
}

#[test]
fn schemas_are_as_published() {
    let Ok(text) = std::fs::read_to_string(PUBLISHED) else {
        let reason = std::fs::read_to_string(format!("{PUBLISHED}.missing"));
        let reason = reason.unwrap_or_else(|_| "`cargo xtask clients` has not fetched them".to_owned());
        println!("sealane-skip: schemas_are_as_published: no published schemas: {}", reason.trim());
        return;
    };
    let published: Value = serde_json::from_str(&text).unwrap();
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for (name, ours) in documents() {
        let last = name.rsplit('.').next().unwrap();
        let Some(published) = published["$defs"].get(name).filter(|_| !OTHERWISE.contains(&last)) else {
            continue;
        };
        compared += 1;
        wrong.extend(differences(name, ours, published));
    }
    wrong.retain(|difference| !KNOWN.iter().any(|known| difference.starts_with(known)));
    assert!(compared > 300, "only {compared} schemas were found on both sides");
    assert!(wrong.is_empty(), "{} differences in {compared} schemas:\n{}", wrong.len(), wrong.join("\n"));
}
