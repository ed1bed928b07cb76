//! DELETE: preconditions, propagation policy, grace, finalizers.

use serde_json::{Value, json};

use crate::request::{DeleteOptions, Env, Written};
use crate::store::{Commit, Store};
use crate::update::is_finished;
use crate::write::Request;
use engine_kinds::object::{self, set_metadata, time_text};
use engine_kinds::{DeleteAnswer, Generation, Kind, Status};

/// Namespaces that always exist (upstream: admission plugin `NamespaceLifecycle`).
const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

impl Store {
    pub(crate) fn delete(
        &mut self,
        env: &mut Env<'_>,
        request: &Request<'_>,
        options: &DeleteOptions,
    ) -> Result<Written, Status> {
        let kind = request.stored_kind();
        let old = self.find(request.id, request.target)?;
        check_preconditions(request, options, &old)?;
        if kind.is_core("namespaces") && IMMORTAL.contains(&request.name()) {
            return Err(Status::forbidden(kind, request.name(), "this namespace may not be deleted"));
        }
        let mut object = Value::clone(&old);
        set_policy_finalizers(&mut object, options)?;
        hold_definition(kind, &mut object);
        let grace = grace_period(kind, &object, options);
        mark_deleted(env, kind, &mut object, grace);
        let dry_run = request.options.dry_run || !options.dry_run.is_empty();
        let finished = is_finished(kind, &object);
        let answer = if finished {
            if !dry_run {
                object = self.commit(request.stored(), Commit::Remove(object));
            }
            match kind.delete_answer {
                DeleteAnswer::Object => request.shown(object),
                DeleteAnswer::Status => {
                    engine_kinds::deleted(request.kind(), request.name(), object::uid(&object))
                }
            }
        } else {
            if object != *old && !dry_run {
                object = self.commit(request.stored(), Commit::Put(object));
            }
            request.shown(object)
        };
        Ok(Written { object: answer, created: false, warnings: Vec::new() })
    }
}

/// A definition stays until its objects are gone.
fn hold_definition(kind: &Kind, object: &mut Value) {
    if kind.plural != engine_extensions::PLURAL || object::is_deleting(object) {
        return;
    }
    let held = object::finalizers(object).any(|name| name == engine_extensions::CLEANUP);
    let mut finalizers: Vec<String> = object::finalizers(object).map(str::to_owned).collect();
    finalizers.extend((!held).then(|| engine_extensions::CLEANUP.to_owned()));
    set_metadata(object, "finalizers", Some(json!(finalizers)));
}

fn check_preconditions(request: &Request<'_>, options: &DeleteOptions, old: &Value) -> Result<(), Status> {
    let Some(wanted) = &options.preconditions else { return Ok(()) };
    let differs = |what: &str, wanted: Option<&String>, found: &str| match wanted {
        Some(wanted) if wanted != found => {
            let why = format!(
                "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
            );
            Err(Status::conflict(request.kind(), request.name(), &why))
        }
        _ => Ok(()),
    };
    differs("UID", wanted.uid.as_ref(), object::uid(old))?;
    differs("ResourceVersion", wanted.resource_version.as_ref(), object::resource_version(old))
}

/// The finalizers that make the garbage collector carry out the propagation policy.
fn set_policy_finalizers(object: &mut Value, options: &DeleteOptions) -> Result<(), Status> {
    let (foreground, orphan) = match (options.propagation_policy.as_deref(), options.orphan_dependents) {
        (Some(_), Some(_)) => {
            return Err(Status::bad_request("orphanDependents and deletionPropagation cannot be both set"));
        }
        (Some("Foreground"), None) => (true, false),
        (Some("Orphan"), None) | (None, Some(true)) => (false, true),
        (Some("Background"), None) | (None, Some(false)) => (false, false),
        // Without a policy, finalizers that are already there stay.
        (None, None) => return Ok(()),
        (Some(other), None) => {
            return Err(Status::bad_request(format!(
                "propagationPolicy: Unsupported value: \"{other}\": supported values: \
                 \"Foreground\", \"Background\", \"Orphan\""
            )));
        }
    };
    let mut finalizers: Vec<String> = object::finalizers(object)
        .filter(|name| *name != FOREGROUND && *name != ORPHAN)
        .map(str::to_owned)
        .collect();
    finalizers.extend(foreground.then(|| FOREGROUND.to_owned()));
    finalizers.extend(orphan.then(|| ORPHAN.to_owned()));
    set_metadata(object, "finalizers", (!finalizers.is_empty()).then(|| json!(finalizers)));
    Ok(())
}

/// Seconds a Pod has to stop; other kinds go at once (upstream: `podStrategy.CheckGracefulDelete`).
fn grace_period(kind: &Kind, object: &Value, options: &DeleteOptions) -> i64 {
    if !kind.is_core("pods") {
        return 0;
    }
    let asked = options
        .grace_period_seconds
        .or_else(|| object::integer(object, "/spec/terminationGracePeriodSeconds"))
        .unwrap_or(0);
    let unscheduled = object::text(object, "/spec/nodeName").is_empty();
    let ended = matches!(object::text(object, "/status/phase"), "Succeeded" | "Failed");
    let grace = if unscheduled || ended {
        0
    } else if asked < 0 {
        1
    } else {
        asked
    };
    // A second delete may only shorten.
    match object::integer(object, "/metadata/deletionGracePeriodSeconds") {
        Some(earlier) if object::is_deleting(object) => grace.min(earlier),
        _ => grace,
    }
}

/// Sets the deletion's metadata, unless they are set and the grace is not shorter.
fn mark_deleted(env: &Env<'_>, kind: &Kind, object: &mut Value, grace: i64) {
    let earlier = object::integer(object, "/metadata/deletionGracePeriodSeconds");
    if object::is_deleting(object) && earlier == Some(grace) {
        return;
    }
    let first = !object::is_deleting(object);
    let time = env.now.checked_add(jiff::SignedDuration::from_secs(grace)).unwrap_or(env.now);
    set_metadata(object, "deletionTimestamp", Some(time_text(time).into()));
    set_metadata(object, "deletionGracePeriodSeconds", Some(grace.into()));
    if first && kind.generation != Generation::None {
        let generation = object::integer(object, "/metadata/generation").unwrap_or(0) + 1;
        set_metadata(object, "generation", Some(generation.into()));
    }
    if kind.is_core("namespaces") {
        object["status"]["phase"] = "Terminating".into();
    }
}
