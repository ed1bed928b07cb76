//! DaemonSet: one Pod on every Node that fits (upstream: `pkg/controller/daemon/daemon_controller.go`).

mod daemon;
mod rollout;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetSpec, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod};

use crate::by_controller::ByController;
use crate::claim::claim;
use crate::owner::is_deleting;
use crate::pod_state::{is_available, is_finished, is_ready, phase};
use crate::revisions::{self, History, Owner};
use crate::selection::lower_selector;
use crate::template::{creations, deletions, note};
use crate::world::{Severity, World, Write, to_value};
use daemon::{Fit, fit, new_pod, node_of};

const COMPONENT: &str = "daemonset-controller";
/// Label of Pods and revisions that holds the hash of the template (`DefaultDaemonSetUniqueLabelKey`).
const HASH_LABEL: &str = "controller-revision-hash";

pub(crate) fn reconcile(world: &World, now: Timestamp) -> Vec<Write> {
    if world.daemon_sets.is_empty() {
        return Vec::new();
    }
    let pods = ByController::of(&world.pods);
    let revisions = ByController::of(&world.revisions);
    let sets = world.daemon_sets.values();
    sets.flat_map(|set| reconcile_one(world, set, &pods, &revisions, now)).collect()
}

/// One Node, whether it is to have a Pod, and the Pods it has.
struct Place<'a> {
    node: &'a Node,
    fit: Fit,
    pods: Vec<&'a Pod>,
}

/// What there is of one DaemonSet.
struct State<'a> {
    set: &'a DaemonSet,
    spec: &'a DaemonSetSpec,
    /// In the order of the Nodes' names.
    places: Vec<Place<'a>>,
    /// Pods whose Node is gone.
    stranded: Vec<&'a Pod>,
    /// Hash of the present template.
    hash: &'a str,
    now: Timestamp,
}

/// What is to be done: Nodes that get a Pod, and Pods that go.
#[derive(Default)]
struct Plan<'a> {
    create_on: BTreeSet<&'a str>,
    delete: Vec<&'a Pod>,
    /// Of these, the ones that have ended.
    ended: Vec<&'a Pod>,
}

fn reconcile_one(
    world: &World,
    set: &DaemonSet,
    pods: &ByController<'_, Pod>,
    revisions: &ByController<'_, ControllerRevision>,
    now: Timestamp,
) -> Vec<Write> {
    let Some(spec) = &set.spec else { return Vec::new() };
    let Some(selector) = lower_selector(&spec.selector) else { return Vec::new() };
    let claim = claim(set, &selector, pods, |_| true);
    if !claim.writes.is_empty() {
        return claim.writes;
    }
    let collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    let owner = Owner { object: set, template: &spec.template, collisions, hash_label: HASH_LABEL };
    let history = revisions::history(&owner, world, revisions);
    if history.collides {
        let mut set = set.clone();
        set.status.get_or_insert_default().collision_count = Some(collisions + 1);
        return vec![Write::ReplaceStatus(to_value(&set))];
    }
    let Some(newest) = history.newest else { return history.writes };
    let hash = newest.metadata.labels.as_ref().and_then(|labels| labels.get(HASH_LABEL));
    let (places, stranded) = places(world, spec, claim.pods);
    let state = State { set, spec, places, stranded, hash: hash.map_or("", String::as_str), now };
    let mut writes = history.writes.clone();
    if !is_deleting(&set.metadata) {
        writes.extend(state.carry_out());
        writes.extend(state.past(&history));
    }
    writes.extend(state.status_write());
    writes
}

fn places<'a>(world: &'a World, spec: &DaemonSetSpec, pods: Vec<&'a Pod>) -> (Vec<Place<'a>>, Vec<&'a Pod>) {
    let mut by_node: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
    for pod in pods {
        by_node.entry(node_of(pod).unwrap_or_default()).or_default().push(pod);
    }
    let mut places = Vec::new();
    for node in world.nodes.values() {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let pods = by_node.remove(name).unwrap_or_default();
        places.push(Place { node, fit: fit(&spec.template, node), pods });
    }
    (places, by_node.into_values().flatten().collect())
}

