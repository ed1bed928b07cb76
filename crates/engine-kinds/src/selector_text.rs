//! Label selectors of objects as the text that queries and tables use.

use serde_json::Value;

/// The text of a `LabelSelector` object, as in the status of a Scale.
pub fn selector_text(selector: Option<&Value>) -> String {
    let mut terms = Vec::new();
    let Some(selector) = selector else { return String::new() };
    for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
        terms.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for term in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
        terms.push(expression_text(term));
    }
    terms.join(",")
}

fn expression_text(term: &Value) -> String {
    let word = |field: &str| term.get(field).and_then(Value::as_str).unwrap_or_default();
    let key = word("key");
    let mut values: Vec<&str> = term
        .get("values")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    values.sort_unstable();
    let values = values.join(",");
    match word("operator") {
        "In" => format!("{key} in ({values})"),
        "NotIn" => format!("{key} notin ({values})"),
        "DoesNotExist" => format!("!{key}"),
        _ => key.to_owned(),
    }
}
