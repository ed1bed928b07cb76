//! Patches: JSON patch, merge patch, strategic merge patch. (Apply has a module of its own.)

use engine_kinds::Status;
use engine_kinds::object::{self, text};
use engine_schema::{Type, strategic};
use serde_json::Value;

use crate::request::PatchKind;

/// The patched form of `base`.
pub(crate) fn apply(kind: PatchKind, base: &Value, patch: &Value, ty: &Type) -> Result<Value, Status> {
    let mut object = base.clone();
    match kind {
        PatchKind::Json => apply_json(&mut object, patch)?,
        PatchKind::Merge | PatchKind::StrategicMerge if !patch.is_object() => {
            return Err(Status::bad_request("the patch must be an object"));
        }
        PatchKind::Merge => json_patch::merge(&mut object, patch),
        PatchKind::StrategicMerge => {
            strategic::merge(&mut object, patch, ty)
                .map_err(|error| Status::bad_request(error.to_string()))?;
        }
        PatchKind::Apply => return Err(Status::internal("apply is no plain patch")),
    }
    // A patch is conditional on a version only when it sets one itself.
    if kind != PatchKind::Json && patch.pointer("/metadata/resourceVersion").is_none() {
        object::set_metadata(&mut object, "resourceVersion", None);
    }
    if kind == PatchKind::Json
        && text(&object, "/metadata/resourceVersion") == text(base, "/metadata/resourceVersion")
    {
        object::set_metadata(&mut object, "resourceVersion", None);
    }
    Ok(object)
}

/// Most operations of one JSON patch (apiserver `maxJSONPatchOperations`).
const MAX_OPERATIONS: usize = 10_000;
/// Most bytes that the `copy` operations of one patch may add (apiserver `JSONPatchMaxCopyBytes`).
const MAX_COPIED: usize = 3 * 1024 * 1024;
/// How deep an object may be nested, as in a body (`serde_json`'s limit). Only JSON patches could make deeper ones.
const MAX_DEPTH: usize = 128;

fn apply_json(object: &mut Value, patch: &Value) -> Result<(), Status> {
    let patch: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
    let count = patch.0.len();
    if count > MAX_OPERATIONS {
        let text = format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}"
        );
        return Err(Status::new(413, "RequestEntityTooLarge", text));
    }
    let mut copied = 0;
    for operation in &patch.0 {
        if let json_patch::PatchOperation::Copy(copy) = operation {
            copied += object.pointer(copy.from.as_str()).map_or(0, |value| value.to_string().len());
            if copied > MAX_COPIED {
                // Upstream: evanphx/json-patch `AccumulatedCopySizeError`.
                return Err(refused(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the \
                     limit {MAX_COPIED}"
                )));
            }
        }
        json_patch::patch(object, std::slice::from_ref(operation))
            .map_err(|error| refused(error.to_string()))?;
    }
    if is_deeper(object, MAX_DEPTH) {
        return Err(refused(format!("the patched object would be nested deeper than {MAX_DEPTH} levels")));
    }
    Ok(())
}

/// 422: the patch cannot be carried out.
fn refused(why: String) -> Status {
    let text = "the server rejected our request due to an error in our request";
    Status::new(422, "Invalid", text).with_cause(engine_kinds::Cause {
        reason: "FieldValueInvalid",
        message: why,
        field: "patch".to_owned(),
    })
}

fn is_deeper(value: &Value, limit: usize) -> bool {
    let within = |value: &Value| limit == 0 || is_deeper(value, limit - 1);
    match value {
        Value::Object(map) => map.values().any(within),
        Value::Array(items) => items.iter().any(within),
        _ => false,
    }
}