impl<'a> State<'a> {
    fn carry_out(&self) -> Vec<Write> {
        let mut plan = Plan::default();
        for place in &self.places {
            self.furnish(place, &mut plan);
        }
        plan.delete.extend(self.stranded.iter().filter(|pod| !is_deleting(&pod.metadata)));
        let strategy = self.spec.update_strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete") {
            rollout::advance(self, &mut plan);
        }
        let base = format!("{}-", self.set.metadata.name.as_deref().unwrap_or_default());
        let nodes = plan.create_on.iter().enumerate();
        let made: Vec<_> = nodes.map(|(number, node)| new_pod(self, &base, node, number)).collect();
        let mut writes = creations(self.set, COMPONENT, &made);
        writes.extend(plan.ended.iter().map(|pod| self.told_end(pod)));
        writes.extend(deletions(self.set, COMPONENT, &plan.delete));
        writes
    }

    fn told_end(&self, pod: &Pod) -> Write {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let node = node_of(pod).unwrap_or_default();
        let (severity, reason, word) = match phase(pod) {
            "Failed" => (Severity::Warning, "FailedDaemonPod", "failed"),
            _ => (Severity::Normal, "SucceededDaemonPod", "succeeded"),
        };
        let namespace = self.set.metadata.namespace.as_deref().unwrap_or_default();
        let text =
            format!("Found {word} daemon pod {namespace}/{name} on node {node}, will try to delete it");
        note(self.set, COMPONENT, (severity, reason), text)
    }

    /// One Pod where there is to be one, none elsewhere; ended ones are made again once they are gone.
    fn furnish(&self, place: &Place<'a>, plan: &mut Plan<'a>) {
        let live = place.pods.iter().copied().filter(|pod| !is_deleting(&pod.metadata));
        if !place.fit.keeps {
            plan.delete.extend(live);
            return;
        }
        if place.fit.takes && place.pods.is_empty() {
            plan.create_on.insert(place.node.metadata.name.as_deref().unwrap_or_default());
        }
        let (ended, mut running): (Vec<_>, Vec<_>) = live.partition(|pod| is_finished(pod));
        plan.delete.extend(&ended);
        plan.ended.extend(ended);
        running.sort_by_key(|pod| {
            let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (pod.spec.as_ref().is_none_or(|spec| spec.node_name.is_none()), created)
        });
        let surges = rollout::limits(self).max_surge > 0;
        let mut kept = [false; 2];
        for pod in running {
            // During a surge the oldest of both versions stay, else the oldest of all.
            let version = usize::from(surges && self.is_new(pod));
            if std::mem::replace(&mut kept[version], true) {
                plan.delete.push(pod);
            }
        }
    }

    fn is_new(&self, pod: &Pod) -> bool {
        let labels = pod.metadata.labels.as_ref();
        labels.and_then(|labels| labels.get(HASH_LABEL)).is_some_and(|hash| hash == self.hash)
    }

    fn is_available(&self, pod: &Pod) -> bool {
        !is_deleting(&pod.metadata) && is_available(pod, self.spec.min_ready_seconds.unwrap_or(0), self.now)
    }

    fn past(&self, history: &History<'_>) -> Vec<Write> {
        let pods = self.places.iter().flat_map(|place| &place.pods).chain(&self.stranded);
        let hashes: BTreeSet<&str> = pods
            .filter_map(|pod| pod.metadata.labels.as_ref()?.get(HASH_LABEL).map(String::as_str))
            .collect();
        let hash = |revision: &ControllerRevision| {
            revision.metadata.labels.as_ref()?.get(HASH_LABEL).map(String::as_str).map(str::to_owned)
        };
        let live = history
            .all
            .iter()
            .filter(|revision| hash(revision).is_some_and(|hash| hashes.contains(hash.as_str())));
        let live = live.map(|revision| revisions::name(revision)).collect();
        revisions::surplus(history, &live, self.spec.revision_history_limit.unwrap_or(10))
    }

    fn status_write(&self) -> Option<Write> {
        let old = self.set.status.clone().unwrap_or_default();
        let mut status = DaemonSetStatus {
            observed_generation: self.set.metadata.generation,
            collision_count: old.collision_count,
            conditions: old.conditions.clone(),
            ..DaemonSetStatus::default()
        };
        let (mut updated, mut available, mut unavailable) = (0, 0, 0);
        for place in &self.places {
            if !place.fit.takes {
                status.number_misscheduled += i32::from(!place.pods.is_empty());
                continue;
            }
            status.desired_number_scheduled += 1;
            status.current_number_scheduled += i32::from(!place.pods.is_empty());
            let any = |test: &dyn Fn(&Pod) -> bool| i32::from(place.pods.iter().any(|pod| test(pod)));
            status.number_ready += any(&|pod| is_ready(pod) && !is_deleting(&pod.metadata));
            let is_up = any(&|pod| self.is_available(pod));
            available += is_up;
            unavailable += 1 - is_up;
            updated += any(&|pod| self.is_new(pod));
        }
        status.updated_number_scheduled = non_zero(updated);
        status.number_available = non_zero(available);
        status.number_unavailable = non_zero(unavailable);
        if status == old {
            return None;
        }
        let mut set = self.set.clone();
        set.status = Some(status);
        Some(Write::ReplaceStatus(to_value(&set)))
    }
}

fn non_zero(number: i32) -> Option<i32> {
    (number != 0).then_some(number)
}

#[cfg(test)]
mod tests;
