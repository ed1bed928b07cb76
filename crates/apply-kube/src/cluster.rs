//! Brings a cluster plan about: Pod ranges of Nodes and statuses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;
use plan::{ClusterPlan, ConditionChange, Failure, Report, StatusWrite};
use serde_json::{Value, json};
use types::{NodeName, ObjectRef, Prefix};

use crate::events::seconds;
use crate::{Error, Target, Writer};

/// Writes what the plan says differs from the API; one failure does not stop the rest.
///
/// An object that is gone meanwhile is not a failure: the next plan does not name it.
pub async fn converge(writer: &Writer, plan: &ClusterPlan) -> Report {
    let mut report = Report::default();
    for (node, cidrs) in &plan.pod_cidrs {
        let outcome = write_pod_cidrs(writer, node, cidrs).await;
        count(&mut report, &format!("Pod range of Node {node}"), outcome);
    }
    let now = Timestamp::now();
    for status in &plan.statuses {
        let target = target(status);
        let what = match &target.namespace {
            Some(namespace) => format!("status of {} {namespace}/{}", target.kind, target.name),
            None => format!("status of {} {}", target.kind, target.name),
        };
        let outcome = writer.patch_status(&target, &patch(status, now)).await;
        count(&mut report, &what, outcome);
    }
    report
}

fn count(report: &mut Report, what: &str, outcome: Result<Value, Error>) {
    match outcome {
        Ok(_) => report.written += 1,
        Err(Error::NotFound { .. }) => {}
        Err(error) => {
            report.failures.push(Failure { what: what.to_owned(), why: types::with_causes(&error) })
        }
    }
}

async fn write_pod_cidrs(writer: &Writer, node: &NodeName, cidrs: &[Prefix]) -> Result<Value, Error> {
    let texts: Vec<String> = cidrs.iter().map(ToString::to_string).collect();
    let patch = json!({ "spec": { "podCIDR": texts.first(), "podCIDRs": texts } });
    writer.merge_patch(&Target::cluster("v1", "Node", node.as_str()), &patch).await
}

fn target(status: &StatusWrite) -> Target {
    let (api_version, object) = match status {
        StatusWrite::Service { service, .. } => ("v1", &ObjectRef::namespaced("Service", service)),
        StatusWrite::Ingress { ingress, .. } => {
            ("networking.k8s.io/v1", &ObjectRef::namespaced("Ingress", ingress))
        }
        StatusWrite::Condition { object, .. } => ("v1", object),
    };
    Target {
        api_version: api_version.to_owned(),
        kind: object.kind.clone(),
        namespace: object.namespace.clone(),
        name: object.name.clone(),
    }
}

fn patch(status: &StatusWrite, now: Timestamp) -> Value {
    match status {
        StatusWrite::Service { addresses, .. } | StatusWrite::Ingress { addresses, .. } => {
            load_balancer(addresses)
        }
        StatusWrite::Condition { condition_type, change, .. } => condition(condition_type, change, now),
    }
}

/// A patch of the one condition; `type` is the key of the list, so that the others stay.
fn condition(condition_type: &str, change: &ConditionChange, now: Timestamp) -> Value {
    let (since, text) = match change {
        ConditionChange::Begins(text) => (now, text),
        ConditionChange::Continues { since, text } => (Timestamp::from_second(*since).unwrap_or(now), text),
        ConditionChange::Ends => {
            return json!({ "conditions": [{ "type": condition_type, "$patch": "delete" }] });
        }
    };
    json!({ "conditions": [{
        "type": condition_type,
        "status": "True",
        "reason": text.reason,
        "message": text.message,
        "lastTransitionTime": seconds(since),
    }] })
}

fn load_balancer(addresses: &BTreeSet<IpAddr>) -> Value {
    if addresses.is_empty() {
        return json!({ "loadBalancer": { "ingress": null } });
    }
    let ingress: Vec<Value> = addresses.iter().map(|address| json!({ "ip": address })).collect();
    json!({ "loadBalancer": { "ingress": ingress } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::ConditionText;

    #[test]
    fn addresses_become_ingress_entries_and_none_clears_them() {
        let addresses = BTreeSet::from(["192.0.2.1".parse().expect("address")]);
        assert_eq!(
            load_balancer(&addresses),
            json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } })
        );
        assert_eq!(load_balancer(&BTreeSet::new()), json!({ "loadBalancer": { "ingress": null } }));
    }

    #[test]
    fn a_condition_has_the_time_it_began_and_goes_without_the_others() {
        let now = Timestamp::from_second(1_700_000_060).expect("in range");
        let text = ConditionText { reason: "AddressConflict".into(), message: "taken".into() };
        let since = |change| {
            condition("example.com/Odd", &change, now)["conditions"][0]["lastTransitionTime"].clone()
        };
        assert_eq!(since(ConditionChange::Begins(text.clone())), "2023-11-14T22:14:20Z");
        let continues = ConditionChange::Continues { since: 1_700_000_000, text };
        assert_eq!(since(continues), "2023-11-14T22:13:20Z");
        let ends = condition("example.com/Odd", &ConditionChange::Ends, now);
        assert_eq!(ends, json!({ "conditions": [{ "type": "example.com/Odd", "$patch": "delete" }] }));
    }
}
