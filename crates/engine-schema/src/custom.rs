//! The types of custom kinds, read from the schemas of their definitions.
//!
//! Only what merges and field sets need: `x-kubernetes-list-type`, `-list-map-keys` and `-map-type`. What is unknown
//! is one value, owned as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::tree::{Field, Scalar, Strategy, Struct, StructId, Type, parse_list_rule, type_of};

/// Schema of `metadata`, which a definition does not specify.
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The type of a kind's objects, from the schema of its definition.
pub fn custom_type(kind: &str, schema: &Value) -> Type {
    let mut fields = fields_of(schema);
    for name in ["apiVersion", "kind"] {
        fields.insert(name.to_owned(), field(Type::Scalar(Scalar::String)));
    }
    fields.insert("metadata".to_owned(), field(type_of(OBJECT_META)));
    Type::Struct { id: StructId::Custom(Arc::new(Struct { name: kind.to_owned(), fields })), atomic: false }
}

fn field(ty: Type) -> Field {
    Field { ty, required: false, pointer: true, value: false, patch: Strategy::default() }
}

fn fields_of(schema: &Value) -> BTreeMap<String, Field> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties.map(|(name, schema)| (name.clone(), field(type_in(schema)))).collect()
}

fn type_in(schema: &Value) -> Type {
    let atomic = schema["x-kubernetes-map-type"] == "atomic";
    if schema["x-kubernetes-int-or-string"] == true {
        return Type::Scalar(Scalar::IntOrString);
    }
    match schema["type"].as_str() {
        Some("object") if schema["x-kubernetes-embedded-resource"] == true => embedded(schema, atomic),
        Some("object") if schema["properties"].is_object() => {
            let fields = fields_of(schema);
            let custom = Struct { name: "object".to_owned(), fields };
            Type::Struct { id: StructId::Custom(Arc::new(custom)), atomic }
        }
        Some("object") => match schema.get("additionalProperties").filter(|items| items.is_object()) {
            Some(items) => Type::Map { item: Box::new(type_in(items)), atomic },
            // Free fields are granular, each owned as a whole (structured-merge-diff: `deduced` types).
            None => Type::Map { item: Box::new(Type::Any), atomic },
        },
        Some("array") => {
            let items = &schema["items"];
            let default = |key: &str| items["properties"][key].get("default").cloned();
            Type::List { item: Box::new(type_in(items)), rule: parse_list_rule(schema, default) }
        }
        Some("string") => Type::Scalar(Scalar::String),
        Some("integer") => Type::Scalar(Scalar::Int64),
        Some("number") => Type::Scalar(Scalar::Number),
        Some("boolean") => Type::Scalar(Scalar::Boolean),
        _ => Type::Any,
    }
}

/// A whole object inside an object.
fn embedded(schema: &Value, atomic: bool) -> Type {
    match custom_type("object", schema) {
        Type::Struct { id, .. } => Type::Struct { id, atomic },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FieldSet, compare};
    use serde_json::json;

    #[test]
    fn lists_and_maps_of_a_definition() {
        let ty = custom_type(
            "Fleet",
            &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
                "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port"],
                    "items": {"type": "object", "properties": {"port": {"type": "integer"}, "name": {"type": "string"}}}},
                "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "plain": {"type": "array", "items": {"type": "string"}},
                "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {"type": "string"}}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            }}}}),
        );
        let object = json!({"metadata": {"labels": {"x": "y"}}, "spec": {"ports": [{"port": 1, "name": "a"}],
            "tags": ["t"], "plain": ["p"], "whole": {"a": "b"}, "labels": {"k": "v"}}});
        assert_eq!(
            FieldSet::of(&object, &ty).paths(),
            [
                ".metadata.labels.x",
                ".spec.plain",
                ".spec.whole",
                ".spec.labels.k",
                ".spec.ports[port=1]",
                ".spec.ports[port=1].name",
                ".spec.ports[port=1].port",
                ".spec.tags[=\"t\"]",
            ]
        );
        let mut changed = object.clone();
        changed["spec"]["ports"][0]["name"] = json!("b");
        assert_eq!(compare(Some(&object), Some(&changed), &ty).changed.paths(), [".spec.ports[port=1].name"]);
    }

    #[test]
    fn a_key_that_is_left_out_has_its_default() {
        let ty = custom_type(
            "Fleet",
            &json!({"type": "object", "properties": {"ports": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "side", "protocol"],
                "items": {"type": "object", "properties": {
                    "port": {"type": "integer"}, "side": {"type": "string", "default": "left"}, "protocol": {"type": "string"},
                }},
            }}}),
        );
        let object = json!({"ports": [{"port": 1}]});
        assert_eq!(FieldSet::of(&object, &ty).paths()[0], ".ports[port=1,side=\"left\"]");
    }
}
