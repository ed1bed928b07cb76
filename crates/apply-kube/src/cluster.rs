//! Brings a cluster plan about: Pod ranges of Nodes and statuses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use plan::{ClusterPlan, Failure, Report, StatusWrite};
use serde_json::{Value, json};
use types::{NamespacedName, NodeName, Prefix};

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
    for status in &plan.statuses {
        let (target, addresses) = status_target(status);
        let what = format!(
            "status of {} {}/{}",
            target.kind,
            target.namespace.as_deref().unwrap_or(""),
            target.name
        );
        let outcome = writer.patch_status(&target, &load_balancer(addresses)).await;
        count(&mut report, &what, outcome);
    }
    report
}

fn count(report: &mut Report, what: &str, outcome: Result<Value, Error>) {
    match outcome {
        Ok(_) => report.written += 1,
        Err(Error::NotFound { .. }) => {}
        Err(error) => report.failures.push(Failure { what: what.to_owned(), why: with_causes(&error) }),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn write_pod_cidrs(writer: &Writer, node: &NodeName, cidrs: &[Prefix]) -> Result<Value, Error> {
    let texts: Vec<String> = cidrs.iter().map(ToString::to_string).collect();
    let patch = json!({ "spec": { "podCIDR": texts.first(), "podCIDRs": texts } });
    writer.merge_patch(&Target::cluster("v1", "Node", node.as_str()), &patch).await
}

fn status_target(status: &StatusWrite) -> (Target, &BTreeSet<IpAddr>) {
    let target = |api_version: &str, kind: &str, name: &NamespacedName| {
        Target::namespaced(api_version, kind, &name.namespace, &name.name)
    };
    match status {
        StatusWrite::Service { service, addresses } => (target("v1", "Service", service), addresses),
        StatusWrite::Ingress { ingress, addresses } => {
            (target("networking.k8s.io/v1", "Ingress", ingress), addresses)
        }
    }
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

    #[test]
    fn addresses_become_ingress_entries_and_none_clears_them() {
        let addresses = BTreeSet::from(["192.0.2.1".parse().expect("address")]);
        assert_eq!(
            load_balancer(&addresses),
            json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } })
        );
        assert_eq!(load_balancer(&BTreeSet::new()), json!({ "loadBalancer": { "ingress": null } }));
    }
}
