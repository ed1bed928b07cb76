//! Scheduler: which Node each Pod runs on.
//!
//! Filters as upstream's default plugins do: readiness, cordons, taints, node selector and affinity, host ports, resources,
//! topology spread, pod affinity and anti-affinity. Of the Nodes that are left it takes the one that preferences like best, then
//! the one with the fewest Pods of the same controller, then the fewest Pods. It never evicts Pods for others.

mod cluster;
mod filter;
mod host_ports;
mod resources;
mod score;
mod topology;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use types::{NamespacedName, NodeName};

use crate::owner::is_deleting;
use crate::pod_state::is_finished;
use crate::stamp::stamp;
use crate::template::note;
use crate::world::{Severity, World, Write, name_of, to_value};
use cluster::Cluster;

const COMPONENT: &str = "default-scheduler";

pub(crate) fn reconcile(world: &World, now: Timestamp) -> Vec<Write> {
    let mut waiting: Vec<&Pod> = world.pods.values().filter(|pod| is_unscheduled(pod)).collect();
    if waiting.is_empty() {
        return Vec::new();
    }
    waiting.sort_by_key(|pod| {
        let priority = pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0);
        (Reverse(priority), pod.metadata.creation_timestamp.as_ref().map(|time| time.0))
    });
    let mut cluster = Cluster::of(world);
    let mut writes = Vec::new();
    for pod in waiting {
        let unbound = unbound(world, pod).map(|why| unavailable_for(cluster.nodes.len(), &why));
        match unbound.map_or_else(|| choose(&mut cluster, pod), Err) {
            Ok(index) => {
                cluster.place(pod, index);
                writes.extend(bound(pod, cluster.nodes[index].name));
            }
            Err(reason) => writes.extend(unschedulable(pod, reason, now)),
        }
    }
    writes
}

fn is_unscheduled(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let ours = spec.scheduler_name.as_deref().is_none_or(|name| name == COMPONENT);
    let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    spec.node_name.is_none() && ours && !gated && !is_deleting(&pod.metadata) && !is_finished(pod)
}

/// What is missing of the storage that a Pod claims (upstream: plugin `VolumeBinding`).
fn unbound(world: &World, pod: &Pod) -> Option<String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let mut claims = volumes.filter_map(|volume| volume.persistent_volume_claim.as_ref());
    claims.find_map(|wished| {
        let name = NamespacedName::new(namespace, wished.claim_name.as_str());
        let Some(claim) = world.volume_claims.get(&name) else {
            return Some(format!("persistentvolumeclaim \"{}\" not found", wished.claim_name));
        };
        let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
        (phase != Some("Bound")).then(|| "pod has unbound immediate PersistentVolumeClaims".to_owned())
    })
}

fn unavailable_for(nodes: usize, why: &str) -> String {
    format!("0/{nodes} nodes are available: {why}.")
}

/// The index of the best Node, or why there is none, worded as upstream does.
fn choose(cluster: &mut Cluster<'_>, pod: &Pod) -> Result<usize, String> {
    let filters = filter::Filters::of(cluster, pod);
    let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
    let mut fitting = Vec::new();
    for index in 0..cluster.nodes.len() {
        let reasons = filters.refusals(cluster, index);
        if reasons.is_empty() {
            fitting.push(index);
        }
        for reason in reasons {
            *refusals.entry(reason).or_default() += 1;
        }
    }
    let preferences = score::Preferences::of(cluster, pod);
    let best = fitting.into_iter().min_by_key(|index| preferences.rank(cluster, *index));
    best.ok_or_else(|| unavailable(cluster.nodes.len(), &refusals))
}

fn unavailable(nodes: usize, refusals: &BTreeMap<String, usize>) -> String {
    if nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let mut reasons: Vec<_> = refusals.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    reasons.sort();
    unavailable_for(nodes, &reasons.join(", "))
}

fn bound(pod: &Pod, node: &str) -> [Write; 2] {
    let name = name_of(&pod.metadata);
    let text = format!("Successfully assigned {}/{} to {node}", name.namespace, name.name);
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let bind = Write::Bind { pod: name, uid, node: NodeName::from(node) };
    [bind, note(pod, COMPONENT, (Severity::Normal, "Scheduled"), text)]
}

/// The condition that says why, and an Event, when the reason is new.
fn unschedulable(pod: &Pod, message: String, now: Timestamp) -> Vec<Write> {
    let mut changed = pod.clone();
    let conditions = changed.status.get_or_insert_default().conditions.get_or_insert_default();
    let earlier = conditions.iter().position(|condition| condition.type_ == "PodScheduled");
    let same = |index: usize| {
        conditions[index].status == "False" && conditions[index].message.as_deref() == Some(&message)
    };
    if earlier.is_some_and(same) {
        return Vec::new();
    }
    let condition = PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some("Unschedulable".to_owned()),
        message: Some(message.clone()),
        last_transition_time: Some(stamp(now)),
        ..PodCondition::default()
    };
    match earlier {
        Some(index) => conditions[index] = condition,
        None => conditions.push(condition),
    }
    vec![
        Write::ReplaceStatus(to_value(&changed)),
        note(pod, COMPONENT, (Severity::Warning, "FailedScheduling"), message),
    ]
}

#[cfg(test)]
mod tests;
