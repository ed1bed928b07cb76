//! `OpenAPI` v3 documents, as far as clients read them: schemas, and one item path per kind.

use std::collections::{BTreeMap, BTreeSet};

use engine_schema::KUBERNETES_VERSION;
use serde_json::{Map, Value, json};

use crate::kind::{self, Kind};
use crate::scale;
use crate::store::Store;
use crate::table::spoken_schema;

const REFERENCE: &str = "#/components/schemas/";

/// Media types a PATCH takes.
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

impl Store {
    /// The group-versions that have a document, such as `api/v1` and `apis/apps/v1`.
    #[must_use]
    pub fn openapi_root(&self) -> Vec<String> {
        let paths: BTreeSet<String> = kind::all().iter().map(|kind| path_of(kind)).collect();
        paths.into_iter().collect()
    }

    /// The document of a group-version as [`Store::openapi_root`] names it.
    #[must_use]
    pub fn openapi_v3(&self, group_version: &str) -> Option<Value> {
        let kinds: Vec<&Kind> =
            kind::all().iter().copied().filter(|kind| path_of(kind) == group_version).collect();
        if kinds.is_empty() {
            return None;
        }
        let mut paths = Map::new();
        let mut names = BTreeSet::new();
        for kind in &kinds {
            names.insert(kind.schema);
            paths.extend(kind_paths(kind, group_version));
            for subresource in kind.subresources {
                names.insert(spoken_schema(kind, subresource.name));
            }
        }
        Some(json!({
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
            "paths": paths,
            "components": {"schemas": reachable(names)},
        }))
    }
}

/// `api/v1` or `apis/GROUP/VERSION`.
fn path_of(kind: &Kind) -> String {
    if kind.group.is_empty() {
        format!("api/{}", kind.version)
    } else {
        format!("apis/{}", kind.api_version())
    }
}

/// The collection, item and subresource paths of a kind.
fn kind_paths(kind: &Kind, group_version: &str) -> Vec<(String, Value)> {
    let namespace = if kind.namespaced { "namespaces/{namespace}/" } else { "" };
    let collection = format!("/{group_version}/{namespace}{}", kind.plural);
    let item = format!("{collection}/{{name}}");
    let mut paths = vec![
        (
            collection,
            json!({
                "get": operation(kind, "list", kind.schema),
                "post": with_body(operation(kind, "post", kind.schema), kind.schema),
            }),
        ),
        (item.clone(), item_path(kind, kind.schema)),
    ];
    for name in ["status", "scale"] {
        if kind.subresource(name).is_some() {
            paths.push((format!("{item}/{name}"), item_path(kind, spoken_schema(kind, name))));
        }
    }
    paths
}

fn item_path(kind: &Kind, schema: &str) -> Value {
    let mut patch = operation(kind, "patch", schema);
    let body: BTreeMap<&str, Value> =
        PATCHES.iter().map(|media| (*media, json!({"schema": {"type": "object"}}))).collect();
    patch["requestBody"] = json!({"content": body});
    json!({
        "get": operation(kind, "get", schema),
        "put": with_body(operation(kind, "put", schema), schema),
        "patch": patch,
        "delete": operation(kind, "delete", schema),
    })
}

fn operation(kind: &Kind, action: &str, schema: &str) -> Value {
    let mut parameters = Vec::new();
    if matches!(action, "post" | "put" | "patch") {
        for name in ["dryRun", "fieldManager", "fieldValidation"] {
            parameters.push(
                json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}}),
            );
        }
    }
    if action == "patch" {
        parameters.push(
            json!({"name": "force", "in": "query", "schema": {"type": "boolean", "uniqueItems": true}}),
        );
    }
    json!({
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "parameters": parameters,
        "responses": {"200": {
            "description": "OK",
            "content": {"application/json": {"schema": {"$ref": format!("{REFERENCE}{schema}")}}},
        }},
    })
}

fn with_body(mut operation: Value, schema: &str) -> Value {
    operation["requestBody"] =
        json!({"content": {"application/json": {"schema": {"$ref": format!("{REFERENCE}{schema}")}}}});
    operation
}

/// The named schemas and all they refer to.
fn reachable(names: BTreeSet<&str>) -> Map<String, Value> {
    let documents = engine_schema::documents();
    let mut due: Vec<&str> = names.into_iter().collect();
    let mut found = Map::new();
    while let Some(name) = due.pop() {
        if found.contains_key(name) {
            continue;
        }
        let Some(document) = documents.get(name) else { continue };
        let mut shown = document.clone();
        let kinds = kinds_of(name);
        if !kinds.is_empty() {
            shown["x-kubernetes-group-version-kind"] = kinds.into();
        }
        found.insert(name.to_owned(), shown);
        collect_references(document, &mut due);
    }
    found
}

/// The group-version-kinds of a schema, by which clients find the schema of a kind.
fn kinds_of(schema: &str) -> Vec<Value> {
    let spoken = [
        (scale::SCHEMA, "autoscaling", "v1", "Scale"),
        ("io.k8s.api.core.v1.Binding", "", "v1", "Binding"),
        ("io.k8s.api.policy.v1.Eviction", "policy", "v1", "Eviction"),
    ];
    let rows = kind::all().iter().map(|kind| (kind.schema, kind.group, kind.version, kind.kind));
    rows.chain(spoken)
        .filter(|(name, ..)| *name == schema)
        .map(|(_, group, version, kind)| json!({"group": group, "version": version, "kind": kind}))
        .collect()
}

fn collect_references<'a>(value: &'a Value, due: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                due.extend(reference.strip_prefix(REFERENCE));
            }
            map.values().for_each(|value| collect_references(value, due));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_references(value, due)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine_schema::{Type, type_of};

    #[test]
    fn every_kind_has_a_schema() {
        for kind in kind::all() {
            let Type::Struct { id, .. } = type_of(kind.schema) else {
                panic!("{} is no struct", kind.schema)
            };
            assert!(id.get().fields.contains_key("metadata"), "{}", kind.schema);
        }
    }
}
