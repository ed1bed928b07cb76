//! Items that stand twice in lists of type set or map.
//!
//! Source: apiextensions `pkg/apiserver/schema/listtype/validation.go`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::problem::Problem;
use crate::schema::{ListType, Schema};

/// Every item that repeats one before it, once.
pub fn duplicates(schema: &Schema, object: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(schema, object, "", &mut problems);
    problems
}

fn walk(schema: &Schema, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(map) => {
            for (name, below) in map {
                if let Some(field) = schema.properties.get(name) {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    walk(field, below, &path, problems);
                } else if let Some(field) = schema.field(name) {
                    walk(field, below, &format!("{path}[{name}]"), problems);
                }
            }
        }
        Value::Array(items) => {
            match &schema.list {
                ListType::Atomic => {}
                ListType::Set => repeated(items.iter().cloned(), path, problems),
                ListType::Map(keys) => {
                    if let Some(at) = items.iter().position(|item| !item.is_object() && !item.is_null()) {
                        let why = "must be an object for an array of list-type map";
                        problems.push(Problem::invalid(&format!("{path}[{at}]"), &items[at], why));
                    } else {
                        repeated(items.iter().map(|item| key_of(item, keys)), path, problems);
                    }
                }
            }
            if let Some(schema) = schema.items.as_deref() {
                for (index, item) in items.iter().enumerate() {
                    walk(schema, item, &format!("{path}[{index}]"), problems);
                }
            }
        }
        _ => {}
    }
}

fn key_of(item: &Value, keys: &[String]) -> Value {
    let field = |key: &String| item.get(key).map(|value| (key.clone(), value.clone()));
    Value::Object(keys.iter().filter_map(field).collect::<Map<_, _>>())
}

fn repeated(items: impl Iterator<Item = Value>, path: &str, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (index, item) in items.enumerate() {
        let count = seen.entry(item.to_string()).or_default();
        *count += 1;
        if *count == 2 {
            problems.push(Problem::duplicate(&format!("{path}[{index}]"), &item));
        }
    }
}
