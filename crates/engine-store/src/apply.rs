//! Server-side apply: merge by schema, conflicts, and removal of what a manager no longer applies.

use std::sync::Arc;

use engine_schema::{FieldSet, compare, merge, prune};
use serde_json::Value;

use crate::body;
use crate::managed::{Context, Entry, Operation, Writer, entries, strip};
use crate::request::{Env, Written};
use crate::store::Store;
use crate::write::{Request, check_namespace};
use engine_kinds::object::{self, set_metadata};
use engine_kinds::{Cause, Details, Part, Status};

/// Where kubectl's older apply keeps the last manifest.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

impl Store {
    pub(crate) fn apply(
        &mut self,
        env: &mut Env<'_>,
        request: &Request<'_>,
        body: &Value,
    ) -> Result<Written, Status> {
        self.apply_part(env, request, body, Part::Main)
    }

    /// PATCH with an apply body on an object or a part of it.
    pub(crate) fn apply_part(
        &mut self,
        env: &mut Env<'_>,
        request: &Request<'_>,
        body: &Value,
        part: Part,
    ) -> Result<Written, Status> {
        let (mut applied, mut warnings) = decode_applied(request, body)?;
        drop_reset_fields(request, part, &mut applied);
        let context = Context::new(request, env.now, part.subresource());
        let mut fields = FieldSet::of(&applied, &context.ty);
        strip(&mut fields);
        let Ok(old) = self.find(request.id, request.target) else {
            if part != Part::Main {
                return Err(Status::not_found(request.kind(), request.name()));
            }
            if !object::uid(&applied).is_empty() {
                return Err(Status::conflict(
                    request.kind(),
                    request.name(),
                    "uid mismatch: the provided object specified uid, and no existing object was found",
                ));
            }
            set_metadata(&mut applied, "resourceVersion", None);
            let writer = Writer::Apply(vec![context.entry(Operation::Apply, fields)]);
            let object = self.insert(env, request, applied, writer)?;
            warnings.extend(request.kind().warning.as_ref().map(ToString::to_string));
            return Ok(Written { object, created: true, warnings });
        };
        let object = self.apply_to(env, request, (&old, &applied), (context, fields), part)?;
        Ok(Written { object, created: false, warnings })
    }

    fn apply_to(
        &mut self,
        env: &mut Env<'_>,
        request: &Request<'_>,
        (old, applied): (&Arc<Value>, &Value),
        (context, fields): (Context, FieldSet),
        part: Part,
    ) -> Result<Value, Status> {
        let (merged, managers) = settle(&context, old, (applied, fields), request.options.force)?;
        self.replace(env, request, old, merged, (part, Writer::Apply(managers)))
    }
}

/// The state an apply makes of `old`, and who owns what in it then.
fn settle(
    context: &Context,
    old: &Value,
    (applied, fields): (&Value, FieldSet),
    force: bool,
) -> Result<(Value, Vec<Entry>), Status> {
    let ty = &context.ty;
    let mut merged = old.clone();
    merge(&mut merged, applied, ty);
    let mut managers = entries(old);
    if managers.is_empty() {
        managers.extend(before_first_apply(context, old));
    }
    let own = managers.iter().position(|entry| context.owns(entry, Operation::Apply));
    let last = own.map(|index| managers.remove(index));
    if let Some(last) = &last {
        // With the name, which nobody owns: metadata as a whole must not look like something no longer applied.
        let mut managed = FieldSet::of(applied, ty);
        managers.iter().for_each(|entry| managed.union(&entry.fields));
        merged = prune(&merged, ty, &last.fields, &managed);
    }
    let mut difference = compare(Some(old), Some(&merged), ty);
    strip(&mut difference.changed);
    settle_conflicts(&mut managers, &difference.changed, force)?;
    managers.iter_mut().for_each(|entry| entry.fields.subtract(&difference.removed));
    drop_nulls(&mut merged);
    refresh_last_applied(context, applied, &mut merged);
    let entry = match last {
        Some(last) if last.fields == fields && last.api_version == context.api_version => last,
        _ => context.entry(Operation::Apply, fields),
    };
    managers.push(entry);
    Ok((merged, managers))
}

/// Who owns what is there when nobody is recorded to (upstream: `skipNonAppliedManager`).
fn before_first_apply(context: &Context, old: &Value) -> Option<Entry> {
    let mut fields = compare(None, Some(old), &context.ty).changed;
    strip(&mut fields);
    let entry =
        Entry { manager: "before-first-apply".to_owned(), ..context.entry(Operation::Update, fields) };
    (!entry.fields.is_empty()).then_some(entry)
}

