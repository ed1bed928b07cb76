//! Messages that are not objects in JSON: quantities, times, embedded JSON, and choices of CRD schemas.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::fmt::temporal::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::table::{Special, TABLE};
use super::wire::{Reader, Wire};
use super::{ProtobufError, read_message, text};
use crate::quantity;

/// The second of 0001-01-01T00:00:00Z; RFC 3339 cannot write times before. The end of the year 9999 is `Timestamp::MAX`.
const FIRST_SECOND: i64 = -62_135_596_800;

/// Whole numbers below fit 64 bits.
const INTEGERS: f64 = 9.0e18;

/// How exactly a time is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Precision {
    Seconds,
    Microseconds,
}

/// The value of a special message; null where Go would write null.
pub(super) fn read(bytes: &[u8], name: &str, special: Special, depth: usize) -> Result<Value, ProtobufError> {
    match special {
        Special::Quantity => read_quantity(bytes, name),
        Special::IntOrString => read_int_or_string(bytes, name),
        Special::Time => read_time(bytes, name, Precision::Seconds),
        Special::MicroTime => read_time(bytes, name, Precision::Microseconds),
        Special::Json => read_json(bytes, name),
        Special::Texts => Ok(Choice::read(bytes, name, (Part::Texts, Part::Nothing), depth)?.texts.into()),
        Special::SchemaOrList => {
            let choice = Choice::read(bytes, name, (Part::Schema, Part::Schemas), depth)?;
            Ok(if choice.schemas.is_empty() { choice.schema_or(Value::Null) } else { choice.schemas.into() })
        }
        Special::SchemaOrBool => {
            let choice = Choice::read(bytes, name, (Part::Allows, Part::Schema), depth)?;
            let allows = choice.allows;
            Ok(choice.schema_or(allows.into()))
        }
        Special::SchemaOrTexts => {
            let choice = Choice::read(bytes, name, (Part::Schema, Part::Texts), depth)?;
            Ok(if choice.texts.is_empty() { choice.schema_or(Value::Null) } else { choice.texts.into() })
        }
    }
}

/// Base64 as JSON has it.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A number; JSON has no infinity.
pub(super) fn number(value: f64, name: &str) -> Result<Value, ProtobufError> {
    // Go writes whole numbers without a fraction, and who reads them takes them for integers.
    if value.fract() == 0.0 && value.abs() < INTEGERS {
        return Ok((value as i64).into());
    }
    let number = serde_json::Number::from_f64(value);
    number.map(Value::Number).ok_or_else(|| wrong(name, format!("json: unsupported value: {value}")))
}

fn wrong(name: &str, reason: impl Into<String>) -> ProtobufError {
    ProtobufError::Value { field: name.to_owned(), reason: reason.into() }
}

fn read_quantity(bytes: &[u8], name: &str) -> Result<Value, ProtobufError> {
    let mut reader = Reader::new(bytes);
    let mut quantity = "0".to_owned();
    while let Some((number, wire)) = reader.next_field()? {
        if number == 1 {
            let text = text(wire.bytes(name)?);
            quantity = quantity::canonical(&text).ok_or_else(|| {
                wrong(
                    name,
                    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
                )
            })?;
        }
    }
    Ok(quantity.into())
}

fn read_int_or_string(bytes: &[u8], name: &str) -> Result<Value, ProtobufError> {
    let mut reader = Reader::new(bytes);
    let (mut kind, mut number, mut word) = (0, 0, String::new());
    while let Some((field, wire)) = reader.next_field()? {
        match field {
            1 => kind = wire.varint(name)?,
            2 => number = wire.varint(name)?.cast_signed() as i32,
            3 => word = text(wire.bytes(name)?).into_owned(),
            _ => {}
        }
    }
    match kind {
        0 => Ok(number.into()),
        1 => Ok(word.into()),
        _ => Err(wrong(name, "impossible IntOrString.Type")),
    }
}

/// A time; an empty message is the zero time, which is null in JSON.
fn read_time(bytes: &[u8], name: &str, precision: Precision) -> Result<Value, ProtobufError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let mut reader = Reader::new(bytes);
    let (mut seconds, mut nanos) = (0, 0);
    while let Some((number, wire)) = reader.next_field()? {
        match number {
            1 => seconds = wire.varint(name)?.cast_signed(),
            2 => nanos = wire.varint(name)?.cast_signed() as i32,
            _ => {}
        }
    }
    // Upstream drops the rest of a second of a Time, and the rest of a microsecond of a MicroTime.
    let (rest, digits) = match precision {
        Precision::Seconds => (0, 0),
        Precision::Microseconds => (nanos / 1000, 6),
    };
    let time = Timestamp::from_second(seconds)
        .and_then(|time| time.checked_add(SignedDuration::from_micros(rest.into())))
        .ok()
        .filter(|time| time.as_second() >= FIRST_SECOND)
        .ok_or_else(|| wrong(name, "the time is outside of the years 1 to 9999"))?;
    Ok(DateTimePrinter::new().precision(Some(digits)).timestamp_to_string(&time).into())
}

/// JSON in a message of one field; nothing at all is null.
fn read_json(bytes: &[u8], name: &str) -> Result<Value, ProtobufError> {
    let mut reader = Reader::new(bytes);
    let mut raw: &[u8] = &[];
    while let Some((number, wire)) = reader.next_field()? {
        if number == 1 {
            raw = wire.bytes(name)?;
        }
    }
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(raw).map_err(|error| wrong(name, error.to_string()))
}

/// What a field of a choice may hold.
#[derive(Clone, Copy)]
enum Part {
    Schema,
    Schemas,
    Allows,
    Texts,
    Nothing,
}

/// A message by which Go writes one of two things.
#[derive(Default)]
struct Choice {
    schema: Option<Map<String, Value>>,
    schemas: Vec<Value>,
    allows: bool,
    texts: Vec<Value>,
}

impl Choice {
    /// Reads a message whose fields 1 and 2 are these.
    fn read(
        bytes: &[u8],
        name: &str,
        (first, second): (Part, Part),
        depth: usize,
    ) -> Result<Self, ProtobufError> {
        let mut choice = Self::default();
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.next_field()? {
            let part = match number {
                1 => first,
                2 => second,
                _ => Part::Nothing,
            };
            choice.read_part(&wire, name, part, depth)?;
        }
        Ok(choice)
    }

    fn read_part(
        &mut self,
        wire: &Wire<'_>,
        name: &str,
        part: Part,
        depth: usize,
    ) -> Result<(), ProtobufError> {
        match part {
            Part::Schema => {
                let schema = self.schema.get_or_insert_default();
                read_message(wire.bytes(name)?, TABLE.json_schema, schema, depth)?;
            }
            Part::Schemas => {
                let mut schema = Map::new();
                read_message(wire.bytes(name)?, TABLE.json_schema, &mut schema, depth)?;
                self.schemas.push(Value::Object(schema));
            }
            Part::Allows => self.allows = wire.varint(name)? != 0,
            Part::Texts => self.texts.push(text(wire.bytes(name)?).into()),
            Part::Nothing => {}
        }
        Ok(())
    }

    fn schema_or(self, other: Value) -> Value {
        self.schema.map_or(other, Value::Object)
    }
}
