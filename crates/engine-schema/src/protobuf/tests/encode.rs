//! The way back, for tests: objects of any kind made at random, and their protobuf form.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::protobuf::table::{Field, MessageId, Scalar, Shape, Special, TABLE, Type};

/// Random numbers from a seed (SplitMix64).
pub(super) struct Draw(pub(super) u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn word(&mut self) -> &'static str {
        self.one_of(&["", "a", "web", "Ä\n\"", "kubernetes.io/x", "日本"])
    }

    /// An object of a message in the form Go would write.
    pub(super) fn object(&mut self, message: MessageId, depth: usize) -> Map<String, Value> {
        let mut object = Map::new();
        for field in TABLE.message(message).fields.values() {
            let is_deep = depth == 0 && matches!(field.ty, Type::Message(_) | Type::Special(_));
            if field.shape == Shape::Embedded {
                if let Type::Message(inner) = field.ty {
                    object.extend(self.object(inner, depth));
                }
            } else if !is_deep && self.below(3) == 0 {
                self.member(field, depth.saturating_sub(1), &mut object);
            }
        }
        object
    }

    fn member(&mut self, field: &Field, depth: usize, object: &mut Map<String, Value>) {
        let count = 1 + self.below(2);
        let value = match field.shape {
            Shape::Many => (0..count).map(|_| self.value(field.ty, depth)).collect::<Vec<_>>().into(),
            Shape::Map => (0..count).map(|_| (self.word().to_owned(), self.value(field.ty, depth))).collect(),
            Shape::One | Shape::Embedded => self.value(field.ty, depth),
        };
        let empty = [json!(""), json!(0), json!(false)].contains(&value);
        let dropped = matches!(field.ty, Type::Scalar(_)) && empty && !field.keeps_zero;
        if !dropped {
            object.insert(field.name.to_owned(), value);
        }
    }

    fn value(&mut self, ty: Type, depth: usize) -> Value {
        let number = self.next().cast_signed() >> self.below(63);
        match ty {
            Type::Message(id) => Value::Object(self.object(id, depth)),
            Type::Scalar(Scalar::String) => self.word().into(),
            Type::Scalar(Scalar::Bytes) => STANDARD.encode(self.word()).into(),
            Type::Scalar(Scalar::Bool) => (number & 1 == 1).into(),
            Type::Scalar(Scalar::Int32) => (number as i32).into(),
            Type::Scalar(Scalar::Int64) => number.into(),
            Type::Scalar(Scalar::Double) => {
                [json!(0), json!(-7), json!(0.25), json!(1e300)][self.below(4) as usize].clone()
            }
            Type::Special(special) => self.special(special, depth),
        }
    }

    fn special(&mut self, special: Special, depth: usize) -> Value {
        let schema = |draw: &mut Self| Value::Object(draw.object(TABLE.json_schema, depth.saturating_sub(2)));
        match special {
            Special::Quantity => self.one_of(&["0", "100m", "1Gi", "-3", "12E", "1e3"]).into(),
            Special::IntOrString if self.below(2) == 0 => self.word().into(),
            Special::IntOrString => (self.next() as i32).into(),
            Special::Time => self.one_of(&["1970-01-01T00:00:00Z", "9999-12-30T00:00:00Z"]).into(),
            Special::MicroTime => {
                self.one_of(&["2026-01-01T00:00:00.000000Z", "1969-12-31T23:59:59.123456Z"]).into()
            }
            Special::Json => json!({"a": [1, "x", null]}),
            Special::Texts => json!([self.word(), self.word()]),
            Special::SchemaOrList if self.below(2) == 0 => json!([schema(self), schema(self)]),
            Special::SchemaOrBool if self.below(2) == 0 => (self.below(2) == 0).into(),
            Special::SchemaOrTexts if self.below(2) == 0 => json!([self.word()]),
            Special::SchemaOrList | Special::SchemaOrBool | Special::SchemaOrTexts => schema(self),
        }
    }
}

/// A body as clients send it.
pub(super) fn body(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let type_meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), bytes(1, &type_meta), bytes(2, message), bytes(3, b""), bytes(4, b"")].concat()
}

