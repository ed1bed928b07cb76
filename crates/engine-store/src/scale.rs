//! The scale subresource: `autoscaling/v1 Scale` made from an object and written back to it.

use serde_json::{Value, json};

use engine_kinds::object::{self, integer, scalar_text};
use engine_kinds::{Kind, ScalePaths, selector_text};

/// The Scale of an object.
pub(crate) fn of(kind: &Kind, object: &Value) -> Value {
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.pointer(&format!("/metadata/{field}")) {
            metadata[field] = value.clone();
        }
    }
    let (wanted, found, selector) = match kind.scale() {
        Some(paths) => custom(paths, object),
        None => built_in(object),
    };
    let mut status = json!({ "replicas": found });
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
    if wanted != 0 {
        scale["spec"]["replicas"] = Value::from(wanted);
    }
    scale
}

/// Replicas wanted and found, and the selector as text.
fn built_in(object: &Value) -> (i64, i64, String) {
    let selector = object.pointer("/spec/selector").filter(|selector| selector.is_object());
    let selector = match selector {
        // ReplicationControllers have a plain map.
        Some(map) if !map.as_object().is_some_and(|map| map.values().any(|v| !v.is_string())) => {
            selector_text(Some(&json!({"matchLabels": map})))
        }
        other => selector_text(other),
    };
    let count = |pointer| integer(object, pointer).unwrap_or(0);
    (count("/spec/replicas"), count("/status/replicas"), selector)
}

/// The same by the paths of a definition.
fn custom(paths: &ScalePaths, object: &Value) -> (i64, i64, String) {
    let count = |pointer: &str| integer(object, pointer).unwrap_or(0);
    let selector = paths.selector.as_deref().map(|pointer| scalar_text(object, pointer));
    (count(&paths.spec_replicas), count(&paths.status_replicas), selector.unwrap_or_default())
}

/// The object with the replicas of the Scale.
pub(crate) fn write_back(kind: &Kind, scale: &Value, object: &Value) -> Value {
    let mut object = object.clone();
    let pointer = kind.scale().map_or("/spec/replicas", |paths| &paths.spec_replicas);
    let mut slot = &mut object;
    for step in pointer.split('/').skip(1) {
        if !slot.is_object() {
            *slot = json!({});
        }
        slot = &mut slot[step.replace("~1", "/").replace("~0", "~")];
    }
    *slot = Value::from(integer(scale, "/spec/replicas").unwrap_or(0));
    let version = scale.pointer("/metadata/resourceVersion").cloned();
    object::set_metadata(&mut object, "resourceVersion", version);
    object
}
