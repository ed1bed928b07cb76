//! Request bodies: JSON with duplicate fields found, and the checks every decoded object goes through.

use std::fmt;

use engine_schema::decode::decode;
use engine_schema::protobuf::{Envelope, ProtobufError};
use engine_schema::type_of;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::request::FieldValidation;
use engine_kinds::object::text;
use engine_kinds::{Kind, Status};

/// A parsed request body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// The value; of duplicate fields the last one.
    pub value: Value,
    /// Paths of fields that stand more than once.
    pub duplicates: Vec<String>,
}

/// Reads a JSON body; an empty body is null.
///
/// # Errors
/// 400 when the text is not JSON.
pub fn parse_body(text: &[u8]) -> Result<Body, Status> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(Body::default());
    }
    let mut duplicates = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Reader { path: &Path::Root, duplicates: &mut duplicates }
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| Status::bad_request(format!("couldn't get object from body: {error}")))?;
    Ok(Body { value, duplicates })
}

/// Reads a body in the API's protobuf form, sent to an address that takes the given kind; an empty body is null.
///
/// # Errors
/// 400 when the bytes are not such a body, or of a kind the API does not have.
pub fn parse_protobuf(bytes: &[u8], taken: &str) -> Result<Body, Status> {
    if bytes.is_empty() {
        return Ok(Body::default());
    }
    let unrecognized = |error: &ProtobufError| {
        // Upstream: `transformDecodeError`, `summarizeData`.
        let start: String = bytes.iter().take(30).map(|byte| format!("{byte:02x}")).collect();
        let more = if bytes.len() > 30 { " ..." } else { "" };
        let text =
            format!("the object provided is unrecognized (must be of type {taken}): {error} ({start}{more})");
        Status::bad_request(text)
    };
    let envelope = Envelope::open(bytes).map_err(|error| unrecognized(&error))?;
    let value = envelope.object().map_err(|error| match error {
        ProtobufError::MissingKind(_) => unrecognized(&error),
        error => {
            let version = envelope.api_version.rsplit('/').next().unwrap_or_default();
            Status::bad_request(format!(
                "{} in version \"{version}\" cannot be handled as a {taken}: {error}",
                envelope.kind
            ))
        }
    })?;
    Ok(Body { value, duplicates: Vec::new() })
}

/// How strictly a body is read.
#[derive(Clone, Copy)]
pub(crate) struct Strictness<'a> {
    pub(crate) validation: FieldValidation,
    /// Paths that stood more than once in the text of the body.
    pub(crate) duplicates: &'a [String],
}

/// Checks a body against the kind's schema and brings it into the stored form.
///
/// Returns warnings about fields dropped.
pub(crate) fn check(
    kind: &Kind,
    body: &mut Value,
    strictness: Strictness<'_>,
) -> Result<Vec<String>, Status> {
    let (kind_name, version) = (&kind.kind, &kind.version);
    let unknown = kind.decode(body).map_err(|error| {
        Status::bad_request(format!(
            "{kind_name} in version \"{version}\" cannot be handled as a {kind_name}: {error}"
        ))
    })?;
    let texts = texts_of(unknown, strictness.duplicates);
    match strictness.validation {
        FieldValidation::Strict if !texts.is_empty() => Err(Status::bad_request(format!(
            "{kind_name} in version \"{version}\" cannot be handled as a {kind_name}: strict decoding error: {}",
            texts.join(", ")
        ))),
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Strict | FieldValidation::Warn => Ok(texts),
    }
}

/// Checks the body of a subresource that speaks another kind; unknown fields are dropped.
pub(crate) fn check_spoken(schema: &str, body: &mut Value) -> Result<(), Status> {
    let kind = schema.rsplit('.').next().unwrap_or_default();
    let wrong = |error: String| {
        Status::bad_request(format!("{kind} in version \"v1\" cannot be handled as a {kind}: {error}"))
    };
    let found = text(body, "/kind");
    if !found.is_empty() && found != kind {
        return Err(wrong(format!("no kind \"{found}\" is taken at this address")));
    }
    decode(body, &type_of(schema)).error.map_or(Ok(()), |error| Err(wrong(error)))
}

/// The same for the result of a patch, where upstream answers 422 about the field `patch`.
pub(crate) fn check_patched(
    kind: &Kind,
    body: &mut Value,
    strictness: Strictness<'_>,
) -> Result<Vec<String>, Status> {
    let invalid = |text: String| {
        let message = format!("Invalid value: {}: {text}", Value::from(body_text(kind)));
        let cause = engine_kinds::Cause { reason: "FieldValueInvalid", message, field: "patch".to_owned() };
        Status::invalid("", "", "", vec![cause])
    };
    let unknown = kind.decode(body).map_err(invalid)?;
    let texts = texts_of(unknown, strictness.duplicates);
    match strictness.validation {
        FieldValidation::Strict if !texts.is_empty() => {
            Err(invalid(format!("strict decoding error: {}", texts.join(", "))))
        }
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Strict | FieldValidation::Warn => Ok(texts),
    }
}

