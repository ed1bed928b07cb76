//! What the server says of a definition: accepted names, conditions, stored versions.
//!
//! Source: apiextensions `pkg/controller/status`, `establish`, `finalizer`, `apiapproval`.

use engine_kinds::object::{list, text, time_text};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::annotations::{Approval, approval, is_protected};
use crate::names::Names;

/// The definition with its status, given the names that others have in its group.
pub fn accept(definition: &Value, others: &Names, now: Timestamp) -> Value {
    let mut definition = definition.clone();
    let (accepted, conflict) = others.settle(&definition);
    definition["status"]["acceptedNames"] = accepted;
    let (good, reason, message) = match &conflict {
        None => (true, "NoConflicts", "no conflicts found"),
        Some((reason, message)) => (false, *reason, message.as_str()),
    };
    set_condition(&mut definition, "NamesAccepted", good, (reason, message), now);
    if good {
        let why = ("InitialNamesAccepted", "the initial names have been accepted");
        set_condition(&mut definition, "Established", true, why, now);
    } else if !is_established(&definition) {
        let why = ("NotAccepted", "not all names are accepted");
        set_condition(&mut definition, "Established", false, why, now);
    }
    say_approval(&mut definition, now);
    let storage = storage_version(&definition);
    let stored = &mut definition["status"]["storedVersions"];
    if !stored.is_array() {
        *stored = json!([]);
    }
    if let Some(stored) = stored.as_array_mut()
        && !stored.iter().any(|version| *version == storage)
    {
        stored.push(storage.into());
    }
    definition
}

/// Name of the version in which objects are stored.
fn storage_version(definition: &Value) -> String {
    let versions = list(definition, "/spec/versions");
    let storage = versions.iter().find(|version| version["storage"] == true);
    storage.map(|version| text(version, "/name").to_owned()).unwrap_or_default()
}

fn say_approval(definition: &mut Value, now: Timestamp) {
    if !is_protected(text(definition, "/spec/group")) {
        return;
    }
    let (good, reason, message) = match approval(definition) {
        Approval::Approved(place) => (true, "ApprovedAnnotation", format!("approved in {place}")),
        Approval::Bypassed(why) => (false, "UnapprovedAnnotation", format!("not approved: {why:?}")),
        Approval::Missing | Approval::Invalid(_) => return,
    };
    set_condition(definition, "KubernetesAPIApprovalPolicyConformant", good, (reason, &message), now);
}

/// The definition as one whose objects are being deleted.
pub fn terminate(definition: &Value, now: Timestamp) -> Value {
    let mut definition = definition.clone();
    let why = ("InstanceDeletionInProgress", "CustomResource deletion is in progress");
    set_condition(&mut definition, "Terminating", true, why, now);
    definition
}

/// Whether the kinds of a definition are served.
pub fn is_established(definition: &Value) -> bool {
    list(definition, "/status/conditions")
        .iter()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}

fn set_condition(
    definition: &mut Value,
    kind: &str,
    good: bool,
    (reason, message): (&str, &str),
    now: Timestamp,
) {
    let status = if good { "True" } else { "False" };
    let conditions = &mut definition["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(conditions) = conditions.as_array_mut() else { return };
    let found = conditions.iter_mut().find(|condition| condition["type"] == kind);
    let time = |old: Option<&Value>| match old {
        Some(old) if old["status"] == status => old["lastTransitionTime"].clone(),
        _ => time_text(now).into(),
    };
    match found {
        Some(old) => {
            let time = time(Some(old));
            *old = condition(kind, status, (reason, message), time);
        }
        None => conditions.push(condition(kind, status, (reason, message), time(None))),
    }
}

fn condition(kind: &str, status: &str, (reason, message): (&str, &str), time: Value) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": time})
}
