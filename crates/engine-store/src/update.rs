//! PUT and PATCH: the new state of an object that is already there.

use std::sync::Arc;

use serde_json::Value;

use crate::body;
use crate::certificates;
use crate::managed::{self, Context, Writer};
use crate::patch;
use crate::request::{Env, PatchKind, Written};
use crate::service;
use crate::store::{Commit, Store};
use crate::write::{Request, check_namespace};
use engine_kinds::object::{self, copy_field, set_metadata};
use engine_kinds::{Cause, Generation, Kind, Part, Status};

impl Store {
    pub(crate) fn update(
        &mut self,
        env: &mut Env<'_>,
        request: &Request<'_>,
        body: Value,
    ) -> Result<Written, Status> {
        self.update_part(env, request, body, Part::Main)
    }

    /// PUT on an object or a part of it.
    pub(crate) fn update_part(
        &mut self,
        env: &mut Env<'_>,
        request: &Request<'_>,
        mut body: Value,
        part: Part,
    ) -> Result<Written, Status> {
        let kind = request.kind();
        body::check_type(kind, &mut body)?;
        let mut warnings = body::check(kind, &mut body, request.strictness())?;
        let mut object = request.to_stored(body);
        check_namespace(request, &mut object)?;
        check_name(request, &object)?;
        let Ok(old) = self.find(request.id, request.target) else {
            if part == Part::Main && kind.create_on_update {
                return self.create_by_update(env, request, object, warnings);
            }
            return Err(Status::not_found(kind, request.name()));
        };
        if kind.update_needs_version && object::resource_version(&object).is_empty() {
            let cause = Cause {
                reason: "FieldValueInvalid",
                message: "Invalid value: 0: must be specified for an update".to_owned(),
                field: "metadata.resourceVersion".to_owned(),
            };
            return Err(Status::invalid(&kind.group, &kind.kind, request.name(), vec![cause]));
        }
        let object = self.replace(env, request, &old, object, (part, Writer::Update))?;
        warnings.dedup();
        Ok(Written { object, created: false, warnings })
    }

    fn create_by_update(
        &mut self,
        env: &mut Env<'_>,
        request: &Request<'_>,
        mut object: Value,
        warnings: Vec<String>,
    ) -> Result<Written, Status> {
        if !object::resource_version(&object).is_empty() || !object::uid(&object).is_empty() {
            return Err(Status::not_found(request.kind(), request.name()));
        }
        set_metadata(&mut object, "name", Some(request.name().into()));
        let object = self.insert(env, request, object, Writer::Update)?;
        Ok(Written { object, created: true, warnings })
    }

    pub(crate) fn patch(
        &mut self,
        env: &mut Env<'_>,
        request: &Request<'_>,
        kind: PatchKind,
        patch: &Value,
    ) -> Result<Written, Status> {
        self.patch_part(env, request, (kind, patch), Part::Main)
    }

    /// PATCH, other than apply, on an object or a part of it.
    pub(crate) fn patch_part(
        &mut self,
        env: &mut Env<'_>,
        request: &Request<'_>,
        (patch_kind, patch): (PatchKind, &Value),
        part: Part,
    ) -> Result<Written, Status> {
        let kind = request.kind();
        let old = self.find(request.id, request.target)?;
        let mut patched = patch::apply(patch_kind, &request.seen(&old), patch, &kind.ty())?;
        body::check_type(kind, &mut patched)?;
        let warnings = body::check_patched(kind, &mut patched, request.strictness())?;
        let mut object = request.to_stored(patched);
        check_name(request, &object)?;
        check_namespace(request, &mut object)?;
        let object = self.replace(env, request, &old, object, (part, Writer::Update))?;
        Ok(Written { object, created: false, warnings })
    }

    /// Puts `new` in the place of `old`, as far as `part` allows.
    pub(crate) fn replace(
        &mut self,
        env: &mut Env<'_>,
        request: &Request<'_>,
        old: &Arc<Value>,
        mut new: Value,
        (part, writer): (Part, Writer),
    ) -> Result<Value, Status> {
        let kind = request.stored_kind();
        check_preconditions(request, old, &new)?;
        keep_other_parts(kind, part, old, &mut new);
        keep_system_metadata(old, &mut new);
        certificates::prepare(kind, part, old, &mut new, env.now);
        kind.default(&mut new);
        if part == Part::Main {
            service::prepare(self.allocations(), kind, &mut new, Some(old))?;
        }
        engine_kinds::update(kind, part, &new, old)?;
        service::allocate(self.allocations(), env, kind, &mut new, Some(old))?;
        raise_generation(kind, old, &mut new);
        managed::record(Some(old), &mut new, &Context::new(request, env.now, part.subresource()), writer);
        if is_unchanged(old, &new) {
            return Ok(request.seen(old).into_owned());
        }
        if request.options.dry_run {
            return Ok(request.shown(new));
        }
        let commit = if is_finished(kind, &new) { Commit::Remove(new) } else { Commit::Put(new) };
        let stored = self.commit(request.stored(), commit);
        Ok(request.shown(stored))
    }
}