/// What stands for the patched object in a message; the whole object would drown the finding.
fn body_text(kind: &Kind) -> String {
    format!("<{}>", kind.kind)
}

fn texts_of(unknown: Vec<String>, duplicates: &[String]) -> Vec<String> {
    let unknown = unknown.into_iter().map(|path| format!("unknown field \"{path}\""));
    unknown.chain(duplicates.iter().map(|path| format!("duplicate field \"{path}\""))).collect()
}

/// Fills in and checks `apiVersion` and `kind` of a body.
pub(crate) fn check_type(kind: &Kind, body: &mut Value) -> Result<(), Status> {
    let Some(map) = body.as_object_mut() else {
        return Err(Status::bad_request("the body of the request must be an object"));
    };
    let api_version = kind.api_version();
    let found_kind = map.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let found_version = map.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
    let wrong_kind = !found_kind.is_empty() && found_kind != kind.kind;
    if wrong_kind || (!found_version.is_empty() && found_version != api_version) {
        let shown = if found_kind.is_empty() { &*kind.kind } else { found_kind.as_str() };
        let version = found_version.rsplit('/').next().unwrap_or_default();
        return Err(Status::bad_request(format!(
            "{shown} in version \"{version}\" cannot be handled as a {}: no kind \"{}\" is registered for version \
             \"{found_version}\" at this address; it takes {api_version} {}",
            kind.kind, shown, kind.kind
        )));
    }
    map.insert("kind".to_owned(), Value::from(&*kind.kind));
    map.insert("apiVersion".to_owned(), api_version.into());
    Ok(())
}

/// Where a value stands; only made into text for members that stand twice.
enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(Self::Root, name) => f.write_str(name),
            Self::Member(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Reads a value and notes which members stand twice.
struct Reader<'a> {
    path: &'a Path<'a>,
    duplicates: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let path = &Path::Item(self.path, list.len());
            let Some(item) = items.next_element_seed(Reader { path, duplicates: &mut *self.duplicates })?
            else {
                return Ok(Value::Array(list));
            };
            list.push(item);
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let path = &Path::Member(self.path, &key);
            if map.contains_key(&key) {
                self.duplicates.push(path.to_string());
            }
            let value = members.next_value_seed(Reader { path, duplicates: &mut *self.duplicates })?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn duplicates_are_found_at_any_depth() {
        let body = parse_body(br#"{"a":1,"b":[{"c":1,"c":2}],"a":{"x":null}}"#).unwrap();
        assert_eq!(body.value, json!({"a": {"x": null}, "b": [{"c": 2}]}));
        assert_eq!(body.duplicates, ["b[0].c", "a"]);
        assert_eq!(parse_body(b" ").unwrap(), Body::default());
        assert_eq!(parse_body(b"{").unwrap_err().code, 400);
        assert_eq!(parse_body(b"{} x").unwrap_err().code, 400);
    }

    #[test]
    fn protobuf_is_read_or_refused_in_the_words_of_upstream() {
        let config_map = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x00";
        let body = parse_protobuf(config_map, "ConfigMap").unwrap();
        assert_eq!(body.value, json!({"kind": "ConfigMap", "apiVersion": "v1"}));
        assert_eq!(parse_protobuf(b"", "Pod").unwrap(), Body::default());
        let refused = |bytes: &[u8]| {
            let status = parse_protobuf(bytes, "Pod").unwrap_err();
            assert_eq!(status.code, 400);
            status.message
        };
        assert_eq!(
            refused(b"{}"),
            "the object provided is unrecognized (must be of type Pod): provided data does not appear to be a \
             protobuf message, expected prefix [107 56 115 0] (7b7d)"
        );
        assert!(refused(b"k8s\0").contains("Object 'Kind' is missing in"));
        assert_eq!(
            refused(b"k8s\0\x0a\x0a\x0a\x04a/v1\x12\x02No\x12\x00"),
            "No in version \"v1\" cannot be handled as a Pod: no kind \"No\" is registered for version \"a/v1\" in \
             scheme \"pkg/api/legacyscheme/scheme.go:30\""
        );
        assert_eq!(
            refused(b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x02\x0a\x05"),
            "Pod in version \"v1\" cannot be handled as a Pod: unexpected EOF"
        );
    }
}
