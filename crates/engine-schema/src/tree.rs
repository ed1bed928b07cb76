//! One tree of types that drives field checks, patches, apply, and the `OpenAPI` documents.
//!
//! Names, types and descriptions come from a generated file; merge rules from a hand-kept overlay.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use crate::overlay;

/// API level of the schemas, as told by `/version`.
pub const KUBERNETES_VERSION: &str = "v1.34.0";

/// Written by `xtask/schema`.
static COMPRESSED: &[u8] = include_bytes!("v1.34.json.gz");

/// The `OpenAPI` schemas by name, with the overlay applied.
static DOCUMENTS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(COMPRESSED).read_to_end(&mut text).expect("the schema file is a gzip file");
    let mut documents: Map<String, Value> = serde_json::from_slice(&text).expect("the schema file is JSON");
    overlay::apply(&mut documents);
    documents
});

static TYPES: LazyLock<Types> = LazyLock::new(|| Types::build(&DOCUMENTS));

/// What a field holds.
#[derive(Clone, Debug)]
pub enum Type {
    /// An object with known fields.
    Struct {
        /// Which.
        id: StructId,
        /// Whether it is owned as a whole.
        atomic: bool,
    },
    /// An object with free keys.
    Map {
        /// What its values hold.
        item: Box<Type>,
        /// Whether it is owned as a whole.
        atomic: bool,
    },
    /// A list.
    List {
        /// What its items hold.
        item: Box<Type>,
        /// How two such lists are merged by apply.
        rule: ListRule,
    },
    /// A single value.
    Scalar(Scalar),
    /// Anything; not looked into.
    Any,
}

/// How apply merges a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListRule {
    /// Replaced as a whole.
    Atomic,
    /// Items are values, each there or not.
    Set,
    /// Items are objects, found by these fields.
    Map(Vec<ListKey>),
}

/// A field by which items of a list are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListKey {
    /// Its name.
    pub name: String,
    /// What counts where an item lacks it (structured-merge-diff: `keyDefault`).
    pub default: Option<Value>,
}

/// Form of a single value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// Text.
    String,
    /// An integer of 32 bits.
    Int32,
    /// An integer of 64 bits.
    Int64,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// Base64 text.
    Bytes,
    /// RFC 3339.
    Time,
    /// An integer or a text (`intstr.IntOrString`).
    IntOrString,
    /// An amount with a unit (`resource.Quantity`).
    Quantity,
}

/// A struct: one of the published schemas, or one that a definition brought.
#[derive(Clone, Debug)]
pub enum StructId {
    /// Place among the published ones.
    Published(usize),
    /// Read from a definition.
    Custom(Arc<Struct>),
}

/// An object type with known fields.
#[derive(Debug)]
pub struct Struct {
    /// Last part of the schema's name, such as `PodSpec`.
    pub name: String,
    /// Its fields by name.
    pub fields: BTreeMap<String, Field>,
}

/// A field of a struct.
#[derive(Debug)]
pub struct Field {
    /// What it holds.
    pub ty: Type,
    /// Whether it is always written, even when empty.
    pub required: bool,
    /// Whether zero and absent differ (a pointer in Go).
    pub pointer: bool,
    /// Whether it is a struct that Go holds by value: absent and empty do not differ.
    pub value: bool,
    /// What a strategic merge patch does with it.
    pub patch: Strategy,
}

/// What a strategic merge patch does with a field.
#[derive(Clone, Debug, Default)]
pub struct Strategy {
    /// The field by which items of a list of objects are found.
    pub merge_key: Option<String>,
    /// Whether lists are merged.
    pub merge: bool,
    /// Whether objects are replaced.
    pub replace: bool,
}

impl Strategy {
    /// What a patch does with fields that have no strategy.
    pub const NONE: Self = Self { merge_key: None, merge: false, replace: false };
}

struct Types {
    structs: Vec<Struct>,
    by_name: BTreeMap<String, usize>,
}

impl StructId {
    /// The struct.
    pub fn get(&self) -> &Struct {
        match self {
            Self::Published(index) => &TYPES.structs[*index],
            Self::Custom(custom) => custom,
        }
    }
}

/// The type of a named schema.
pub fn type_of(name: &str) -> Type {
    let id = TYPES.by_name.get(name).unwrap_or_else(|| panic!("schema {name} is not in the schema file"));
    Type::Struct { id: StructId::Published(*id), atomic: false }
}

/// A field of a schema by its short name, such as `core.v1.Pod`; `None` when there is no such field.
pub(crate) fn field(schema: &str, field: &str) -> Option<&'static Field> {
    let id = TYPES.by_name.get(&overlay::full_name(schema))?;
    TYPES.structs[*id].fields.get(field)
}

/// The schemas as `OpenAPI` shows them.
pub fn documents() -> &'static Map<String, Value> {
    &DOCUMENTS
}

impl Types {
    fn build(documents: &Map<String, Value>) -> Self {
        let structs: Vec<(&String, &Value)> =
            documents.iter().filter(|(_, schema)| schema.get("properties").is_some()).collect();
        let by_name: BTreeMap<String, usize> =
            structs.iter().enumerate().map(|(index, (name, _))| ((*name).clone(), index)).collect();
        let structs = structs
            .into_iter()
            .map(|(name, schema)| Struct {
                name: name.rsplit('.').next().unwrap_or_default().to_owned(),
                fields: fields_of(name, schema, documents, &by_name),
            })
            .collect();
        Self { structs, by_name }
    }
}

