//! The formats that schemas of custom resources may name; others are ignored, as upstream does.
//!
//! Source: apiextensions `pkg/apiserver/validation/formats.go`, kube-openapi `pkg/validation/strfmt`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use base64::Engine as _;
use regex::Regex;

use crate::schema::ValueType;

/// Formats of texts, with dashes taken out.
const TEXTS: &[&str] = &[
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "k8sshortname",
    "k8slongname",
];

/// Patterns of the formats that are one (strfmt: `default.go`; govalidator: `patterns.go`).
const PATTERNS: &[(&str, &str)] = &[
    ("bsonobjectid", r"^[0-9a-fA-F]{24}$"),
    ("uuid", r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$"),
    ("uuid3", r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$"),
    ("uuid4", r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$"),
    ("uuid5", r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$"),
    ("ssn", r"^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$"),
    ("hexcolor", r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"),
    (
        "rgbcolor",
        r"^rgb\(\s*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])\s*,\s*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])\s*,\s*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])\s*\)$",
    ),
    (
        "creditcard",
        r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$",
    ),
    (
        "hostname",
        r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9\-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$",
    ),
    ("mac", r"^([0-9a-fA-F]{2}([:-])){5}[0-9a-fA-F]{2}$|^([0-9a-fA-F]{4}\.){2}[0-9a-fA-F]{4}$"),
    ("email", r"^[^@\s<>]+@[^@\s<>]+$"),
    ("k8sshortname", r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"),
    ("k8slongname", r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
];

static COMPILED: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    let compile = |(name, pattern): &(&'static str, &str)| {
        (*name, Regex::new(pattern).expect("the patterns of formats are good"))
    };
    PATTERNS.iter().map(compile).collect()
});

/// The format if upstream looks at it for such a type, else nothing.
pub(crate) fn supported(ty: Option<ValueType>, format: &str) -> String {
    let known = match ty {
        None | Some(ValueType::String) => TEXTS.contains(&format.replace('-', "").as_str()),
        Some(ValueType::Integer) => matches!(format, "int32" | "int64"),
        Some(ValueType::Number) => matches!(format, "float" | "double"),
        _ => false,
    };
    if known { format.to_owned() } else { String::new() }
}

/// Whether a text has a format.
pub(crate) fn fits(format: &str, text: &str) -> bool {
    let format = format.replace('-', "");
    if let Some((_, regex)) = COMPILED.iter().find(|(name, _)| *name == format) {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let text = if format == "creditcard" { digits.as_str() } else { text };
        let is_too_long = matches!(format.as_str(), "hostname" | "k8slongname") && text.len() > 253;
        return regex.is_match(text) && !is_too_long;
    }
    match format.as_str() {
        "uri" => is_true("isURL(self)", text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => text.parse::<ipnet::IpNet>().is_ok(),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "byte" => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "datetime" => is_date_time(text),
        "duration" => parses_as_duration(text),
        _ => true,
    }
}

/// Some formats are functions of the language of rules.
fn is_true(expression: &str, text: &str) -> bool {
    let Ok(expr) = engine_cel::parse(expression) else { return false };
    let mut budget = engine_cel::Budget::new(engine_cel::PER_CALL_LIMIT);
    let value = engine_cel::evaluate(&expr, &[("self", engine_cel::Value::string(text))], &mut budget);
    matches!(value, Ok(engine_cel::Value::Bool(true)))
}

fn parses_as_duration(text: &str) -> bool {
    is_true("duration(self) >= duration('0') || duration(self) < duration('0')", text)
        || is_spaced_duration(text)
}

/// `2 days`, as Scala writes durations (strfmt: `ParseDuration`).
fn is_spaced_duration(text: &str) -> bool {
    let units = [
        "nanosecond",
        "nano",
        "ns",
        "microsecond",
        "micro",
        "us",
        "µs",
        "millisecond",
        "milli",
        "ms",
        "second",
        "sec",
        "s",
        "minute",
        "min",
        "m",
        "hour",
        "hr",
        "h",
        "day",
        "d",
        "week",
        "wk",
        "w",
    ];
    let text = text.trim();
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim();
    !number.is_empty() && (units.contains(&unit) || units.contains(&unit.strip_suffix('s').unwrap_or(unit)))
}

/// RFC 3339, with the freedoms strfmt gives: seconds and offset may be short.
fn is_date_time(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    upper.contains('T')
        && (upper.parse::<jiff::Timestamp>().is_ok() || upper.parse::<jiff::civil::DateTime>().is_ok())
}

fn digits(text: &str) -> Vec<u32> {
    text.chars()
        .filter(|char| !matches!(char, '-' | ' '))
        .map(|char| char.to_digit(10).unwrap_or(99))
        .collect()
}

fn is_isbn10(text: &str) -> bool {
    let mut digits = digits(text);
    if text.ends_with(['X', 'x'])
        && let Some(last) = digits.last_mut()
    {
        *last = 10;
    }
    digits.len() == 10
        && digits.iter().all(|digit| *digit <= 10)
        && digits.iter().zip(1..).map(|(digit, place)| digit * place).sum::<u32>() % 11 == 0
}

fn is_isbn13(text: &str) -> bool {
    let digits = digits(text);
    let weighted = digits.iter().enumerate().map(|(place, digit)| digit * if place % 2 == 0 { 1 } else { 3 });
    digits.len() == 13 && digits.iter().all(|digit| *digit <= 9) && weighted.sum::<u32>() % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_and_bad_texts() {
        for (format, good, bad) in [
            ("uri", "https://example.com/a", "not a uri"),
            ("email", "a@example.com", "nobody"),
            ("hostname", "example.com", "-bad-.com"),
            ("ipv4", "10.0.0.1", "10.0.0.256"),
            ("ipv6", "::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0"),
            ("mac", "00:11:22:33:44:55", "00:11"),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
            ("uuid4", "123e4567-e89b-42d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
            ("isbn", "0321751043", "0321751044"),
            ("isbn13", "978-0321751041", "978-0321751042"),
            ("creditcard", "4111-1111-1111-1111", "1234"),
            ("ssn", "111-22-3333", "1"),
            ("hexcolor", "#FFFFFF", "#FFFFF"),
            ("rgbcolor", "rgb(1,2,3)", "rgb(1,2)"),
            ("byte", "YWJj", "a!"),
            ("date", "2024-02-29", "2024-02-30"),
            ("date-time", "2024-02-29T12:00:00Z", "2024-02-29"),
            ("duration", "1h30m", "x"),
            ("duration", "22 ns", "22 parsecs"),
            ("bsonobjectid", "507f1f77bcf86cd799439011", "507f"),
            ("k8s-short-name", "my-name", "My-name"),
            ("k8s-long-name", "a.example.com", "a..b"),
        ] {
            assert!(fits(format, good), "{format} {good}");
            assert!(!fits(format, bad), "{format} {bad}");
        }
        assert_eq!(supported(Some(ValueType::String), "frob"), "");
        assert_eq!(supported(Some(ValueType::Integer), "int32"), "int32");
    }
}
