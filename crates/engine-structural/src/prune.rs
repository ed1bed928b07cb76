//! Drops fields that a schema does not know, and tells their paths.
//!
//! Source: apiextensions `pkg/apiserver/schema/pruning/algorithm.go`.

use serde_json::Value;

use crate::schema::{Additional, Schema};

/// Fields of every object, known without being specified.
const META: &[&str] = &["apiVersion", "kind", "metadata"];

/// Drops what the schema of an object's kind does not know; answers the paths, such as `spec.ports[0].foo`.
pub fn prune(object: &mut Value, schema: &Schema) -> Vec<String> {
    let mut unknown = Vec::new();
    walk(object, Some(schema), true, "", &mut unknown);
    unknown
}

fn walk(value: &mut Value, schema: Option<&Schema>, is_root: bool, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.retain(|key, value| {
            let below = child(path, key);
            let Some(schema) = schema else {
                unknown.push(below);
                return false;
            };
            if (schema.embedded || is_root) && META.contains(&key.as_str()) {
                return true;
            }
            match (schema.properties.get(key), &schema.additional) {
                (Some(field), _) => walk(value, Some(field), false, &below, unknown),
                (None, Additional::Schema(field)) => walk(value, Some(field), false, &below, unknown),
                (None, Additional::Any) => walk(value, None, false, &below, unknown),
                (None, Additional::None) if schema.preserve => {}
                (None, Additional::None) => {
                    unknown.push(below);
                    return false;
                }
            }
            true
        }),
        Value::Array(items) => {
            let is_kept = schema.is_some_and(|schema| schema.preserve && schema.items.is_none());
            for (index, item) in items.iter_mut().enumerate() {
                if !is_kept {
                    let items = schema.and_then(|schema| schema.items.as_deref());
                    walk(item, items, false, &format!("{path}[{index}]"), unknown);
                }
            }
        }
        _ => {}
    }
}

fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
