//! Whether a schema is structural, and whether its keywords go together: what a definition is refused for.
//!
//! Source: apiextensions `pkg/apiserver/schema/validation.go`, `pkg/apis/apiextensions/validation/validation.go`.
//! Works on the JSON, because what must not be there is not in [`crate::Schema`].

use serde_json::{Map, Value};

use crate::problem::Problem;

/// Types a schema may name.
const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];

/// Keywords nobody supports, with the texts.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("id", "id is not supported"),
    ("additionalItems", "additionalItems is not supported"),
    ("patternProperties", "patternProperties is not supported"),
    ("definitions", "definitions is not supported"),
    ("dependencies", "dependencies is not supported"),
    ("$ref", "$ref is not supported"),
];

/// Keywords that say what a value is, and so may not be in `allOf` and its like.
const NOT_NESTED: &[(&str, &str)] = &[
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
];

/// Reasons a rule may ask for.
const REASONS: &[&str] =
    &["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Everything a schema would be refused for, but for the rules' expressions.
pub fn check_structure(schema: &Value, path: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    if schema["nullable"] == true {
        problems.push(Problem::forbidden(&format!("{path}.nullable"), "nullable cannot be true at the root"));
    }
    structural(schema, Level::Root, path, &mut problems);
    problems
}

fn is_true(schema: &Value, key: &str) -> bool {
    schema[key] == true
}

fn structural(schema: &Value, level: Level, path: &str, problems: &mut Vec<Problem>) {
    types(schema, level, path, problems);
    keywords(schema, path, problems);
    lists(schema, path, problems);
    rules(schema, path, problems);
    extensions(schema, path, problems);
    if level == Level::Root || is_true(schema, "x-kubernetes-embedded-resource") {
        meta(schema, level, path, problems);
    }
    logic(schema, schema, path, problems);
    if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
        structural(items, Level::Item, &format!("{path}.items"), problems);
    }
    for (name, field) in object(schema, "properties") {
        // The metadata of the root is not the schema's to specify.
        if !(level == Level::Root && name == "metadata") {
            structural(field, Level::Field, &format!("{path}.properties[{name}]"), problems);
        }
    }
    if let Some(additional) = schema.get("additionalProperties").filter(|schema| !schema.is_null()) {
        let path = format!("{path}.additionalProperties");
        if level == Level::Root {
            problems.push(Problem::forbidden(&path, "must not be used at the root"));
        }
        if !object(schema, "properties").is_empty() {
            let why = "additionalProperties and properties are mutual exclusive";
            problems.push(Problem::forbidden(&path, why));
        }
        if additional.is_object() {
            structural(additional, Level::Field, &path, problems);
        }
    }
}

fn object<'a>(schema: &'a Value, key: &str) -> &'a Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    schema[key].as_object().unwrap_or(&EMPTY)
}

fn types(schema: &Value, level: Level, path: &str, problems: &mut Vec<Problem>) {
    let ty = schema["type"].as_str().unwrap_or_default();
    let at = format!("{path}.type");
    if ty == "null" {
        let why = "type cannot be set to null, use nullable as an alternative";
        problems.push(Problem::forbidden(&at, why));
    } else if !ty.is_empty() && !TYPES.contains(&ty) {
        let types: Vec<String> = TYPES.iter().map(|ty| (*ty).to_owned()).collect();
        problems.push(Problem::not_supported(&at, &Value::from(ty), &types));
    }
    let is_free = is_true(schema, "x-kubernetes-int-or-string")
        || is_true(schema, "x-kubernetes-preserve-unknown-fields");
    if ty.is_empty() && !is_free && !is_true(schema, "x-kubernetes-embedded-resource") {
        problems.push(Problem::required(
            &at,
            match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            },
        ));
    }
    if level == Level::Root && !ty.is_empty() && ty != "object" {
        problems.push(Problem::invalid(&at, &Value::from(ty), "must be object at the root"));
    }
    if ty == "array" && !schema["items"].is_object() {
        if schema["items"].is_array() {
            let why = "items must be a schema object and not an array";
            problems.push(Problem::forbidden(&format!("{path}.items"), why));
        } else {
            problems.push(Problem::required(&format!("{path}.items"), "must be specified"));
        }
    }
}

