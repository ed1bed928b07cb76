//! What an object's own status says of our findings, for the kinds whose status has conditions.
//!
//! Those are Services and Nodes. Ingress v1, NetworkPolicy v1, EndpointSlice, IngressClass and Secret have no
//! conditions, and a Pod's and a Namespace's are not ours to write: there, a finding is told by its Event alone. The
//! `ports[].error` that `status.loadBalancer.ingress` of an Ingress has speaks of a whole port of the entry, which goes
//! on serving everybody else, and so it is left empty.

use std::collections::{BTreeMap, BTreeSet};

use model::{Condition, Conditions, Kind, Snapshot};
use plan::{ConditionChange, ConditionText, Finding, Severity, StatusWrite};
use types::ObjectRef;

use crate::findings::Findings;

/// True while something the object asks for does not happen, and absent otherwise.
///
/// A healthy object carries none, as with `LoadBalancerDegraded` of KEP-4631: whether all of it works is known to
/// the nodes and not here, and what an object shows must not depend on whether it was ever broken.
const DEGRADED: &str = "sealane.dev/Degraded";
/// Reason of a condition about findings with different reasons (KEP-4631 has the same).
const SEVERAL_REASONS: &str = "Multiple";
/// Most findings that one message tells; far below the 32768 bytes that `metav1.Condition` allows.
const MOST_TOLD: usize = 8;

/// Conditions that differ from what the API says.
pub(crate) fn of_findings(snapshot: &Snapshot, findings: &Findings) -> Vec<StatusWrite> {
    let mut wanted = texts(findings);
    let mut writes = Vec::new();
    for (object, shown) in shown(snapshot) {
        let mut wanted: BTreeMap<&str, ConditionText> =
            wanted.remove(&object).into_iter().map(|text| (DEGRADED, text)).collect();
        let types: BTreeSet<&str> = shown.keys().map(String::as_str).chain(wanted.keys().copied()).collect();
        for condition_type in types {
            if let Some(change) = change(shown.get(condition_type), wanted.remove(condition_type)) {
                let condition_type = condition_type.to_owned();
                writes.push(StatusWrite::Condition { object: object.clone(), condition_type, change });
            }
        }
    }
    writes
}

/// Every object whose status can tell, with what of ours it tells now.
fn shown(snapshot: &Snapshot) -> BTreeMap<ObjectRef, &Conditions> {
    let services = snapshot
        .services
        .values()
        .map(|service| (ObjectRef::namespaced(Kind::Service.as_str(), &service.name), &service.conditions));
    let nodes = snapshot
        .nodes
        .values()
        .map(|node| (ObjectRef::cluster(Kind::Node.as_str(), node.name.as_str()), &node.conditions));
    let rejected = snapshot.rejected.values();
    let rejected = rejected.filter_map(|object| Some((object.object.clone(), object.conditions.as_ref()?)));
    services.chain(nodes).chain(rejected).collect()
}

/// What each object with a finding of severity Error should say.
fn texts(findings: &Findings) -> BTreeMap<ObjectRef, ConditionText> {
    let mut by_object: BTreeMap<&ObjectRef, Vec<&Finding>> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.severity == Severity::Error) {
        by_object.entry(&finding.object).or_default().push(finding);
    }
    by_object.into_iter().map(|(object, findings)| (object.clone(), text(&findings))).collect()
}

fn text(findings: &[&Finding]) -> ConditionText {
    let reasons: BTreeSet<&str> = findings.iter().map(|finding| finding.reason).collect();
    let reason = match reasons.first() {
        Some(reason) if reasons.len() == 1 => reason,
        _ => SEVERAL_REASONS,
    };
    let told: Vec<String> = findings.iter().take(MOST_TOLD).map(|finding| finding.text()).collect();
    let mut message = told.join("; ");
    if findings.len() > MOST_TOLD {
        message += &format!("; and {} more", findings.len() - MOST_TOLD);
    }
    ConditionText { reason: reason.to_owned(), message }
}

fn change(shown: Option<&Condition>, wanted: Option<ConditionText>) -> Option<ConditionChange> {
    match (shown, wanted) {
        (None, None) => None,
        (Some(_), None) => Some(ConditionChange::Ends),
        (Some(shown), Some(text)) if shown.status == "True" => {
            let says_so = shown.reason == text.reason && shown.message == text.message;
            (!says_so).then_some(ConditionChange::Continues { since: shown.last_transition, text })
        }
        (_, Some(text)) => Some(ConditionChange::Begins(text)),
    }
}

#[cfg(test)]
mod tests;
