//! A structural schema, read from the `openAPIV3Schema` of a version.

use std::collections::BTreeMap;

use engine_cel::ast::Expr;
use regex::Regex;
use serde_json::Value;

/// What a value may be. Mirrors apiextensions `JSONSchemaProps`.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// `type`; `None` when anything goes or the value is an integer or a text.
    pub ty: Option<ValueType>,
    /// Whether null is a value.
    pub nullable: bool,
    /// What an absent field becomes.
    pub default: Option<Value>,
    /// Fields of an object.
    pub properties: BTreeMap<String, Schema>,
    /// Other fields of an object.
    pub additional: Additional,
    /// Items of a list.
    pub items: Option<Box<Schema>>,
    /// Fields that must be there.
    pub required: Vec<String>,
    /// Allowed values; empty for all.
    pub allowed: Vec<Value>,
    /// `format`, where upstream knows it.
    pub format: String,
    /// Pattern of a text.
    pub pattern: Option<Pattern>,
    /// Least and most.
    pub bounds: Bounds,
    /// `allOf`, `anyOf`, `oneOf`, `not`.
    pub logic: Logic,
    /// `x-kubernetes-list-type`.
    pub list: ListType,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub preserve: bool,
    /// `x-kubernetes-embedded-resource`.
    pub embedded: bool,
    /// `x-kubernetes-int-or-string`.
    pub int_or_string: bool,
    /// `x-kubernetes-validations`.
    pub rules: Vec<Rule>,
    /// Whether there are rules here or below; known once they are compiled.
    pub(crate) has_rules: bool,
}

/// `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ValueType {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

/// `additionalProperties`.
#[derive(Clone, Debug, Default)]
pub enum Additional {
    /// Not said: other fields are unknown.
    #[default]
    None,
    /// Anything.
    Any,
    /// Values of a schema.
    Schema(Box<Schema>),
}

/// A pattern, compiled once.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As written.
    pub text: String,
    /// `None` when it cannot be compiled; then it fits nothing.
    pub regex: Option<Regex>,
}

/// Least and most of numbers, lengths and counts.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names are those of JSON schema")]
pub struct Bounds {
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub exclusive_minimum: bool,
    pub exclusive_maximum: bool,
    pub multiple_of: Option<f64>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    pub min_properties: Option<u64>,
    pub max_properties: Option<u64>,
    pub unique_items: bool,
}

/// Schemas joined by logic.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names are those of JSON schema")]
pub struct Logic {
    pub all_of: Vec<Schema>,
    pub any_of: Vec<Schema>,
    pub one_of: Vec<Schema>,
    pub not: Option<Box<Schema>>,
}

/// `x-kubernetes-list-type` with its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ListType {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

/// One of `x-kubernetes-validations`.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// The expression as written.
    pub text: String,
    /// The expression, once it is compiled.
    pub expr: Option<Expr>,
    /// What to say when it is false.
    pub message: String,
    /// What computes what to say.
    pub message_expr: Option<Expr>,
    /// `FieldValueForbidden` and the like; empty for invalid.
    pub reason: String,
    /// Where to say it, relative to the object.
    pub field_path: String,
    /// Whether it names the old value.
    pub is_transition: bool,
    /// Whether the old value is an optional.
    pub optional_old: bool,
}

impl ValueType {
    /// As JSON schema names it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Object, Self::Array, Self::String, Self::Integer, Self::Number, Self::Boolean]
            .into_iter()
            .find(|ty| ty.text() == text)
    }
}

impl Schema {
    /// Reads a schema. What [`crate::check_structure`] refuses is left out.
    pub fn parse(json: &Value) -> Self {
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        let flag = |key: &str| json[key].as_bool().unwrap_or_default();
        let list = |key: &str| json[key].as_array().cloned().unwrap_or_default();
        let ty = ValueType::parse(&text("type"));
        let mut schema = Self {
            ty,
            nullable: flag("nullable"),
            default: json.get("default").filter(|value| !value.is_null()).cloned(),
            properties: fields(json.get("properties")),
            additional: match &json["additionalProperties"] {
                Value::Bool(true) => Additional::Any,
                schema @ Value::Object(_) => Additional::Schema(Box::new(Self::parse(schema))),
                _ => Additional::None,
            },
            items: json
                .get("items")
                .filter(|items| items.is_object())
                .map(|items| Box::new(Self::parse(items))),
            required: texts(&json["required"]),
            allowed: list("enum"),
            format: crate::formats::supported(ty, &text("format")),
            pattern: json["pattern"].as_str().filter(|text| !text.is_empty()).map(Pattern::new),
            bounds: Bounds::parse(json),
            logic: Logic {
                all_of: list("allOf").iter().map(Self::parse).collect(),
                any_of: list("anyOf").iter().map(Self::parse).collect(),
                one_of: list("oneOf").iter().map(Self::parse).collect(),
                not: json.get("not").filter(|not| not.is_object()).map(|not| Box::new(Self::parse(not))),
            },
            list: match text("x-kubernetes-list-type").as_str() {
                "set" => ListType::Set,
                "map" => ListType::Map(texts(&json["x-kubernetes-list-map-keys"])),
                _ => ListType::Atomic,
            },
            preserve: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            rules: list("x-kubernetes-validations").iter().map(Rule::parse).collect(),
            has_rules: false,
        };
        // An integer or a text; upstream sets both types (`ConvertJSONSchemaProps`).
        if schema.int_or_string {
            schema.ty = None;
        }
        schema
    }

    /// The schema of a field of an object.
    pub(crate) fn field(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name).or(match &self.additional {
            Additional::Schema(schema) => Some(schema),
            _ => None,
        })
    }
}

fn fields(json: Option<&Value>) -> BTreeMap<String, Schema> {
    let fields = json.and_then(Value::as_object).into_iter().flatten();
    fields.map(|(name, schema)| (name.clone(), Schema::parse(schema))).collect()
}

fn texts(json: &Value) -> Vec<String> {
    json.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

impl Pattern {
    fn new(text: &str) -> Self {
        let regex = regex::RegexBuilder::new(&engine_cel::translate(text)).size_limit(4 << 20).build();
        Self { text: text.to_owned(), regex: regex.ok() }
    }
}

impl Bounds {
    fn parse(json: &Value) -> Self {
        let number = |key: &str| json[key].as_f64();
        let count = |key: &str| json[key].as_u64();
        let flag = |key: &str| json[key].as_bool().unwrap_or_default();
        Self {
            minimum: number("minimum"),
            maximum: number("maximum"),
            exclusive_minimum: flag("exclusiveMinimum"),
            exclusive_maximum: flag("exclusiveMaximum"),
            multiple_of: number("multipleOf"),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            unique_items: flag("uniqueItems"),
        }
    }
}

impl Rule {
    fn parse(json: &Value) -> Self {
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        Self {
            text: text("rule"),
            message: text("message").trim().to_owned(),
            message_expr: engine_cel::parse(&text("messageExpression")).ok(),
            reason: text("reason"),
            field_path: text("fieldPath"),
            optional_old: json["optionalOldSelf"].as_bool().unwrap_or_default(),
            ..Self::default()
        }
    }
}
