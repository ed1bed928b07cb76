//! Which field of which message has which number, name and type: the generated table, read once.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::wire::Wire;
use crate::tree;

/// Written by `xtask/schema`; its first lines say how it reads.
const TEXT: &str = include_str!("../v1.34.protobuf");

/// The table.
pub(super) static TABLE: LazyLock<Table> = LazyLock::new(|| Table::parse(TEXT));

/// All messages.
pub(super) struct Table {
    /// Messages that may be sent as a body, by kind and version; `*` stands for any version.
    roots: BTreeMap<(&'static str, &'static str), MessageId>,
    messages: Vec<Message>,
    /// `JSONSchemaProps`, which special types lead to.
    pub(super) json_schema: MessageId,
}

/// Index of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MessageId(usize);

/// A message.
pub(super) struct Message {
    /// Fields by number.
    pub(super) fields: BTreeMap<u32, Field>,
}

/// A field of a message.
pub(super) struct Field {
    /// Name in JSON; empty when embedded.
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) ty: Type,
    /// Whether a zero is written: it is a pointer in Go, or has no `omitempty`.
    pub(super) keeps_zero: bool,
}

/// How often a field may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    Many,
    /// Entries with texts as keys.
    Map,
    /// A struct in a struct in Go, whose fields stand in the outer object in JSON.
    Embedded,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Scalar(Scalar),
    Special(Special),
    Message(MessageId),
}

/// A single value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    String,
    Bytes,
    Bool,
    Int32,
    Int64,
    Double,
}

/// A message that is not an object in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    Quantity,
    IntOrString,
    Time,
    MicroTime,
    /// JSON as bytes: `FieldsV1`, `RawExtension`, and the `JSON` of CRDs.
    Json,
    /// A list of texts: `ExtraValue`.
    Texts,
    SchemaOrList,
    SchemaOrBool,
    SchemaOrTexts,
}

impl Table {
    fn parse(text: &'static str) -> Self {
        let lines = || text.lines().filter(|line| !line.starts_with('#'));
        let messages: Vec<&str> = lines().filter(|line| !line.starts_with('@')).collect();
        let names = messages.iter().enumerate().map(|(index, line)| (name_of(line), MessageId(index)));
        let by_name: BTreeMap<&str, MessageId> = names.collect();
        let roots = lines().filter_map(|line| line.strip_prefix("@ ")).map(|line| {
            let mut words = line.split(' ');
            let mut word = || words.next().expect("a kind has a version, a name and a message");
            let (version, kind, message) = (word(), word(), word());
            ((kind, version), by_name[message])
        });
        Self {
            roots: roots.collect(),
            messages: messages.iter().map(|line| parse_message(line, &by_name)).collect(),
            json_schema: by_name["apiextensions.v1.JSONSchemaProps"],
        }
    }

    /// The message of a kind.
    pub(super) fn root(&self, api_version: &str, kind: &str) -> Option<MessageId> {
        self.roots.get(&(kind, api_version)).or_else(|| self.roots.get(&(kind, "*"))).copied()
    }

    /// A message.
    pub(super) fn message(&self, id: MessageId) -> &Message {
        &self.messages[id.0]
    }

    /// Versions and kinds that may be sent, with their messages.
    #[cfg(test)]
    pub(super) fn roots(&self) -> impl Iterator<Item = (&'static str, &'static str, MessageId)> {
        self.roots.iter().map(|((kind, version), id)| (*version, *kind, *id))
    }
}

fn name_of(line: &'static str) -> &'static str {
    line.split(' ').next().unwrap_or_default()
}

fn parse_message(line: &'static str, by_name: &BTreeMap<&str, MessageId>) -> Message {
    let name = name_of(line);
    let fields = line.split(' ').skip(1).map(|field| parse_field(name, field, by_name));
    Message { fields: fields.collect() }
}

/// Reads `containers:2*.Container` of `core.v1.PodSpec`.
fn parse_field(
    message: &'static str,
    text: &'static str,
    by_name: &BTreeMap<&str, MessageId>,
) -> (u32, Field) {
    let (name, rest) = text.split_once(':').expect("a field has a name and a number");
    let end = rest.find(|c: char| !c.is_ascii_digit()).expect("a field has a type");
    let (number, rest) = rest.split_at(end);
    let (shape, ty) = match rest.as_bytes()[0] {
        b'*' => (Shape::Many, &rest[1..]),
        b'%' => (Shape::Map, &rest[1..]),
        _ if name.is_empty() => (Shape::Embedded, rest),
        _ => (Shape::One, rest),
    };
    let schema = message.split('/').next().unwrap_or_default();
    let ty = match ty.strip_prefix('.') {
        Some(other) => Type::Message(message_named(other, schema, by_name)),
        None => parse_type(ty),
    };
    let keeps_zero = tree::field(schema, name).is_some_and(|field| field.required || field.pointer);
    let field = Field { name, shape, ty, keeps_zero };
    (number.parse().expect("a field has a number"), field)
}

/// A message of the same package, or one with its package.
fn message_named(name: &str, schema: &str, by_name: &BTreeMap<&str, MessageId>) -> MessageId {
    let package = schema.rsplit_once('.').map_or("", |(package, _)| package);
    let local = by_name.get(format!("{package}.{name}").as_str());
    *local.or_else(|| by_name.get(name)).unwrap_or_else(|| panic!("message {name} is not in the table"))
}

fn parse_type(letter: &str) -> Type {
    match letter {
        "s" => Type::Scalar(Scalar::String),
        "y" => Type::Scalar(Scalar::Bytes),
        "b" => Type::Scalar(Scalar::Bool),
        "i" => Type::Scalar(Scalar::Int32),
        "l" => Type::Scalar(Scalar::Int64),
        "d" => Type::Scalar(Scalar::Double),
        "q" => Type::Special(Special::Quantity),
        "o" => Type::Special(Special::IntOrString),
        "t" => Type::Special(Special::Time),
        "m" => Type::Special(Special::MicroTime),
        "j" => Type::Special(Special::Json),
        "e" => Type::Special(Special::Texts),
        "A" => Type::Special(Special::SchemaOrList),
        "B" => Type::Special(Special::SchemaOrBool),
        "S" => Type::Special(Special::SchemaOrTexts),
        other => panic!("type {other} is not one the table may have"),
    }
}

impl Type {
    /// What stands for a value that is not there.
    pub(super) fn missing(self) -> Wire<'static> {
        match self {
            Self::Scalar(Scalar::Bool | Scalar::Int32 | Scalar::Int64) => Wire::Varint(0),
            Self::Scalar(Scalar::Double) => Wire::Fixed64(0),
            _ => Wire::Bytes(&[]),
        }
    }
}

impl Scalar {
    /// Whether a list of them may come in one run.
    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Bool | Self::Int32 | Self::Int64 | Self::Double)
    }
}
