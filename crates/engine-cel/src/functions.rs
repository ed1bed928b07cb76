//! The functions of the environment by name: conversions here, each library in a file of its own.

pub(crate) mod format;
mod lists;
mod net;
mod number;
pub(crate) mod semver;
mod signatures;
mod strings;
mod time;
pub(crate) mod url;

use std::sync::Arc;

pub(crate) use signatures::FUNCTIONS;

use crate::ast::Form;
use crate::eval::Budget;
use crate::value::{Error, Value};

pub(crate) type Result<T = Value> = std::result::Result<T, Error>;

/// Functions whose name has a dot, so that what is before it is not a variable.
pub(crate) const NAMESPACED: &[&str] = &[
    "optional.of",
    "optional.none",
    "optional.ofNonZeroValue",
    "sets.contains",
    "sets.equivalent",
    "sets.intersects",
    "lists.range",
    "strings.quote",
    "ip.isCanonical",
    "format.named",
    "format.dns1123Label",
    "format.dns1123Subdomain",
    "format.dns1035Label",
    "format.qualifiedName",
    "format.dns1123LabelPrefix",
    "format.dns1123SubdomainPrefix",
    "format.dns1035LabelPrefix",
    "format.labelValue",
    "format.uri",
    "format.uuid",
    "format.byte",
    "format.date",
    "format.datetime",
];

/// Names of types that may be said in an expression.
pub(crate) fn type_denotation(name: &str) -> Option<&'static str> {
    ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type"]
        .into_iter()
        .find(|known| *known == name)
}

/// Calls a function; a receiver is the first argument.
pub(crate) fn call(name: &str, form: Form, arguments: &[Value], budget: &mut Budget) -> Result {
    let result = match form {
        Form::Global => match arguments {
            [value] => conversion(name, value, budget),
            _ => None,
        },
        Form::Member => None,
    };
    let result = result
        .or_else(|| core(name, arguments, budget))
        .or_else(|| strings::call(name, arguments, budget))
        .or_else(|| lists::call(name, arguments, budget))
        .or_else(|| net::call(name, arguments, budget))
        .or_else(|| number::call(name, arguments, budget))
        .or_else(|| semver::call(name, arguments, budget))
        .or_else(|| time::call(name, arguments))
        .or_else(|| url::call(name, arguments, budget))
        .or_else(|| format::call(name, arguments, budget));
    result.unwrap_or(Err(Error::NoSuchOverload))
}

/// Size, tests on text, optionals.
fn core(name: &str, arguments: &[Value], budget: &mut Budget) -> Option<Result> {
    Some(match (name, arguments) {
        ("size", [value]) => size(value),
        ("contains", [Value::String(text), Value::String(part)]) => {
            budget.walk(text.len() as u64).map(|()| Value::Bool(text.contains(&**part)))
        }
        ("startsWith", [Value::String(text), Value::String(part)]) => {
            Ok(Value::Bool(text.starts_with(&**part)))
        }
        ("endsWith", [Value::String(text), Value::String(part)]) => Ok(Value::Bool(text.ends_with(&**part))),
        ("matches", [Value::String(text), Value::String(pattern)]) => spend_match(text, pattern, budget)
            .and_then(|()| Ok(Value::Bool(budget.regex(pattern)?.is_match(text)))),
        ("optional.of", [value]) => Ok(Value::Optional(Some(Arc::new(value.clone())))),
        ("optional.none", []) => Ok(Value::Optional(None)),
        ("optional.ofNonZeroValue", [value]) => {
            Ok(Value::Optional((!is_zero(value)).then(|| Arc::new(value.clone()))))
        }
        ("hasValue", [Value::Optional(inner)]) => Ok(Value::Bool(inner.is_some())),
        ("value", [Value::Optional(inner)]) => inner
            .as_ref()
            .map(|inner| (**inner).clone())
            .ok_or_else(|| Error::other("optional.none() dereference")),
        ("or", [Value::Optional(inner), other @ Value::Optional(_)]) => {
            Ok(if inner.is_some() { Value::Optional(inner.clone()) } else { other.clone() })
        }
        ("orValue", [Value::Optional(inner), other]) => {
            Ok(inner.as_ref().map_or_else(|| other.clone(), |inner| (**inner).clone()))
        }
        _ => return None,
    })
}

/// The cost of a match grows with the text and with the pattern (`StringTraversalCostFactor`,
/// `RegexStringLengthCostFactor`).
pub(crate) fn spend_match(text: &str, pattern: &str, budget: &mut Budget) -> Result<()> {
    let text = (text.len() as u64 + 1).div_ceil(10);
    let pattern = (pattern.len() as u64).div_ceil(4);
    budget.spend(text.saturating_mul(pattern.max(1)))
}

