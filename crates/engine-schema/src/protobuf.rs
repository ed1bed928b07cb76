//! Reads bodies in the API's protobuf form into the JSON that Go would write for the same object.
//!
//! Messages are described by a generated table and not by types, so every field of every kind is read by the same
//! lines. What a message looks like is in `table`, the special types are in `special`, the bytes in `wire`.

use std::borrow::Cow;

use serde_json::{Map, Value};

use table::{Field, MessageId, Scalar, Shape, TABLE, Type};
use wire::{Reader, Wire};

mod special;
mod table;
#[cfg(test)]
mod tests;
mod wire;

/// What such a body begins with (apimachinery `serializer/protobuf`, `protoEncodingPrefix`).
const PREFIX: &[u8] = b"k8s\0";

/// How deep messages may stand in messages.
const DEPTH_LIMIT: usize = 100;

/// Why a body in the protobuf form could not be read, mostly in the words of Go's decoders.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The body does not begin as such a body must.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Prefix,
    /// Nobody said what the body is.
    #[error("Object 'Kind' is missing in '{0}'")]
    MissingKind(String),
    /// Nobody said of which version it is.
    #[error("Object 'apiVersion' is missing in '{0}'")]
    MissingVersion(String),
    /// Such a kind is not known.
    #[error(
        "no kind \"{kind}\" is registered for version \"{api_version}\" in scheme \"pkg/api/legacyscheme/scheme.go:30\""
    )]
    UnknownKind {
        /// `apps/v1`.
        api_version: String,
        /// `Deployment`.
        kind: String,
    },
    /// The bytes end within a field.
    #[error("unexpected EOF")]
    End,
    /// A number of more than 64 bits.
    #[error("proto: integer overflow")]
    Overflow,
    /// A length that is negative.
    #[error("proto: negative length found during unmarshaling")]
    NegativeLength,
    /// A field number that cannot be.
    #[error("proto: illegal tag {0}")]
    Tag(u64),
    /// A form of a field that does not exist.
    #[error("proto: illegal wireType {0}")]
    WireType(u8),
    /// The end of a group that has not begun.
    #[error("proto: unexpected end of group")]
    EndOfGroup,
    /// A field in another form than its type has.
    #[error("proto: wrong wireType = {found} for field {field}")]
    WrongWireType {
        /// What was found.
        found: u8,
        /// The field's name.
        field: String,
    },
    /// Messages in messages without end.
    #[error("proto: messages are nested deeper than {DEPTH_LIMIT} levels")]
    Depth,
    /// A value that no object may have.
    #[error("field {field}: {reason}")]
    Value {
        /// The field's name.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The outer layer of a body: what kind it is of, and the kind's own message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// The message of the kind.
    raw: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Opens a body (upstream: `runtime.Unknown`).
    ///
    /// # Errors
    /// When the bytes are no envelope.
    pub fn open(body: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut reader = Reader::new(body.strip_prefix(PREFIX).ok_or(ProtobufError::Prefix)?);
        let mut envelope = Self::default();
        while let Some((number, wire)) = reader.next_field()? {
            match number {
                1 => envelope.read_type(wire.bytes("TypeMeta")?)?,
                2 => envelope.raw = wire.bytes("Raw")?,
                _ => {}
            }
        }
        Ok(envelope)
    }

    fn read_type(&mut self, bytes: &[u8]) -> Result<(), ProtobufError> {
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.next_field()? {
            match number {
                1 => self.api_version = text(wire.bytes("APIVersion")?).into_owned(),
                2 => self.kind = text(wire.bytes("Kind")?).into_owned(),
                _ => {}
            }
        }
        Ok(())
    }

    /// The object in the envelope, in the form Go writes it as JSON.
    ///
    /// # Errors
    /// When the kind is not known or its message cannot be read.
    pub fn object(&self) -> Result<Value, ProtobufError> {
        let type_meta =
            || format!("runtime.TypeMeta{{APIVersion:{:?}, Kind:{:?}}}", self.api_version, self.kind);
        if self.kind.is_empty() {
            return Err(ProtobufError::MissingKind(type_meta()));
        }
        if self.api_version.is_empty() {
            return Err(ProtobufError::MissingVersion(type_meta()));
        }
        let message = TABLE.root(&self.api_version, &self.kind).ok_or_else(|| {
            ProtobufError::UnknownKind { api_version: self.api_version.clone(), kind: self.kind.clone() }
        })?;
        let mut object = Map::new();
        object.insert("kind".to_owned(), self.kind.as_str().into());
        object.insert("apiVersion".to_owned(), self.api_version.as_str().into());
        read_message(self.raw, message, &mut object, DEPTH_LIMIT)?;
        Ok(Value::Object(object))
    }
}