/// The protobuf form of an object.
pub(super) fn message(object: &Map<String, Value>, id: MessageId) -> Vec<u8> {
    let mut out = Vec::new();
    for (&number, field) in &TABLE.message(id).fields {
        if let (Shape::Embedded, Type::Message(inner)) = (field.shape, field.ty) {
            out.extend(bytes(number, &message(object, inner)));
            continue;
        }
        match (field.shape, object.get(field.name)) {
            (_, None) => {}
            (Shape::Many, Some(Value::Array(items))) => {
                items.iter().for_each(|item| out.extend(value(number, item, field.ty)));
            }
            (Shape::Map, Some(Value::Object(map))) => {
                for (key, item) in map {
                    let entry = [bytes(1, key.as_bytes()), value(2, item, field.ty)].concat();
                    out.extend(bytes(number, &entry));
                }
            }
            (_, Some(single)) => out.extend(value(number, single, field.ty)),
        }
    }
    out
}

fn value(number: u32, value: &Value, ty: Type) -> Vec<u8> {
    match ty {
        Type::Message(id) => bytes(number, &message(value.as_object().unwrap(), id)),
        Type::Scalar(Scalar::String) => bytes(number, value.as_str().unwrap().as_bytes()),
        Type::Scalar(Scalar::Bytes) => bytes(number, &STANDARD.decode(value.as_str().unwrap()).unwrap()),
        Type::Scalar(Scalar::Bool) => varint(number, u64::from(value.as_bool().unwrap())),
        Type::Scalar(Scalar::Int32 | Scalar::Int64) => {
            varint(number, value.as_i64().unwrap().cast_unsigned())
        }
        Type::Scalar(Scalar::Double) => {
            [plain(u64::from(number) << 3 | 1), value.as_f64().unwrap().to_le_bytes().to_vec()].concat()
        }
        Type::Special(special) => bytes(number, &special_message(value, special)),
    }
}

fn special_message(value: &Value, special: Special) -> Vec<u8> {
    let text = |number| bytes(number, value.as_str().unwrap_or_default().as_bytes());
    let texts = |number| {
        let items = value.as_array().unwrap().iter();
        items.flat_map(|item| bytes(number, item.as_str().unwrap().as_bytes())).collect()
    };
    let schema =
        |number, value: &Value| bytes(number, &message(value.as_object().unwrap(), TABLE.json_schema));
    match (special, value) {
        (Special::Quantity, _) => text(1),
        (Special::IntOrString, Value::String(_)) => [varint(1, 1), varint(2, 0), text(3)].concat(),
        (Special::IntOrString, _) => {
            [varint(1, 0), varint(2, value.as_i64().unwrap().cast_unsigned()), bytes(3, b"")].concat()
        }
        (Special::Time | Special::MicroTime, _) => {
            let nanos = value.as_str().unwrap().parse::<Timestamp>().unwrap().as_nanosecond();
            let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap();
            let rest = u64::try_from(nanos.rem_euclid(1_000_000_000)).unwrap();
            [varint(1, seconds.cast_unsigned()), varint(2, rest)].concat()
        }
        (Special::Json, _) => bytes(1, value.to_string().as_bytes()),
        (Special::Texts, _) => texts(1),
        (Special::SchemaOrTexts, Value::Array(_)) => texts(2),
        (Special::SchemaOrList, Value::Array(items)) => {
            items.iter().flat_map(|item| schema(2, item)).collect()
        }
        (Special::SchemaOrBool, Value::Bool(on)) => varint(1, u64::from(*on)),
        (Special::SchemaOrBool, _) => [varint(1, 1), schema(2, value)].concat(),
        (Special::SchemaOrList | Special::SchemaOrTexts, _) => schema(1, value),
    }
}

/// A field of bytes.
pub(super) fn bytes(number: u32, content: &[u8]) -> Vec<u8> {
    [plain(u64::from(number) << 3 | 2), plain(content.len() as u64), content.to_vec()].concat()
}

/// A field of a number.
pub(super) fn varint(number: u32, value: u64) -> Vec<u8> {
    [plain(u64::from(number) << 3), plain(value)].concat()
}

fn plain(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