fn size(value: &Value) -> Result {
    let size = match value {
        Value::String(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.entries.len(),
        _ => return Err(Error::NoSuchOverload),
    };
    Ok(Value::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) | Value::Duration(0) => true,
        Value::Double(value) => *value == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.items.is_empty(),
        Value::Map(map) => map.entries.is_empty(),
        Value::Optional(inner) => inner.is_none(),
        _ => false,
    }
}

/// Functions that have the name of a type.
fn conversion(name: &str, value: &Value, budget: &mut Budget) -> Option<Result> {
    if let Err(error) = budget.walk(value.weight()) {
        return Some(Err(error));
    }
    Some(match name {
        "dyn" => Ok(value.clone()),
        "type" => Ok(Value::Type(Arc::from(value.type_name()))),
        "int" => to_int(value),
        "uint" => to_uint(value),
        "double" => to_double(value),
        "string" => to_text(value).map(Value::string),
        "bytes" => match value {
            Value::String(text) => Ok(Value::Bytes(Arc::from(text.as_bytes()))),
            Value::Bytes(_) => Ok(value.clone()),
            _ => Err(Error::NoSuchOverload),
        },
        "bool" => match value {
            Value::Bool(_) => Ok(value.clone()),
            Value::String(text) => match &**text {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
                "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
                _ => Err(Error::other(format!("string value {text:?} is not a boolean"))),
            },
            _ => Err(Error::NoSuchOverload),
        },
        "duration" => match value {
            Value::String(text) => time::parse_duration(text).map(Value::Duration),
            Value::Duration(_) => Ok(value.clone()),
            Value::Int(nanoseconds) => Ok(Value::Duration(*nanoseconds)),
            _ => Err(Error::NoSuchOverload),
        },
        "timestamp" => match value {
            Value::String(text) => time::parse_timestamp(text),
            Value::Timestamp(_) => Ok(value.clone()),
            Value::Int(seconds) => Ok(Value::Timestamp(i128::from(*seconds) * 1_000_000_000)),
            _ => Err(Error::NoSuchOverload),
        },
        _ => return None,
    })
}

fn to_int(value: &Value) -> Result {
    Ok(Value::Int(match value {
        Value::Int(value) => *value,
        Value::Uint(value) => i64::try_from(*value).map_err(|_| Error::other("integer overflow"))?,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the range is checked; CEL cuts the fraction off"
        )]
        Value::Double(value) if value.abs() < 9_223_372_036_854_775_807.0 => *value as i64,
        Value::Double(_) => return Err(Error::other("integer overflow")),
        Value::String(text) => text
            .parse()
            .map_err(|_| Error::other(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))?,
        Value::Timestamp(nanoseconds) => i64::try_from(nanoseconds.div_euclid(1_000_000_000))
            .map_err(|_| Error::other("integer overflow"))?,
        Value::Duration(nanoseconds) => *nanoseconds,
        _ => return Err(Error::NoSuchOverload),
    }))
}

fn to_uint(value: &Value) -> Result {
    let overflow = || Error::other("unsigned integer overflow");
    Ok(Value::Uint(match value {
        Value::Uint(value) => *value,
        Value::Int(value) => u64::try_from(*value).map_err(|_| overflow())?,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range is checked; CEL cuts the fraction off"
        )]
        Value::Double(value) if *value >= 0.0 && *value < 18_446_744_073_709_551_615.0 => *value as u64,
        Value::Double(_) => return Err(overflow()),
        Value::String(text) => text
            .parse()
            .map_err(|_| Error::other(format!("strconv.ParseUint: parsing {text:?}: invalid syntax")))?,
        _ => return Err(Error::NoSuchOverload),
    }))
}

fn to_double(value: &Value) -> Result {
    #[expect(clippy::cast_precision_loss, reason = "as CEL does")]
    Ok(Value::Double(match value {
        Value::Double(value) => *value,
        Value::Int(value) => *value as f64,
        Value::Uint(value) => *value as f64,
        Value::String(text) => text
            .parse()
            .map_err(|_| Error::other(format!("strconv.ParseFloat: parsing {text:?}: invalid syntax")))?,
        _ => return Err(Error::NoSuchOverload),
    }))
}

pub(crate) fn to_text(value: &Value) -> Result<String> {
    Ok(match value {
        Value::String(text) => text.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => number::double_text(*value),
        Value::Bytes(bytes) => String::from_utf8(bytes.to_vec())
            .map_err(|_| Error::other("invalid UTF-8 in bytes, cannot convert to string"))?,
        Value::Duration(nanoseconds) => time::duration_text(*nanoseconds),
        Value::Timestamp(nanoseconds) => time::timestamp_text(*nanoseconds)?,
        Value::Ip(address) => address.to_string(),
        Value::Cidr(range) => range.to_string(),
        Value::Url(url) => url.text.clone(),
        _ => return Err(Error::NoSuchOverload),
    })
}