/// Takes out what pruning emptied.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, member| !member.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Checks the body of an apply and brings it into the stored form.
fn decode_applied(request: &Request<'_>, body: &Value) -> Result<(Value, Vec<String>), Status> {
    let kind = request.kind();
    if request.options.field_manager.is_empty() {
        let cause = Cause {
            reason: "FieldValueRequired",
            message: "Required value: is required for apply patch".to_owned(),
            field: "fieldManager".to_owned(),
        };
        return Err(Status::invalid("meta.k8s.io", "PatchOptions", "", vec![cause]));
    }
    for field in ["apiVersion", "kind"] {
        if body.get(field).and_then(Value::as_str).unwrap_or_default().is_empty() {
            return Err(Status::bad_request(format!("invalid object to apply: {field} must be set")));
        }
    }
    if body.pointer("/metadata/managedFields").is_some_and(|entries| !entries.is_null()) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let mut body = body.clone();
    body::check_type(kind, &mut body)?;
    let warnings = body::check(kind, &mut body, request.strictness())?;
    let mut applied = request.to_stored(body);
    check_namespace(request, &mut applied)?;
    let name = object::name(&applied);
    if !name.is_empty() && name != request.name() {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            request.name()
        )));
    }
    set_metadata(&mut applied, "name", Some(request.name().into()));
    Ok((applied, warnings))
}

/// Leaves out what this endpoint ignores: `status` on the object, everything else on `/status`.
fn drop_reset_fields(request: &Request<'_>, part: Part, applied: &mut Value) {
    let has_status = request.stored_kind().has_status();
    let Some(map) = applied.as_object_mut() else { return };
    match part {
        Part::Main if has_status => {
            map.remove("status");
        }
        Part::Status | Part::Approval => {
            map.retain(|key, _| matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "status"))
        }
        _ => {}
    }
    if part != Part::Main {
        let metadata = object::metadata_mut(applied);
        metadata.retain(|key, _| matches!(key.as_str(), "name" | "namespace" | "uid" | "resourceVersion"));
    }
}

/// Finds fields of others that would change; takes them over when forced, refuses otherwise.
fn settle_conflicts(managers: &mut [Entry], changed: &FieldSet, force: bool) -> Result<(), Status> {
    let mut conflicts = Vec::new();
    for entry in managers.iter_mut() {
        let conflict = entry.fields.intersection(changed);
        if conflict.is_empty() {
            continue;
        }
        if force {
            entry.fields.subtract(&conflict);
        } else {
            conflicts.push((describe(entry), conflict.paths()));
        }
    }
    conflicts.sort();
    if conflicts.is_empty() { Ok(()) } else { Err(conflict_status(&conflicts)) }
}

/// `conflict with "M" with subresource "S" using V at T` without the first two words.
fn describe(entry: &Entry) -> String {
    let mut text = format!("\"{}\"", entry.manager);
    if let Some(subresource) = &entry.subresource {
        text.push_str(&format!(" with subresource \"{subresource}\""));
    }
    if entry.operation == Operation::Update {
        text.push_str(&format!(" using {}", entry.api_version));
        if !entry.time.is_empty() {
            text.push_str(&format!(" at {}", entry.time));
        }
    }
    text
}

fn conflict_status(conflicts: &[(String, Vec<String>)]) -> Status {
    let causes: Vec<Cause> = conflicts
        .iter()
        .flat_map(|(manager, paths)| {
            paths.iter().map(move |path| Cause {
                reason: "FieldManagerConflict",
                message: format!("conflict with {manager}"),
                field: path.clone(),
            })
        })
        .collect();
    let count = causes.len();
    let text = match causes.as_slice() {
        [only] => format!("Apply failed with 1 conflict: {}: {}", only.message, only.field),
        _ => {
            let mut text = format!("Apply failed with {count} conflicts:");
            for (index, (manager, paths)) in conflicts.iter().enumerate() {
                text.push_str(if index == 0 { " " } else { "\n" });
                text.push_str(&format!("conflicts with {manager}:"));
                paths.iter().for_each(|path| text.push_str(&format!("\n- {path}")));
            }
            text
        }
    };
    Status::new(409, "Conflict", text).about(Details { causes, ..Details::default() })
}

/// kubectl's server-side apply keeps the annotation of its client-side apply fresh (upstream: `lastAppliedUpdater`).
fn refresh_last_applied(context: &Context, applied: &Value, merged: &mut Value) {
    let annotations = merged.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    let Some(slot) = annotations.and_then(|map| map.get_mut(LAST_APPLIED)) else { return };
    if context.manager != "kubectl" {
        return;
    }
    let mut manifest = applied.clone();
    if let Some(map) = manifest.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        map.remove(LAST_APPLIED);
    }
    *slot = Value::from(format!("{manifest}\n"));
}

#[cfg(test)]
mod tests;
