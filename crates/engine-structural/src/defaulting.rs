//! Fills in defaults and drops nulls where null is no value.
//!
//! Source: apiextensions `pkg/apiserver/schema/defaulting/algorithm.go` and `prunenulls.go`.

use serde_json::Value;

use crate::schema::{Additional, Schema};

/// Fills in the defaults of absent fields, and of nulls where null is no value.
pub fn default(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(map) => {
            for (name, field) in &schema.properties {
                let Some(wanted) = &field.default else { continue };
                let is_absent = map.get(name).is_none_or(|found| found.is_null() && !field.nullable);
                if is_absent {
                    map.insert(name.clone(), wanted.clone());
                }
            }
            for (name, below) in map.iter_mut() {
                let Some(field) = schema.field(name) else { continue };
                if let (true, false, Some(wanted)) = (below.is_null(), field.nullable, &field.default) {
                    *below = wanted.clone();
                }
                default(below, field);
            }
        }
        Value::Array(items) => {
            let Some(schema) = schema.items.as_deref() else { return };
            for item in items {
                if let (true, false, Some(wanted)) = (item.is_null(), schema.nullable, &schema.default) {
                    *item = wanted.clone();
                }
                default(item, schema);
            }
        }
        _ => {}
    }
}

/// Drops fields that are null where null is no value and no default was there to take its place.
pub fn drop_nulls(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(map) => {
            map.retain(|name, below| match schema.properties.get(name) {
                Some(field) => !(below.is_null() && !field.nullable && field.default.is_none()),
                None => match &schema.additional {
                    Additional::Schema(field) => {
                        !(below.is_null() && !field.nullable && field.default.is_none())
                    }
                    _ => true,
                },
            });
            for (name, below) in map.iter_mut() {
                if let Some(field) = schema.field(name) {
                    drop_nulls(below, field);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.items.as_deref() {
                items.iter_mut().for_each(|item| drop_nulls(item, schema));
            }
        }
        _ => {}
    }
}
