//! Rules for ephemeral containers (upstream: `validateEphemeralContainers`, `ValidatePodEphemeralContainersUpdate`).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::object::{list, text};
use crate::validate::Findings;

const FIELD: &str = "spec.ephemeralContainers";
/// Fields of containers that these must not have (upstream: all but `allowedEphemeralContainerFields`).
const FORBIDDEN: &[&str] =
    &["lifecycle", "livenessProbe", "ports", "readinessProbe", "resizePolicy", "resources", "startupProbe"];

/// A new Pod has none yet.
pub(super) fn new_pod(pod: &Value, findings: &mut Findings) {
    if !list(pod, "/spec/ephemeralContainers").is_empty() {
        findings.forbidden(FIELD, "cannot be set on create");
    }
}

/// The list with which somebody replaces a Pod's.
pub(crate) fn update(new: &Value, old: &Value, findings: &mut Findings) {
    let lasting: BTreeSet<&str> = ["/spec/initContainers", "/spec/containers"]
        .into_iter()
        .flat_map(|pointer| list(new, pointer))
        .map(|container| text(container, "/name"))
        .collect();
    let mut names = lasting.clone();
    for (index, container) in list(new, "/spec/ephemeralContainers").iter().enumerate() {
        let field = |name: &str| format!("{FIELD}[{index}].{name}");
        for required in ["name", "image"] {
            if text(container, &format!("/{required}")).is_empty() {
                findings.required(&field(required), "");
            }
        }
        let name = text(container, "/name");
        if !name.is_empty() && !names.insert(name) {
            findings.duplicate(&field("name"), &json!(name));
        }
        let target = text(container, "/targetContainerName");
        if !target.is_empty() && !lasting.contains(target) {
            findings.not_found(&field("targetContainerName"), target);
        }
        for forbidden in FORBIDDEN.iter().filter(|forbidden| is_set(container, forbidden)) {
            findings.forbidden(&field(forbidden), "cannot be set for an Ephemeral Container");
        }
    }
    for before in list(old, "/spec/ephemeralContainers") {
        let name = text(before, "/name");
        let now = list(new, "/spec/ephemeralContainers").iter().find(|now| text(now, "/name") == name);
        let what = match now {
            None => "removed",
            Some(now) if now != before => "changed",
            Some(_) => continue,
        };
        findings.forbidden(FIELD, &format!("existing ephemeral containers {name:?} may not be {what}\n"));
    }
}

/// Whether a field says anything.
fn is_set(container: &Value, field: &str) -> bool {
    match container.get(field) {
        None | Some(Value::Null) => false,
        Some(Value::Array(all)) => !all.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_pod(ephemeral: &Value) -> Value {
        json!({"spec": {"containers": [{"name": "web"}], "initContainers": [{"name": "init"}],
            "ephemeralContainers": ephemeral}})
    }

    fn check(new: &Value, old: &Value) -> Vec<String> {
        let mut findings = Findings::default();
        update(&mk_pod(new), &mk_pod(old), &mut findings);
        findings.causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
    }

    #[test]
    fn a_target_is_a_container_that_lasts() {
        let one = |target: &str| json!({"name": "debug", "image": "x", "targetContainerName": target});
        for good in ["", "web", "init"] {
            assert!(check(&json!([one(good)]), &json!([])).is_empty(), "{good}");
        }
        for bad in ["debug", "none"] {
            let said = check(&json!([one(bad)]), &json!([]));
            let wanted = format!("spec.ephemeralContainers[0].targetContainerName: Not found: {bad:?}");
            assert_eq!(said, [wanted]);
        }
    }

    #[test]
    fn what_is_there_stays_and_what_comes_is_new() {
        let first = json!({"name": "first", "image": "x"});
        assert!(check(&json!([first, {"name": "second", "image": "x"}]), &json!([first])).is_empty());
        let said = check(&json!([{"name": "web", "image": "x", "ports": [{}]}]), &json!([first]));
        assert_eq!(
            said,
            [
                "spec.ephemeralContainers[0].name: Duplicate value: \"web\"",
                "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
                "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"first\" may not be removed\n",
            ]
        );
        let said = check(&json!([{"name": "first", "image": "y"}]), &json!([first]));
        assert!(
            said[0].ends_with("existing ephemeral containers \"first\" may not be changed\n"),
            "{said:?}"
        );
        let mut findings = Findings::default();
        new_pod(&mk_pod(&json!([first])), &mut findings);
        assert_eq!(findings.causes.len(), 1);
    }
}