impl Store {
    /// Puts a state the server itself made in the place of `old`, for a subresource that is no part of the object.
    pub(crate) fn replace_whole(
        &mut self,
        env: &mut Env<'_>,
        request: &Request<'_>,
        old: &Value,
        mut new: Value,
        subresource: &str,
    ) {
        raise_generation(request.stored_kind(), old, &mut new);
        managed::record(
            Some(old),
            &mut new,
            &Context::new(request, env.now, Some(subresource)),
            Writer::Update,
        );
        if !request.options.dry_run && !is_unchanged(old, &new) {
            self.commit(request.stored(), Commit::Put(new));
        }
    }
}

/// The body's name must be the path's; an absent one is an error as upstream.
fn check_name(request: &Request<'_>, object: &Value) -> Result<(), Status> {
    let found = object::name(object);
    if found == request.name() {
        return Ok(());
    }
    Err(Status::bad_request(if found.is_empty() {
        "name must be provided".to_owned()
    } else {
        format!("the name of the object ({found}) does not match the name on the URL ({})", request.name())
    }))
}

/// The body's uid and resourceVersion, where given, must be those of the object.
pub(crate) fn check_preconditions(request: &Request<'_>, old: &Value, new: &Value) -> Result<(), Status> {
    let kind = request.kind();
    let (asked, found) = (object::uid(new), object::uid(old));
    if !asked.is_empty() && asked != found {
        let why = format!("Precondition failed: UID in precondition: {asked}, UID in object meta: {found}");
        return Err(Status::conflict(kind, request.name(), &why));
    }
    let asked = object::resource_version(new);
    if !asked.is_empty() && asked != "0" && asked != object::resource_version(old) {
        return Err(Status::stale(kind, request.name()));
    }
    Ok(())
}

/// Takes from `old` what a write to `part` may not change.
fn keep_other_parts(kind: &Kind, part: Part, old: &Value, new: &mut Value) {
    match part {
        Part::Main if kind.has_status() => copy_field(old, new, "status"),
        Part::Main | Part::Scale => {}
        Part::Status => keep_all_but(old, new, &["/status"]),
        Part::Approval => keep_all_but(old, new, &["/status/conditions"]),
        Part::Finalize => keep_all_but(old, new, &["/spec/finalizers"]),
        Part::EphemeralContainers => keep_all_but(old, new, &["/spec/ephemeralContainers"]),
    }
}

/// Makes `new` the same as `old` but for the fields named.
fn keep_all_but(old: &Value, new: &mut Value, kept: &[&str]) {
    let mut result = old.clone();
    for pointer in kept {
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer begins with a slash");
        let value = new.pointer_mut(pointer).map(Value::take);
        let Some(parent) = result.pointer_mut(parent).and_then(Value::as_object_mut) else { continue };
        match value {
            Some(value) => parent.insert(field.to_owned(), value),
            None => parent.remove(field),
        };
    }
    *new = result;
}

/// Metadata a client cannot change.
fn keep_system_metadata(old: &Value, new: &mut Value) {
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
        "resourceVersion",
        "selfLink",
    ] {
        set_metadata(new, field, old.pointer(&format!("/metadata/{field}")).cloned());
    }
}

fn raise_generation(kind: &Kind, old: &Value, new: &mut Value) {
    let changed = match kind.generation {
        Generation::None => false,
        Generation::Spec => old.get("spec") != new.get("spec"),
        Generation::Content => {
            let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return };
            let content = |map: &serde_json::Map<String, Value>| {
                let mut map = map.clone();
                map.retain(|key, _| key != "metadata" && key != "status");
                map
            };
            content(old) != content(new)
        }
        Generation::Everything => {
            let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return };
            let content = |map: &serde_json::Map<String, Value>| {
                let mut map = map.clone();
                map.remove("metadata");
                map
            };
            content(old) != content(new)
        }
    };
    if changed {
        let generation = object::integer(old, "/metadata/generation").unwrap_or(0) + 1;
        set_metadata(new, "generation", Some(generation.into()));
    }
}

/// Whether nothing changed but the times in managed fields.
fn is_unchanged(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return old == new };
    old.len() == new.len()
        && old.iter().all(|(key, value)| match (key.as_str(), new.get(key)) {
            ("metadata", Some(other)) => managed::same_metadata(value, other),
            (_, other) => other == Some(value),
        })
}

/// Whether a deletion that had begun is complete.
pub(crate) fn is_finished(kind: &Kind, object: &Value) -> bool {
    let holds_finalizers = object::finalizers(object).next().is_some()
        || (kind.is_core("namespaces") && !object::list(object, "/spec/finalizers").is_empty());
    let grace_over = object::integer(object, "/metadata/deletionGracePeriodSeconds").unwrap_or(0) == 0;
    object::is_deleting(object) && grace_over && !holds_finalizers
}
