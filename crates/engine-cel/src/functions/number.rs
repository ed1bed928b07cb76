//! Quantities (apiserver: `pkg/cel/library/quantity.go`) and how doubles are written.

use std::cmp::Ordering;

use crate::eval::Budget;
use crate::functions::Result;
use crate::value::{Error, Value};

/// Billionths, the finest part a quantity has.
const NANO: i128 = 1_000_000_000;

/// Suffixes and their factors in billionths (apimachinery: `pkg/api/resource/suffix.go`).
const SUFFIXES: &[(&str, i128)] = &[
    ("Ki", NANO << 10),
    ("Mi", NANO << 20),
    ("Gi", NANO << 30),
    ("Ti", NANO << 40),
    ("Pi", NANO << 50),
    ("Ei", NANO << 60),
    ("n", 1),
    ("u", 1_000),
    ("m", 1_000_000),
    ("k", NANO * 1_000),
    ("M", NANO * 1_000_000),
    ("G", NANO * 1_000_000_000),
    ("T", NANO * 1_000_000_000_000),
    ("P", NANO * 1_000_000_000_000_000),
    ("E", NANO * 1_000_000_000_000_000_000),
];

/// `None` when the library has no such function for such arguments.
pub(crate) fn call(name: &str, arguments: &[Value], budget: &mut Budget) -> Option<Result> {
    match (name, arguments) {
        ("quantity", [Value::String(text)]) => {
            let quantity = budget.walk(text.len() as u64).and_then(|()| {
                parse_quantity(text).ok_or_else(|| {
                    Error::other(
                        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
                    )
                })
            });
            Some(quantity.map(Value::Quantity))
        }
        ("isQuantity", [Value::String(text)]) => {
            Some(budget.walk(text.len() as u64).map(|()| Value::Bool(parse_quantity(text).is_some())))
        }
        (_, [Value::Quantity(quantity)]) => of_quantity(name, *quantity),
        (_, [Value::Quantity(left), right]) => with_quantity(name, *left, right),
        _ => None,
    }
}

fn parse_quantity(text: &str) -> Option<i128> {
    let end = text
        .char_indices()
        .find(|(at, char)| {
            !(char.is_ascii_digit() || *char == '.' || (*at == 0 && matches!(char, '+' | '-')))
        })
        .map_or(text.len(), |(at, _)| at);
    let (number, suffix) = text.split_at(end);
    if let Some(exponent) = suffix.strip_prefix(['e', 'E']).filter(|exponent| !exponent.is_empty()) {
        let exponent: i32 = exponent.parse().ok().filter(|exponent: &i32| exponent.abs() <= 27)?;
        return scaled(number, NANO, exponent);
    }
    if suffix.is_empty() {
        return scaled(number, NANO, 0);
    }
    let (_, factor) = SUFFIXES.iter().find(|(name, _)| *name == suffix)?;
    scaled(number, *factor, 0)
}

/// `number × factor × 10^exponent`, rounded up to whole billionths.
fn scaled(number: &str, factor: i128, exponent: i32) -> Option<i128> {
    let (negative, digits) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mantissa: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let shift = exponent - i32::try_from(fraction.len()).ok()?;
    let value = mantissa.checked_mul(factor)?;
    let power = 10_i128.checked_pow(shift.unsigned_abs())?;
    let value =
        if shift >= 0 { value.checked_mul(power)? } else { value / power + i128::from(value % power != 0) };
    Some(if negative { -value } else { value })
}

fn of_quantity(name: &str, quantity: i128) -> Option<Result> {
    let whole = (quantity % NANO == 0).then_some(quantity / NANO).and_then(|whole| i64::try_from(whole).ok());
    Some(match name {
        "sign" => Ok(Value::Int(i64::try_from(quantity.signum()).unwrap_or_default())),
        "isInteger" => Ok(Value::Bool(whole.is_some())),
        "asInteger" => whole.map(Value::Int).ok_or_else(|| Error::other("cannot convert value to integer")),
        #[expect(clippy::cast_precision_loss, reason = "the function says approximate")]
        "asApproximateFloat" => Ok(Value::Double(quantity as f64 / NANO as f64)),
        _ => return None,
    })
}

fn with_quantity(name: &str, left: i128, right: &Value) -> Option<Result> {
    let right = match right {
        Value::Quantity(right) => *right,
        Value::Int(right) if matches!(name, "add" | "sub") => i128::from(*right) * NANO,
        _ => return None,
    };
    let overflow = || Error::other("quantity overflow");
    Some(match name {
        "add" => left.checked_add(right).map(Value::Quantity).ok_or_else(overflow),
        "sub" => left.checked_sub(right).map(Value::Quantity).ok_or_else(overflow),
        "isLessThan" => Ok(Value::Bool(left < right)),
        "isGreaterThan" => Ok(Value::Bool(left > right)),
        "compareTo" => Ok(Value::Int(match left.cmp(&right) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        })),
        _ => return None,
    })
}

/// As Go writes a float with `%g`.
pub(crate) fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..21).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}
