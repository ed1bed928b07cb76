//! JSON merge patch (RFC 7396), with the habit of Kubernetes' library to drop nulls inside of new lists, too.

use serde_json::Value;

/// Merges `patch` into `object`.
pub(super) fn merge(object: &mut Value, patch: &Value) {
    match (object, patch) {
        (Value::Object(live), Value::Object(changes)) => {
            for (key, value) in changes {
                match live.get_mut(key) {
                    _ if value.is_null() => drop(live.remove(key)),
                    Some(slot) if !slot.is_null() => merge(slot, value),
                    _ => drop(live.insert(key.clone(), without_nulls(value))),
                }
            }
        }
        (object @ Value::Object(_), patch) => *object = patch.clone(),
        (object, patch) => *object = without_nulls(patch),
    }
}

/// A value without null fields; items of lists that are null themselves stay.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let fields = map.iter().filter(|(_, value)| !value.is_null());
            fields.map(|(key, value)| (key.clone(), without_nulls(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
