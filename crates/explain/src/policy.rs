//! What NetworkPolicy says at each end, as hops.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use engine_policy::{Allowed, Connection, Direction, Opinion, verdict_of};
use types::{NamespacedName, ObjectRef};

use crate::cluster::{Cluster, Source};
use crate::connect::Attempt;
use crate::explanation::{Hop, Stage};

/// What the client's own policies say; `None` when the client is no Pod of the cluster.
pub(crate) fn egress(cluster: &Cluster, source: &Source, attempt: Attempt) -> Option<Hop> {
    let plan = cluster.plans.get(source.node.as_ref()?)?;
    source.pod.as_ref()?;
    let connection = connection(source.address?, attempt);
    let decision = verdict_of(&plan.policy, &connection, Direction::Egress, &BTreeSet::new());
    decision.opinions.first().map(|opinion| hop(cluster, opinion, &connection))
}

/// What the backend's policies say of a client that it sees as `seen`; `None` when the backend is no Pod.
pub(crate) fn ingress(
    cluster: &Cluster,
    source: &Source,
    seen: Option<IpAddr>,
    attempt: Attempt,
) -> Option<Hop> {
    let (_, node) = cluster.pod_at(attempt.address)?;
    let plan = cluster.plans.get(node)?;
    let nobody: IpAddr = match attempt.address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Somebody outside whose address was not said stands for any address that no Pod has.
    let connection = connection(seen.unwrap_or(nobody), attempt);
    let mut node_addresses = plan.services.node_addresses.clone();
    if source.pod.is_none() && source.node.as_ref() == Some(node) {
        node_addresses.extend(source.address);
    }
    let decision = verdict_of(&plan.policy, &connection, Direction::Ingress, &node_addresses);
    decision.opinions.first().map(|opinion| hop(cluster, opinion, &connection))
}

fn connection(source: IpAddr, attempt: Attempt) -> Connection {
    Connection { source, destination: attempt.address, protocol: attempt.protocol, port: attempt.port }
}

fn hop(cluster: &Cluster, opinion: &Opinion, connection: &Connection) -> Hop {
    let (stage, field) = match opinion.direction {
        Direction::Egress => (Stage::Egress, "spec.egress"),
        Direction::Ingress => (Stage::Ingress, "spec.ingress"),
    };
    let pod = opinion.pod.as_ref().map(|pod| format!("Pod {pod}")).unwrap_or_default();
    match &opinion.outcome {
        Ok(Allowed::NotIsolated) => {
            Hop::pass(stage, format!("no NetworkPolicy limits {} of {pod}", stage_word(stage)))
        }
        Ok(Allowed::Itself) => Hop::pass(stage, format!("{pod} may always reach itself")),
        Ok(Allowed::FromNode) => Hop::pass(stage, format!("the node may always reach its own {pod}")),
        Ok(Allowed::Rule(rule)) => {
            let text = format!("NetworkPolicy {} allows it", rule.policy);
            Hop::pass(stage, text).because(Some(object(&rule.policy)), format!("{field}[{}]", rule.index))
        }
        Err(policies) => {
            let listed: Vec<_> = policies.iter().map(ToString::to_string).collect();
            let peer = match opinion.direction {
                Direction::Egress => format!("to {}", cluster.describe(connection.destination)),
                Direction::Ingress => format!("from {}", cluster.describe(connection.source)),
            };
            let (limits, which) = match listed.as_slice() {
                [one] => (format!("NetworkPolicy {one} limits"), "it"),
                several => (format!("NetworkPolicies {} limit", several.join(", ")), "them"),
            };
            let text = format!(
                "{limits} {} of {pod}, and no rule of {which} allows {}/{} {peer}",
                stage_word(stage),
                connection.port,
                connection.protocol,
            );
            Hop::stop(stage, text).because(policies.first().map(object), field)
        }
    }
}

fn stage_word(stage: Stage) -> &'static str {
    if stage == Stage::Egress { "egress" } else { "ingress" }
}

fn object(policy: &NamespacedName) -> ObjectRef {
    ObjectRef::namespaced("NetworkPolicy", policy)
}
