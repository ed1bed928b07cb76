//! The scale subresource: `autoscaling/v1 Scale` made from an object and written back to it.

use serde_json::{Value, json};

use engine_kinds::object::{self, integer};
use engine_kinds::selector_text;

/// The Scale of an object.
pub(crate) fn of(object: &Value) -> Value {
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.pointer(&format!("/metadata/{field}")) {
            metadata[field] = value.clone();
        }
    }
    let mut status = json!({"replicas": integer(object, "/status/replicas").unwrap_or(0)});
    let selector = object.pointer("/spec/selector").filter(|selector| selector.is_object());
    let selector = match selector {
        // ReplicationControllers have a plain map.
        Some(map) if !map.as_object().is_some_and(|map| map.values().any(|v| !v.is_string())) => {
            selector_text(Some(&json!({"matchLabels": map})))
        }
        other => selector_text(other),
    };
    if !selector.is_empty() {
        status["selector"] = Value::from(selector);
    }
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {},
        "status": status,
    });
    if let Some(replicas) = integer(object, "/spec/replicas").filter(|replicas| *replicas != 0) {
        scale["spec"]["replicas"] = Value::from(replicas);
    }
    scale
}

/// The object with the replicas of the Scale.
pub(crate) fn write_back(scale: &Value, object: &Value) -> Value {
    let mut object = object.clone();
    object["spec"]["replicas"] = Value::from(integer(scale, "/spec/replicas").unwrap_or(0));
    let version = scale.pointer("/metadata/resourceVersion").cloned();
    object::set_metadata(&mut object, "resourceVersion", version);
    object
}