/// Reads a message into an object; fields it already has are merged, as protobuf asks for.
fn read_message(
    bytes: &[u8],
    message: MessageId,
    into: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), ProtobufError> {
    let depth = depth.checked_sub(1).ok_or(ProtobufError::Depth)?;
    let message = TABLE.message(message);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next_field()? {
        if let Some(field) = message.fields.get(&number) {
            read_field(&wire, field, into, depth)?;
        }
    }
    Ok(())
}

fn read_field(
    wire: &Wire<'_>,
    field: &Field,
    into: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), ProtobufError> {
    match (field.shape, field.ty) {
        (Shape::Embedded, Type::Message(id)) => read_message(wire.bytes("embedded")?, id, into, depth),
        (Shape::One, Type::Message(id)) => {
            let bytes = wire.bytes(field.name)?;
            read_message(bytes, id, member(into, field.name, Value::as_object_mut), depth)
        }
        (Shape::One | Shape::Embedded, ty) => {
            let value = read_value(wire, field.name, ty, depth)?;
            if value.is_null() || (!field.keeps_zero && is_zero(&value, ty)) {
                into.remove(field.name);
            } else {
                into.insert(field.name.to_owned(), value);
            }
            Ok(())
        }
        (Shape::Many, ty) => {
            let items = member(into, field.name, Value::as_array_mut);
            match (ty, wire) {
                (Type::Scalar(scalar), Wire::Bytes(bytes)) if scalar.is_number() => {
                    read_packed(bytes, field.name, scalar, items)
                }
                _ => {
                    items.push(read_value(wire, field.name, ty, depth)?);
                    Ok(())
                }
            }
        }
        (Shape::Map, ty) => {
            let (key, value) = read_entry(wire.bytes(field.name)?, field.name, ty, depth)?;
            member(into, field.name, Value::as_object_mut).insert(key, value);
            Ok(())
        }
    }
}

/// The container under a name, made when it is missing.
fn member<'a, T: Default + 'a>(
    into: &'a mut Map<String, Value>,
    name: &str,
    get: fn(&mut Value) -> Option<&mut T>,
) -> &'a mut T
where
    Value: From<T>,
{
    let slot = into.entry(name.to_owned()).or_insert_with(|| Value::from(T::default()));
    get(slot).expect("a field's container is only ever made here")
}

/// Numbers of a list in one run.
fn read_packed(
    bytes: &[u8],
    name: &str,
    scalar: Scalar,
    items: &mut Vec<Value>,
) -> Result<(), ProtobufError> {
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let wire = if scalar == Scalar::Double { reader.fixed64()? } else { Wire::Varint(reader.varint()?) };
        items.push(read_scalar(&wire, name, scalar)?);
    }
    Ok(())
}

/// An entry of a map: a message of key and value, both of which may be missing.
fn read_entry(bytes: &[u8], name: &str, ty: Type, depth: usize) -> Result<(String, Value), ProtobufError> {
    let mut key = String::new();
    let mut value = None;
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next_field()? {
        match number {
            1 => key = text(wire.bytes(name)?).into_owned(),
            2 => value = Some(read_value(&wire, name, ty, depth)?),
            _ => {}
        }
    }
    let value = match value {
        Some(value) => value,
        None => read_value(&ty.missing(), name, ty, depth)?,
    };
    Ok((key, value))
}

/// One value; null where Go would write null.
fn read_value(wire: &Wire<'_>, name: &str, ty: Type, depth: usize) -> Result<Value, ProtobufError> {
    match ty {
        Type::Scalar(scalar) => read_scalar(wire, name, scalar),
        Type::Message(id) => {
            let mut object = Map::new();
            read_message(wire.bytes(name)?, id, &mut object, depth)?;
            Ok(Value::Object(object))
        }
        Type::Special(special) => special::read(wire.bytes(name)?, name, special, depth),
    }
}

fn read_scalar(wire: &Wire<'_>, name: &str, scalar: Scalar) -> Result<Value, ProtobufError> {
    Ok(match scalar {
        Scalar::String => text(wire.bytes(name)?).into(),
        Scalar::Bytes => special::base64(wire.bytes(name)?).into(),
        Scalar::Bool => (wire.varint(name)? != 0).into(),
        // As in Go: the lower 32 bits, whatever stands above them.
        Scalar::Int32 => (wire.varint(name)?.cast_signed() as i32).into(),
        Scalar::Int64 => wire.varint(name)?.cast_signed().into(),
        Scalar::Double => special::number(wire.double(name)?, name)?,
    })
}

/// Whether Go's `omitempty` would leave a value out that is no pointer.
fn is_zero(value: &Value, ty: Type) -> bool {
    matches!(ty, Type::Scalar(_))
        && match value {
            Value::String(text) => text.is_empty(),
            Value::Bool(on) => !on,
            Value::Number(number) => number.as_f64() == Some(0.0),
            _ => false,
        }
}

/// Text, with what is not UTF-8 replaced as Go does when it writes JSON.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
