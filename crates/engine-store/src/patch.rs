//! Patches: JSON patch, merge patch, strategic merge patch. (Apply has a module of its own.)

mod json;
mod merge;

use engine_kinds::Status;
use engine_kinds::object::{self, text};
use engine_schema::{Type, strategic};
use serde_json::Value;

use crate::request::PatchKind;

/// The patched form of `base`.
pub(crate) fn apply(kind: PatchKind, base: &Value, patch: &Value, ty: &Type) -> Result<Value, Status> {
    let mut object = patched(kind, base, patch, ty)?;
    let version = |value| text(value, "/metadata/resourceVersion");
    let is_conditional = match kind {
        PatchKind::Json => version(&object) != version(base),
        _ => patch.pointer("/metadata/resourceVersion").is_some(),
    };
    // A patch is conditional on a version only when it sets one itself.
    if !is_conditional {
        object::set_metadata(&mut object, "resourceVersion", None);
    }
    Ok(object)
}

/// What a patch alone makes of `base`.
fn patched(kind: PatchKind, base: &Value, patch: &Value, ty: &Type) -> Result<Value, Status> {
    let mut object = base.clone();
    match kind {
        PatchKind::Json => json::apply(&mut object, patch)?,
        PatchKind::Merge | PatchKind::StrategicMerge if !patch.is_object() => {
            return Err(Status::bad_request("the patch must be an object"));
        }
        PatchKind::Merge => merge::merge(&mut object, patch),
        PatchKind::StrategicMerge => strategic::merge(&mut object, patch, ty)
            .map_err(|error| Status::bad_request(error.to_string()))?,
        PatchKind::Apply => return Err(Status::internal("apply is no plain patch")),
    }
    Ok(object)
}

#[cfg(test)]
mod tests;
