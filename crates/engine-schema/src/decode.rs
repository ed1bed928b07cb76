//! Checks a body against its type and brings it into the stored form.
//!
//! Unknown fields are reported and dropped, wrong types are errors, and what Go leaves out when it writes an
//! object (nulls, empty lists and maps, zero scalars that are no pointers) is left out here too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::quantity;
use crate::tree::{Field, Scalar, Struct, Type};

/// What a body had that it should not have.
#[derive(Debug, Default)]
pub struct Findings {
    /// Paths of unknown fields.
    pub unknown: Vec<String>,
    /// The first wrong type, as Go's decoder words it.
    pub error: Option<String>,
}

struct Decoder {
    root: String,
    path: String,
    findings: Findings,
}

/// Checks `value` and brings it into the stored form.
pub fn decode(value: &mut Value, ty: &Type) -> Findings {
    let root = match ty {
        Type::Struct { id, .. } => id.get().name.clone(),
        _ => String::new(),
    };
    let mut decoder = Decoder { root, path: String::new(), findings: Findings::default() };
    decoder.visit(value, ty);
    decoder.findings
}

impl Decoder {
    fn visit(&mut self, value: &mut Value, ty: &Type) {
        match (ty, value) {
            (Type::Struct { id, .. }, Value::Object(map)) => self.visit_struct(map, id.get()),
            (Type::Map { item, .. }, Value::Object(map)) => {
                map.retain(|_, value| !value.is_null());
                for (key, value) in map.iter_mut() {
                    self.at(".", key, |decoder| decoder.visit(value, item));
                }
            }
            (Type::List { item, .. }, Value::Array(items)) => {
                for (index, value) in items.iter_mut().enumerate() {
                    self.at("", &format!("[{index}]"), |decoder| decoder.visit(value, item));
                }
            }
            (Type::Scalar(scalar), value) => self.visit_scalar(value, *scalar),
            (Type::Any, value) => drop_nulls(value),
            (Type::Struct { id, .. }, value) => {
                let name = &id.get().name;
                self.wrong(value, name);
            }
            (Type::Map { .. }, value) => self.wrong(value, "map[string]string"),
            (Type::List { .. }, value) => self.wrong(value, "[]object"),
        }
    }

    fn visit_struct(&mut self, map: &mut Map<String, Value>, ty: &Struct) {
        let dot = if self.path.is_empty() { "" } else { "." };
        let (here, mut unknown) = (self.findings.unknown.len(), Vec::new());
        map.retain(|key, value| {
            let Some(field) = ty.fields.get(key) else {
                unknown.push(format!("{}{dot}{key}", self.path));
                return false;
            };
            if value.is_null() {
                return false;
            }
            self.at(dot, key, |decoder| decoder.visit(value, &field.ty));
            !is_left_out(value, field)
        });
        // Told before those further down.
        self.findings.unknown.splice(here..here, unknown);
    }

    fn visit_scalar(&mut self, value: &mut Value, scalar: Scalar) {
        let fits = match scalar {
            Scalar::String => value.is_string(),
            Scalar::Int32 => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            Scalar::Int64 => value.is_i64(),
            Scalar::Number => value.is_number(),
            Scalar::Boolean => value.is_boolean(),
            Scalar::IntOrString => value.is_i64() || value.is_string(),
            Scalar::Bytes => return self.visit_bytes(value),
            Scalar::Time => return self.visit_time(value),
            Scalar::Quantity => return self.visit_quantity(value),
        };
        if !fits {
            self.wrong(value, scalar.go_name());
        }
    }

    fn visit_bytes(&mut self, value: &Value) {
        match value.as_str() {
            None => self.wrong(value, "[]uint8"),
            Some(text) if STANDARD.decode(text.replace(['\n', '\r'], "")).is_err() => {
                self.fail(format!("illegal base64 data in field {}", self.path));
            }
            Some(_) => {}
        }
    }

    fn visit_time(&mut self, value: &Value) {
        match value.as_str() {
            None => self.wrong(value, "time"),
            Some(text) if text.parse::<jiff::Timestamp>().is_err() => self.fail(format!(
                "parsing time \"{text}\" as \"2006-01-02T15:04:05Z07:00\": cannot parse field {}",
                self.path
            )),
            Some(_) => {}
        }
    }

    fn visit_quantity(&mut self, value: &mut Value) {
        let text = match &*value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => return self.wrong(&other.clone(), "quantity"),
        };
        match quantity::canonical(&text) {
            Some(canonical) => *value = Value::String(canonical),
            None => self.fail(format!(
                "quantities must match the regular expression \
                 '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$': \"{text}\" in field {}",
                self.path
            )),
        }
    }

    fn at(&mut self, before: &str, step: &str, visit: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(before);
        self.path.push_str(step);
        visit(self);
        self.path.truncate(length);
    }

    fn wrong(&mut self, value: &Value, wanted: &str) {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let field = format!("{}.{}", self.root, self.path);
        self.fail(format!("json: cannot unmarshal {found} into Go struct field {field} of type {wanted}"));
    }

    fn fail(&mut self, message: String) {
        self.findings.error.get_or_insert(message);
    }
}

impl Scalar {
    /// The type's name in Go, for messages.
    fn go_name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Number => "float64",
            Self::Boolean => "bool",
            Self::Bytes => "[]uint8",
            Self::Time => "time",
            Self::IntOrString => "intstr.IntOrString",
            Self::Quantity => "resource.Quantity",
        }
    }
}

/// Whether Go's `omitempty` would leave the value out.
fn is_left_out(value: &Value, field: &Field) -> bool {
    if field.required {
        return false;
    }
    match (&field.ty, value) {
        (Type::List { .. }, Value::Array(items)) => items.is_empty(),
        (Type::Map { .. }, Value::Object(map)) => map.is_empty(),
        (Type::Scalar(Scalar::IntOrString | Scalar::Quantity), _) => false,
        (Type::Scalar(_), _) if field.pointer => false,
        (Type::Scalar(_), Value::String(text)) => text.is_empty(),
        (Type::Scalar(_), Value::Bool(on)) => !on,
        (Type::Scalar(_), Value::Number(number)) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

/// Drops null members everywhere; the API never keeps them.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, member| !member.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
