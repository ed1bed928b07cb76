//! Label selectors in their JSON form (`metav1.LabelSelector`).

use serde_json::{Value, json};

use crate::object::{list, map, text};

/// Whether a selector object selects what has these labels; an empty one selects everything.
#[must_use]
pub fn selects(selector: &Value, labels: &Value) -> bool {
    let value_of = |key: &str| labels.get(key).and_then(Value::as_str);
    let plain = map(selector, "/matchLabels")
        .into_iter()
        .flatten()
        .all(|(key, value)| value.as_str().is_some() && value_of(key) == value.as_str());
    plain
        && list(selector, "/matchExpressions").iter().all(|term| {
            let value = value_of(text(term, "/key"));
            let listed = value.is_some_and(|value| list(term, "/values").contains(&json!(value)));
            match text(term, "/operator") {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => true,
            }
        })
}