fn fields_of(
    name: &str,
    schema: &Value,
    documents: &Map<String, Value>,
    by_name: &BTreeMap<String, usize>,
) -> BTreeMap<String, Field> {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties
        .map(|(field, property)| {
            let field_of = Field {
                ty: parse_type(property, documents, by_name),
                required: overlay::pointers::is_always_written(
                    name,
                    field,
                    required.contains(&field.as_str()),
                ),
                pointer: overlay::pointers::is_pointer(name, field),
                value: overlay::pointers::is_value(name, field),
                patch: parse_strategy(property),
            };
            (field.clone(), field_of)
        })
        .collect()
}

fn parse_strategy(property: &Value) -> Strategy {
    let text = |key: &str| property.get(key).and_then(Value::as_str);
    let strategy = text("x-kubernetes-patch-strategy").unwrap_or_default();
    let has = |word: &str| strategy.split(',').any(|part| part == word);
    Strategy {
        merge_key: text("x-kubernetes-patch-merge-key").map(str::to_owned),
        merge: has("merge"),
        replace: has("replace"),
    }
}

fn parse_type(schema: &Value, documents: &Map<String, Value>, by_name: &BTreeMap<String, usize>) -> Type {
    let text = |key: &str| schema.get(key).and_then(Value::as_str);
    let atomic =
        |schema: &Value| schema.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic");
    let reference = text("$ref").or_else(|| schema.pointer("/allOf/0/$ref").and_then(Value::as_str));
    if let Some(name) = reference.and_then(|reference| reference.rsplit('/').next()) {
        let granular = text("x-kubernetes-map-type") == Some("granular");
        let document = &documents[name];
        return match by_name.get(name) {
            Some(id) => Type::Struct { id: StructId::Published(*id), atomic: atomic(document) && !granular },
            None => parse_named(name, document, documents, by_name),
        };
    }
    if schema.get("x-kubernetes-int-or-string").is_some() {
        return Type::Scalar(Scalar::IntOrString);
    }
    match text("type") {
        Some("array") => Type::List {
            item: Box::new(
                schema.get("items").map_or(Type::Any, |items| parse_type(items, documents, by_name)),
            ),
            rule: parse_list_rule(schema, default_of_key),
        },
        Some("object") => match schema.get("additionalProperties").filter(|items| items.is_object()) {
            Some(items) => {
                Type::Map { item: Box::new(parse_type(items, documents, by_name)), atomic: atomic(schema) }
            }
            None => Type::Any,
        },
        Some("string") => Type::Scalar(match text("format") {
            Some("byte") => Scalar::Bytes,
            Some("date-time") => Scalar::Time,
            _ => Scalar::String,
        }),
        Some("integer") => {
            Type::Scalar(if text("format") == Some("int32") { Scalar::Int32 } else { Scalar::Int64 })
        }
        Some("number") => Type::Scalar(Scalar::Number),
        Some("boolean") => Type::Scalar(Scalar::Boolean),
        _ => Type::Any,
    }
}

/// A named schema without properties: a scalar, a map, or something free.
fn parse_named(
    name: &str,
    document: &Value,
    documents: &Map<String, Value>,
    by_name: &BTreeMap<String, usize>,
) -> Type {
    match name.rsplit('.').next() {
        Some("Quantity") => Type::Scalar(Scalar::Quantity),
        Some("FieldsV1" | "RawExtension") => Type::Any,
        // Structs without a single field (such as `SessionAffinity`-like markers) have no properties to check.
        _ if document.get("type").and_then(Value::as_str) == Some("object") => Type::Any,
        _ => parse_type(document, documents, by_name),
    }
}

/// How apply merges a list; `default` is that of a field of its items.
pub(crate) fn parse_list_rule(schema: &Value, default: impl Fn(&str) -> Option<Value>) -> ListRule {
    let key = |name: &str| ListKey { name: name.to_owned(), default: default(name) };
    match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => ListRule::Set,
        Some("map") => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
            ListRule::Map(keys.filter_map(Value::as_str).map(key).collect())
        }
        _ => ListRule::Atomic,
    }
}

/// Defaults of the published schemas' keys, which the schema file lacks; there is but one (`core/v1 Protocol`).
fn default_of_key(key: &str) -> Option<Value> {
    (key == "protocol").then(|| Value::from("TCP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_ports_merge_by_port_and_protocol() {
        let Type::Struct { id, .. } = type_of("io.k8s.api.core.v1.ServiceSpec") else { panic!() };
        let ports = &id.get().fields["ports"];
        assert_eq!(ports.patch.merge_key.as_deref(), Some("port"));
        let Type::List { rule, .. } = &ports.ty else { panic!() };
        let key = |name: &str, default: Option<Value>| ListKey { name: name.to_owned(), default };
        assert_eq!(*rule, ListRule::Map(vec![key("port", None), key("protocol", Some("TCP".into()))]));
    }
}
