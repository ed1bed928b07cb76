//! `OpenAPI` v3 documents, as far as clients read them: schemas, and one item path per kind.

use std::collections::{BTreeMap, BTreeSet};

use engine_schema::KUBERNETES_VERSION;
use serde_json::{Map, Value, json};

use crate::store::Store;
use engine_kinds::{Form, Kind, SCALE_SCHEMA};

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
        let paths: BTreeSet<String> = self.kinds().iter().map(|kind| path_of(kind)).collect();
        paths.into_iter().collect()
    }

    /// The document of a group-version as [`Store::openapi_root`] names it.
    #[must_use]
    pub fn openapi_v3(&self, group_version: &str) -> Option<Value> {
        let kinds: Vec<&Kind> =
            self.kinds().iter().map(|kind| &**kind).filter(|kind| path_of(kind) == group_version).collect();
        if kinds.is_empty() {
            return None;
        }
        let mut paths = Map::new();
        let mut names = BTreeSet::new();
        for kind in &kinds {
            names.insert(kind.schema());
            paths.extend(kind_paths(kind, group_version));
            for subresource in &*kind.subresources {
                names.insert(kind.spoken_schema(subresource.name));
            }
        }
        Some(json!({
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
            "paths": paths,
            "components": {"schemas": self.reachable(&names)},
        }))
    }

    /// The named schemas and all they refer to.
    fn reachable(&self, names: &BTreeSet<String>) -> Map<String, Value> {
        let documents = engine_schema::documents();
        let mut found = self.custom_schemas(names);
        let mut due: Vec<String> = names.iter().cloned().collect();
        found.values().for_each(|document| collect_references(document, &mut due));
        while let Some(name) = due.pop() {
            if found.contains_key(&name) {
                continue;
            }
            let Some(document) = documents.get(&name) else { continue };
            found.insert(name, document.clone());
            collect_references(document, &mut due);
        }
        for (name, schema) in &mut found {
            let kinds = self.kinds_of(name);
            if !kinds.is_empty() {
                schema["x-kubernetes-group-version-kind"] = kinds.into();
            }
        }
        found
    }

    /// The schemas among those named that definitions brought.
    fn custom_schemas(&self, names: &BTreeSet<String>) -> Map<String, Value> {
        let custom = self.kinds().iter().filter_map(|kind| match &kind.form {
            Form::Custom(form) if names.contains(&kind.schema()) => Some((kind.schema(), form.document())),
            _ => None,
        });
        custom.collect()
    }

    /// The group-version-kinds of a schema, by which clients find the schema of a kind.
    fn kinds_of(&self, schema: &str) -> Vec<Value> {
        let spoken = [
            (SCALE_SCHEMA, "autoscaling", "v1", "Scale"),
            ("io.k8s.api.core.v1.Binding", "", "v1", "Binding"),
            ("io.k8s.api.policy.v1.Eviction", "policy", "v1", "Eviction"),
        ];
        let of_kinds = self.kinds().iter().filter(|kind| kind.schema() == schema);
        let rows = of_kinds.map(|kind| (&*kind.group, &*kind.version, &*kind.kind));
        let spoken = spoken.into_iter().filter(|(name, ..)| *name == schema);
        rows.chain(spoken.map(|(_, group, version, kind)| (group, version, kind)))
            .map(|(group, version, kind)| json!({"group": group, "version": version, "kind": kind}))
            .collect()
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
    let schema = kind.schema();
    let mut paths = vec![
        (
            collection,
            json!({
                "get": operation(kind, "list", &schema),
                "post": with_body(operation(kind, "post", &schema), &schema),
            }),
        ),
        (item.clone(), item_path(kind, &schema)),
    ];
    for name in ["status", "scale"] {
        if kind.subresource(name).is_some() {
            paths.push((format!("{item}/{name}"), item_path(kind, &kind.spoken_schema(name))));
        }
    }
    paths
}

fn item_path(kind: &Kind, schema: &str) -> Value {
    let mut patch = operation(kind, "patch", schema);
    let body: BTreeMap<&str, Value> = PATCHES
        .iter()
        .filter(|media| !(kind.is_custom() && media.contains("strategic")))
        .map(|media| (*media, json!({"schema": {"type": "object"}})))
        .collect();
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

fn collect_references(value: &Value, due: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                due.extend(reference.strip_prefix(REFERENCE).map(str::to_owned));
            }
            map.values().for_each(|value| collect_references(value, due));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_references(value, due)),
        _ => {}
    }
}
