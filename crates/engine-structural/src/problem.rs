//! One thing that is wrong, in the form of apimachinery's `field.Error`.

use serde_json::Value;

/// A finding about a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, such as `spec.size`.
    pub path: String,
    /// What sort of finding.
    pub reason: Reason,
    /// Text without the path.
    pub message: String,
}

/// What sort of finding (apimachinery: `pkg/util/validation/field/errors.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Reason {
    Required,
    Invalid,
    NotSupported,
    Duplicate,
    Forbidden,
    TooLong,
    TooMany,
    TypeInvalid,
}

impl Reason {
    /// As causes name it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }
}

/// A value as Go's `%v` and `%q` show it in such texts.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "\"null\"".to_owned(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => go_float(float),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Go's `%v` of a float.
pub(crate) fn go_float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..21).contains(&exponent) {
        return format!("{value}");
    }
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

impl Problem {
    fn new(path: &str, reason: Reason, message: String) -> Self {
        Self { path: path.to_owned(), reason, message }
    }

    pub(crate) fn invalid(path: &str, value: &Value, detail: &str) -> Self {
        Self::new(path, Reason::Invalid, format!("Invalid value: {}: {detail}", shown(value)))
    }

    /// For objects and lists, whose value is not shown.
    pub(crate) fn invalid_without_value(path: &str, detail: &str) -> Self {
        Self::new(path, Reason::Invalid, format!("Invalid value: {detail}"))
    }

    pub(crate) fn wrong_type(path: &str, value: &Value, detail: &str) -> Self {
        Self::new(path, Reason::TypeInvalid, format!("Invalid value: {}: {detail}", shown(value)))
    }

    pub(crate) fn required(path: &str, detail: &str) -> Self {
        let message = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        Self::new(path, Reason::Required, format!("Required value{message}"))
    }

    pub(crate) fn forbidden(path: &str, detail: &str) -> Self {
        Self::new(path, Reason::Forbidden, format!("Forbidden: {detail}"))
    }

    pub(crate) fn duplicate(path: &str, value: &Value) -> Self {
        Self::new(path, Reason::Duplicate, format!("Duplicate value: {}", shown(value)))
    }

    pub(crate) fn not_supported(path: &str, value: &Value, supported: &[String]) -> Self {
        let supported: Vec<String> = supported.iter().map(|text| format!("{text:?}")).collect();
        let message =
            format!("Unsupported value: {}: supported values: {}", shown(value), supported.join(", "));
        Self::new(path, Reason::NotSupported, message)
    }

    pub(crate) fn too_long(path: &str, most: u64) -> Self {
        let unit = if most == 1 { "byte" } else { "bytes" };
        Self::new(path, Reason::TooLong, format!("Too long: may not be more than {most} {unit}"))
    }

    pub(crate) fn too_many(path: &str, found: usize, most: u64) -> Self {
        let unit = if most == 1 { "item" } else { "items" };
        Self::new(path, Reason::TooMany, format!("Too many: {found}: must have at most {most} {unit}"))
    }

    /// Whether rules cannot be evaluated on such an object (upstream: `hasBlockingErr`).
    pub(crate) fn blocks_rules(&self) -> bool {
        matches!(self.reason, Reason::Required | Reason::TooLong | Reason::TooMany | Reason::TypeInvalid)
    }

    pub(crate) fn rules_not_checked() -> Self {
        let why = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
        Self::invalid("<nil>", &Value::Null, why)
    }
}
