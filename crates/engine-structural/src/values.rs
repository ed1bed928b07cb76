//! JSON → values of rules, and schemas → types of rules.
//!
//! Source: apiserver `pkg/cel/common/values.go` and `schemas.go`. Properties carry their escaped names; a property
//! that no identifier can name is not there.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use engine_cel::{Key, List, ListKind, Map, Type, Value, escape_name};
use serde_json::Value as Json;

use crate::schema::{Additional, ListType, Schema, ValueType};

/// What rules may read of every object: its name, and what it is.
fn meta_schemas() -> [(&'static str, Schema); 3] {
    let text = || Schema { ty: Some(ValueType::String), ..Schema::default() };
    let names = [("name".to_owned(), text()), ("generateName".to_owned(), text())];
    let metadata = Schema { ty: Some(ValueType::Object), properties: names.into(), ..Schema::default() };
    [("apiVersion", text()), ("kind", text()), ("metadata", metadata)]
}

/// The schema of an object with the fields of every object (upstream: `WithTypeAndObjectMeta`).
pub(crate) fn with_meta(schema: &Schema) -> Schema {
    let mut schema = schema.clone();
    for (name, meta) in meta_schemas() {
        schema.properties.insert(name.to_owned(), meta);
    }
    schema
}

/// A value as rules see it.
pub(crate) fn value(json: &Json, schema: &Schema) -> Value {
    match (json, schema.ty) {
        (Json::Number(number), Some(ValueType::Number)) => Value::Double(number.as_f64().unwrap_or_default()),
        #[expect(clippy::cast_possible_truncation, reason = "only whole numbers pass for integers")]
        (Json::Number(number), Some(ValueType::Integer)) => match number.as_i64() {
            Some(int) => Value::Int(int),
            None => Value::Int(number.as_f64().unwrap_or_default() as i64),
        },
        (Json::String(text), _) => text_value(text, &schema.format),
        (Json::Array(items), _) => {
            let item = |item| match schema.items.as_deref() {
                Some(schema) => value(item, schema),
                None => Value::from_json(item),
            };
            let kind = match &schema.list {
                ListType::Atomic => ListKind::Atomic,
                ListType::Set => ListKind::Set,
                ListType::Map(keys) => {
                    ListKind::Map(keys.iter().filter_map(|key| escape_name(key)).collect())
                }
            };
            Value::List(Arc::new(List { items: items.iter().map(item).collect(), kind }))
        }
        (Json::Object(map), _) => {
            let entry = |(name, json): (&String, &Json)| match &schema.additional {
                Additional::Schema(field) => Some((Key::string(name), value(json, field))),
                Additional::Any => Some((Key::string(name), Value::from_json(json))),
                Additional::None if schema.embedded => {
                    let meta = meta_schemas();
                    let meta = meta.iter().find(|(meta, _)| meta == name).map(|(_, schema)| schema);
                    let field = schema.properties.get(name).or(meta)?;
                    Some((Key::string(&escape_name(name)?), value(json, field)))
                }
                Additional::None => {
                    Some((Key::string(&escape_name(name)?), value(json, schema.properties.get(name)?)))
                }
            };
            Value::Map(Arc::new(Map { entries: map.iter().filter_map(entry).collect() }))
        }
        _ => Value::from_json(json),
    }
}

/// Formats that have a type of their own.
fn text_value(text: &str, format: &str) -> Value {
    let parsed = match format {
        "byte" => base64::engine::general_purpose::STANDARD
            .decode(text)
            .ok()
            .map(|bytes| Value::Bytes(bytes.into())),
        "date-time" => {
            text.parse::<jiff::Timestamp>().ok().map(|time| Value::Timestamp(time.as_nanosecond()))
        }
        "date" => format!("{text}T00:00:00Z")
            .parse::<jiff::Timestamp>()
            .ok()
            .map(|time| Value::Timestamp(time.as_nanosecond())),
        "duration" => {
            let call = engine_cel::parse("duration(self)").ok();
            let mut budget = engine_cel::Budget::new(1000);
            call.and_then(|call| {
                engine_cel::evaluate(&call, &[("self", Value::string(text))], &mut budget).ok()
            })
        }
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::string(text))
}

/// The type of a schema's values; `None` when rules cannot name them.
pub(crate) fn declared(schema: &Schema) -> Option<Type> {
    if schema.int_or_string {
        return Some(Type::Dyn);
    }
    Some(match schema.ty? {
        ValueType::Boolean => Type::Bool,
        ValueType::Integer => Type::Int,
        ValueType::Number => Type::Double,
        ValueType::String => match schema.format.as_str() {
            "byte" => Type::Bytes,
            "date" | "date-time" => Type::Timestamp,
            "duration" => Type::Duration,
            _ => Type::String,
        },
        ValueType::Array => Type::List(Arc::new(declared(schema.items.as_deref()?)?)),
        ValueType::Object => match &schema.additional {
            Additional::Schema(field) => Type::Map(Arc::new(Type::String), Arc::new(declared(field)?)),
            Additional::Any => Type::Map(Arc::new(Type::String), Arc::new(Type::Dyn)),
            Additional::None => {
                let with_meta = schema.embedded.then(|| self::with_meta(schema));
                let properties = &with_meta.as_ref().unwrap_or(schema).properties;
                let fields = properties
                    .iter()
                    .filter_map(|(name, field)| Some((escape_name(name)?, declared(field)?)));
                Type::Object(Arc::new(fields.collect::<BTreeMap<_, _>>()))
            }
        },
    })
}