fn keywords(schema: &Value, path: &str, problems: &mut Vec<Problem>) {
    for (key, why) in UNSUPPORTED {
        if schema.get(*key).is_some_and(|value| !value.is_null()) {
            problems.push(Problem::forbidden(&format!("{path}.{key}"), why));
        }
    }
    if is_true(schema, "uniqueItems") {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        problems.push(Problem::forbidden(&format!("{path}.uniqueItems"), why));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && let Err(error) =
            regex::RegexBuilder::new(&engine_cel::translate(pattern)).size_limit(4 << 20).build()
    {
        let why = error.to_string().lines().last().unwrap_or_default().to_owned();
        let why = format!("must be a valid regular expression, but isn't: {why}");
        problems.push(Problem::invalid(&format!("{path}.pattern"), &Value::from(pattern), &why));
    }
    default_value(schema, path, problems);
}

/// A default must fit its own schema, without anything unknown.
fn default_value(json: &Value, path: &str, problems: &mut Vec<Problem>) {
    let Some(default) = json.get("default").filter(|default| !default.is_null()) else { return };
    let path = format!("{path}.default");
    let schema = crate::Schema::parse(json);
    let mut pruned = default.clone();
    let wrapper =
        crate::Schema { properties: [("x".to_owned(), schema.clone())].into(), ..crate::Schema::default() };
    let mut object = serde_json::json!({ "x": default });
    if let Some(unknown) = crate::prune(&mut object, &wrapper).first() {
        let field = unknown.trim_start_matches("x.");
        problems.push(Problem::invalid(&path, default, &format!("must not have unknown field {field:?}")));
        return;
    }
    crate::default(&mut pruned, &schema);
    for found in crate::validate(&schema, &pruned, None) {
        let path = if found.path == "<nil>" || found.path.is_empty() {
            path.clone()
        } else {
            format!("{path}.{}", found.path)
        };
        let message = found.message.replacen(":  in body", ": default in body", 1);
        problems.push(Problem { path, message, ..found });
    }
}

fn lists(schema: &Value, path: &str, problems: &mut Vec<Problem>) {
    let ty = schema["type"].as_str().unwrap_or_default();
    let list = &schema["x-kubernetes-list-type"];
    let keys = schema["x-kubernetes-list-map-keys"].as_array().map_or(&[][..], Vec::as_slice);
    let at = |key: &str| format!("{path}.{key}");
    if let Some(map) = schema["x-kubernetes-map-type"].as_str() {
        if ty != "object" {
            problems.push(wrong_type(
                ty,
                &at("type"),
                "must be object if x-kubernetes-map-type is specified",
            ));
        }
        if !matches!(map, "atomic" | "granular") {
            let known = ["atomic".to_owned(), "granular".to_owned()];
            problems.push(Problem::not_supported(&at("x-kubernetes-map-type"), &Value::from(map), &known));
        }
    }
    if let Some(kind) = list.as_str() {
        if ty != "array" {
            problems.push(wrong_type(
                ty,
                &at("type"),
                "must be array if x-kubernetes-list-type is specified",
            ));
        }
        if !matches!(kind, "atomic" | "set" | "map") {
            let known = ["atomic".to_owned(), "set".to_owned(), "map".to_owned()];
            problems.push(Problem::not_supported(&at("x-kubernetes-list-type"), list, &known));
        }
        if matches!(kind, "set" | "map") && is_true(&schema["items"], "nullable") {
            let why = format!("cannot be nullable when x-kubernetes-list-type is {kind}");
            problems.push(Problem::forbidden(&at("items.nullable"), &why));
        }
    }
    if !keys.is_empty() && list != "map" {
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        let at = at("x-kubernetes-list-type");
        problems.push(if list.is_null() {
            Problem::required(&at, why)
        } else {
            Problem::invalid(&at, list, why)
        });
    }
    if list == "map" {
        list_map(schema, keys, path, problems);
    }
}

fn wrong_type(ty: &str, at: &str, why: &str) -> Problem {
    if ty.is_empty() { Problem::required(at, why) } else { Problem::invalid(at, &Value::from(ty), why) }
}

fn list_map(schema: &Value, keys: &[Value], path: &str, problems: &mut Vec<Problem>) {
    let at = format!("{path}.x-kubernetes-list-map-keys");
    let items = &schema["items"];
    if keys.is_empty() {
        problems.push(Problem::required(&at, "must not be empty if x-kubernetes-list-type is map"));
    }
    if !items.is_object() {
        let why = "must have a schema if x-kubernetes-list-type is map";
        problems.push(Problem::required(&format!("{path}.items"), why));
        return;
    }
    if items["type"] != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        problems.push(Problem::invalid(&format!("{path}.items.type"), &items["type"], why));
    }
    let all: Vec<Value> = keys.to_vec();
    let unique: std::collections::BTreeSet<String> = keys.iter().map(Value::to_string).collect();
    if unique.len() < keys.len() {
        problems.push(Problem::invalid(
            &at,
            &Value::Array(all.clone()),
            "must not contain duplicate entries",
        ));
    }
    let required = items["required"].as_array().map_or(&[][..], Vec::as_slice);
    for key in keys.iter().filter_map(Value::as_str) {
        let Some(field) = items["properties"].get(key) else {
            let why = "entries must all be names of item properties";
            problems.push(Problem::invalid(&at, &Value::Array(all.clone()), why));
            continue;
        };
        let at = format!("{path}.items.properties[{key}]");
        if matches!(field["type"].as_str(), Some("object" | "array")) {
            let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            problems.push(Problem::invalid(&format!("{at}.type"), &field["type"], why));
        }
        if field.get("default").is_none() && !required.iter().any(|name| name == key) {
            let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            problems.push(Problem::required(&format!("{at}.default"), why));
        }
        if is_true(field, "nullable") {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            problems.push(Problem::forbidden(&format!("{at}.nullable"), why));
        }
    }
}

