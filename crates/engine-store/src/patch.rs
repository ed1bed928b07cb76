//! Patches: JSON patch, merge patch, strategic merge patch. (Apply has a module of its own.)

use engine_schema::{Type, strategic};
use serde_json::Value;

use crate::request::PatchKind;
use engine_kinds::Status;
use engine_kinds::object::{self, text};

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

fn apply_json(object: &mut Value, patch: &Value) -> Result<(), Status> {
    let patch: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
    json_patch::patch(object, &patch).map_err(|error| {
        let mut status =
            Status::new(422, "Invalid", "the server rejected our request due to an error in our request");
        status = status.with_cause(engine_kinds::Cause {
            reason: "FieldValueInvalid",
            message: error.to_string(),
            field: "patch".to_owned(),
        });
        status
    })
}
