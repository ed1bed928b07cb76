//! Operators on values: arithmetic with its overflows, order, membership.

use std::sync::Arc;

use crate::ast::Operator;
use crate::value::{Error, Key, List, ListKind, Map, Value};

/// Smallest and largest point in time (CEL: years 1 to 9999).
const TIME_RANGE: std::ops::RangeInclusive<i128> = -62_135_596_800_000_000_000..=253_402_300_799_999_999_999;

type Result<T = Value> = std::result::Result<T, Error>;

/// Applies an operator to two values.
pub(crate) fn binary(operator: Operator, left: &Value, right: &Value) -> Result {
    use std::cmp::Ordering::{Greater, Less};
    Ok(Value::Bool(match operator {
        Operator::Equal => left.equals(right),
        Operator::NotEqual => !left.equals(right),
        Operator::Less => order(left, right)? == Some(Less),
        Operator::LessEqual => order(left, right)?.is_some_and(|order| order != Greater),
        Operator::Greater => order(left, right)? == Some(Greater),
        Operator::GreaterEqual => order(left, right)?.is_some_and(|order| order != Less),
        Operator::In => contains(right, left)?,
        Operator::Add => return add(left, right),
        Operator::Subtract => return subtract(left, right),
        Operator::Multiply | Operator::Divide | Operator::Modulo => return scale(operator, left, right),
    }))
}

/// Order of two values; not-a-number has none, other types are an error.
fn order(left: &Value, right: &Value) -> Result<Option<std::cmp::Ordering>> {
    let is_number = |value: &Value| matches!(value, Value::Int(_) | Value::Uint(_) | Value::Double(_));
    match left.compare(right) {
        None if !(is_number(left) && is_number(right)) => Err(Error::NoSuchOverload),
        order => Ok(order),
    }
}

fn contains(range: &Value, item: &Value) -> Result<bool> {
    match range {
        Value::List(list) => Ok(list.items.iter().any(|found| found.equals(item))),
        Value::Map(map) => Ok(Key::of(item).is_some_and(|key| map.entries.contains_key(&key))),
        _ => Err(Error::NoSuchOverload),
    }
}

fn int_overflow() -> Error {
    Error::other("integer overflow")
}

fn uint_overflow() -> Error {
    Error::other("unsigned integer overflow")
}

fn timestamp(nanoseconds: i128) -> Result {
    if TIME_RANGE.contains(&nanoseconds) {
        Ok(Value::Timestamp(nanoseconds))
    } else {
        Err(Error::other("timestamp overflow"))
    }
}

/// `left + right`; also for the sum of a list.
pub(crate) fn add(left: &Value, right: &Value) -> Result {
    Ok(match (left, right) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_add(*b).ok_or_else(int_overflow)?),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.checked_add(*b).ok_or_else(uint_overflow)?),
        (Value::Double(a), Value::Double(b)) => Value::Double(a + b),
        (Value::String(a), Value::String(b)) => Value::string(format!("{a}{b}")),
        (Value::Bytes(a), Value::Bytes(b)) => Value::Bytes([&**a, &**b].concat().into()),
        (Value::List(a), Value::List(b)) => add_lists(a, b),
        (Value::Duration(a), Value::Duration(b)) => {
            Value::Duration(a.checked_add(*b).ok_or_else(|| Error::other("duration overflow"))?)
        }
        (Value::Timestamp(time), Value::Duration(span)) | (Value::Duration(span), Value::Timestamp(time)) => {
            timestamp(time + i128::from(*span))?
        }
        _ => return Err(Error::NoSuchOverload),
    })
}

/// Lists of sets are united; keyed lists are merged, the right one's items in place of the left one's
/// (apiserver: `pkg/cel/common/values.go`).
fn add_lists(left: &List, right: &List) -> Value {
    let mut items = left.items.clone();
    match &left.kind {
        ListKind::Atomic => items.extend(right.items.iter().cloned()),
        ListKind::Set => {
            for item in &right.items {
                if !items.iter().any(|found| found.equals(item)) {
                    items.push(item.clone());
                }
            }
        }
        ListKind::Map(keys) => {
            for item in &right.items {
                match items.iter_mut().find(|found| same_keys(found, item, keys)) {
                    Some(found) => *found = item.clone(),
                    None => items.push(item.clone()),
                }
            }
        }
    }
    Value::List(Arc::new(List { items, kind: left.kind.clone() }))
}

fn same_keys(left: &Value, right: &Value, keys: &[String]) -> bool {
    let (Value::Map(left), Value::Map(right)) = (left, right) else { return false };
    let field = |map: &Map, key: &str| map.entries.get(&Key::string(key)).cloned().unwrap_or(Value::Null);
    keys.iter().all(|key| field(left, key).equals(&field(right, key)))
}

fn subtract(left: &Value, right: &Value) -> Result {
    Ok(match (left, right) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_sub(*b).ok_or_else(int_overflow)?),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.checked_sub(*b).ok_or_else(uint_overflow)?),
        (Value::Double(a), Value::Double(b)) => Value::Double(a - b),
        (Value::Duration(a), Value::Duration(b)) => {
            Value::Duration(a.checked_sub(*b).ok_or_else(|| Error::other("duration overflow"))?)
        }
        (Value::Timestamp(time), Value::Duration(span)) => timestamp(time - i128::from(*span))?,
        (Value::Timestamp(a), Value::Timestamp(b)) => {
            Value::Duration(i64::try_from(a - b).map_err(|_| Error::other("duration overflow"))?)
        }
        _ => return Err(Error::NoSuchOverload),
    })
}

fn scale(operator: Operator, left: &Value, right: &Value) -> Result {
    let by_zero =
        || Error::other(if operator == Operator::Divide { "division by zero" } else { "modulus by zero" });
    Ok(match (operator, left, right) {
        (Operator::Multiply, Value::Int(a), Value::Int(b)) => {
            Value::Int(a.checked_mul(*b).ok_or_else(int_overflow)?)
        }
        (Operator::Multiply, Value::Uint(a), Value::Uint(b)) => {
            Value::Uint(a.checked_mul(*b).ok_or_else(uint_overflow)?)
        }
        (Operator::Multiply, Value::Double(a), Value::Double(b)) => Value::Double(a * b),
        (Operator::Divide, Value::Double(a), Value::Double(b)) => Value::Double(a / b),
        (Operator::Divide | Operator::Modulo, Value::Int(_), Value::Int(0))
        | (Operator::Divide | Operator::Modulo, Value::Uint(_), Value::Uint(0)) => return Err(by_zero()),
        (Operator::Divide, Value::Int(a), Value::Int(b)) => {
            Value::Int(a.checked_div(*b).ok_or_else(int_overflow)?)
        }
        (Operator::Modulo, Value::Int(a), Value::Int(b)) => {
            Value::Int(a.checked_rem(*b).ok_or_else(int_overflow)?)
        }
        (Operator::Divide, Value::Uint(a), Value::Uint(b)) => Value::Uint(a / b),
        (Operator::Modulo, Value::Uint(a), Value::Uint(b)) => Value::Uint(a % b),
        _ => return Err(Error::NoSuchOverload),
    })
}

/// `-value`.
pub(crate) fn negate(value: &Value) -> Result {
    match value {
        Value::Int(value) => value.checked_neg().map(Value::Int).ok_or_else(int_overflow),
        Value::Double(value) => Ok(Value::Double(-value)),
        Value::Duration(value) => {
            value.checked_neg().map(Value::Duration).ok_or_else(|| Error::other("duration overflow"))
        }
        _ => Err(Error::NoSuchOverload),
    }
}