fn rules(schema: &Value, path: &str, problems: &mut Vec<Problem>) {
    for (index, rule) in schema["x-kubernetes-validations"].as_array().into_iter().flatten().enumerate() {
        let at = |key: &str| format!("{path}.x-kubernetes-validations[{index}].{key}");
        let text = |key: &str| rule[key].as_str();
        let expression = text("rule").unwrap_or_default();
        if expression.trim().is_empty() {
            problems.push(Problem::required(&at("rule"), "rule is not specified"));
        }
        match text("message") {
            Some(message) if !message.is_empty() && message.trim().is_empty() => {
                problems.push(Problem::invalid(
                    &at("message"),
                    &rule["message"],
                    "must be non-empty if specified",
                ));
            }
            Some(message) if message.trim().contains('\n') => {
                problems.push(Problem::invalid(
                    &at("message"),
                    &rule["message"],
                    "must not contain line breaks",
                ));
            }
            message if message.unwrap_or_default().is_empty() && expression.trim().contains('\n') => {
                let why = "message must be specified if rule contains line breaks";
                problems.push(Problem::required(&at("message"), why));
            }
            _ => {}
        }
        if let Some(reason) = text("reason").filter(|reason| !REASONS.contains(reason)) {
            let known: Vec<String> = REASONS.iter().map(|reason| (*reason).to_owned()).collect();
            problems.push(Problem::not_supported(&at("reason"), &Value::from(reason), &known));
        }
        if let Some(field) = text("fieldPath").filter(|field| !leads_somewhere(schema, field)) {
            problems.push(Problem::invalid(&at("fieldPath"), &Value::from(field), "must be a valid path"));
        }
        if let Some(message) = text("messageExpression").filter(|message| !message.is_empty())
            && let Err(error) = engine_cel::parse(message)
        {
            let why =
                format!("messageExpression compilation failed: ERROR: <input>:1:{}: {error}", error.at + 1);
            problems.push(Problem::invalid(&at("messageExpression"), &Value::from(message), &why));
        }
    }
}

/// Whether `.a.b` or `['a']` names a field of the schema.
fn leads_somewhere(schema: &Value, path: &str) -> bool {
    let Ok(path) = crate::JsonPath::parse(path) else { return false };
    let Some(fields) = path.fields() else { return false };
    let step = |schema: &Value, name: &str| -> Option<Value> {
        let field = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
        field.filter(|field| field.is_object()).cloned()
    };
    !fields.is_empty() && fields.iter().try_fold(schema.clone(), |schema, name| step(&schema, name)).is_some()
}

fn extensions(schema: &Value, path: &str, problems: &mut Vec<Problem>) {
    let ty = schema["type"].as_str().unwrap_or_default();
    let at = |key: &str| format!("{path}.{key}");
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        let why = "must be true or undefined";
        problems.push(Problem::invalid(
            &at("x-kubernetes-preserve-unknown-fields"),
            &Value::Bool(false),
            why,
        ));
    }
    if is_true(schema, "x-kubernetes-int-or-string") {
        for key in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
            if is_true(schema, key) {
                let why = "must be false if x-kubernetes-int-or-string is true";
                problems.push(Problem::invalid(&at(key), &Value::Bool(true), why));
            }
        }
    }
    if is_true(schema, "x-kubernetes-embedded-resource") {
        if ty != "object" {
            problems.push(wrong_type(
                ty,
                &at("type"),
                "must be object if x-kubernetes-embedded-resource is true",
            ));
        }
        if schema.get("additionalProperties").is_some_and(|value| !value.is_null()) {
            let why = "must not be used if x-kubernetes-embedded-resource is set";
            problems.push(Problem::forbidden(&at("additionalProperties"), why));
        }
        if !is_true(schema, "x-kubernetes-preserve-unknown-fields") && object(schema, "properties").is_empty()
        {
            let why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
            problems.push(Problem::required(&at("properties"), why));
        }
    }
}

/// What a schema may say of the fields every object has.
fn meta(schema: &Value, level: Level, path: &str, problems: &mut Vec<Problem>) {
    let properties = object(schema, "properties");
    for name in ["kind", "apiVersion"] {
        if let Some(field) = properties.get(name).filter(|field| field["type"] != "string") {
            let at = format!("{path}.properties[{name}].type");
            problems.push(Problem::invalid(&at, &field["type"], "must be string"));
        }
    }
    let Some(metadata) = properties.get("metadata") else { return };
    let at = format!("{path}.properties[metadata]");
    if metadata["type"] != "object" {
        problems.push(Problem::invalid(&format!("{at}.type"), &metadata["type"], "must be object"));
    }
    let is_plain = |(key, value): (&String, &Value)| match key.as_str() {
        "type" | "description" => true,
        "properties" => value
            .as_object()
            .is_some_and(|fields| fields.keys().all(|name| matches!(name.as_str(), "name" | "generateName"))),
        _ => false,
    };
    if level == Level::Root && !metadata.as_object().is_some_and(|metadata| metadata.iter().all(is_plain)) {
        let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        problems.push(Problem::forbidden(&at, why));
    }
}

/// `[{type: integer}, {type: string}]`, which an integer or a text may say.
fn is_int_or_string(schemas: &Value) -> bool {
    *schemas == serde_json::json!([{"type": "integer"}, {"type": "string"}])
}

fn logic(schema: &Value, outer: &Value, path: &str, problems: &mut Vec<Problem>) {
    for key in ["anyOf", "allOf", "oneOf"] {
        let list = &schema[key];
        if key == "anyOf" && is_int_or_string(list) {
            continue;
        }
        for (index, part) in list.as_array().into_iter().flatten().enumerate() {
            nested(part, outer, &format!("{path}.{key}[{index}]"), problems);
        }
    }
    if schema["not"].is_object() {
        nested(&schema["not"], outer, &format!("{path}.not"), problems);
    }
}

/// A schema in logic may only restrict values, of fields that are specified outside.
fn nested(part: &Value, outer: &Value, path: &str, problems: &mut Vec<Problem>) {
    for (key, why) in NOT_NESTED {
        let empty = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        if part.get(*key).is_some_and(|value| !empty(value)) {
            problems.push(Problem::forbidden(&format!("{path}.{key}"), why));
        }
    }
    for (name, field) in object(part, "properties") {
        let at = format!("{path}.properties[{name}]");
        if name == "metadata" {
            problems.push(Problem::forbidden(&at, "must not be specified in a nested context"));
        }
        match outer["properties"].get(name) {
            Some(outside) => nested(field, outside, &at, problems),
            None => {
                let outside = at.split(".allOf").next().unwrap_or(&at);
                let outside = outside.split(".anyOf").next().unwrap_or(outside);
                let outside = outside.split(".oneOf").next().unwrap_or(outside);
                let outside = outside.split(".not").next().unwrap_or(outside);
                let missing = format!("{outside}.properties[{name}]");
                problems.push(Problem::required(&missing, &format!("because it is defined in {at}")));
            }
        }
    }
    if part["items"].is_object() {
        let at = format!("{path}.items");
        match outer.get("items").filter(|items| items.is_object()) {
            Some(outside) => nested(&part["items"], outside, &at, problems),
            None => problems.push(Problem::required(&at, &format!("because it is defined in {at}"))),
        }
    }
    logic(part, outer, path, problems);
}
