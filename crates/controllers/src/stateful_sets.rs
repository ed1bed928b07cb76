//! StatefulSet: Pods with names and storage of their own, one after the other
//! (upstream: `pkg/controller/statefulset/stateful_set_control.go`).

mod identity;
mod steps;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};

use crate::by_controller::ByController;
use crate::claim::claim;
use crate::owner::is_deleting;
use crate::pod_state::{is_available, is_ready, phase};
use crate::revisions::{self, History, Owner};
use crate::selection::lower_selector;
use crate::template::{creations, deletions, note};
use crate::world::{Severity, World, Write, name_of, to_value};
use identity::ordinal_of;
use steps::{Step, steps};

const COMPONENT: &str = "statefulset-controller";
/// Label of a Pod that names its revision.
const REVISION_LABEL: &str = "controller-revision-hash";
/// Label of a revision that holds its hash (`history.ControllerRevisionHashLabel`).
const HASH_LABEL: &str = "controller.kubernetes.io/hash";

pub(crate) fn reconcile(world: &World, now: Timestamp) -> Vec<Write> {
    if world.stateful_sets.is_empty() {
        return Vec::new();
    }
    let pods = ByController::of(&world.pods);
    let revisions = ByController::of(&world.revisions);
    let sets = world.stateful_sets.values();
    sets.flat_map(|set| reconcile_one(world, set, &pods, &revisions, now)).collect()
}

/// What there is of one StatefulSet.
struct State<'a> {
    set: &'a StatefulSet,
    spec: &'a StatefulSetSpec,
    /// One place for each wanted ordinal, lowest first.
    places: Vec<(i32, Option<&'a Pod>)>,
    /// Pods with other ordinals, highest first.
    condemned: Vec<&'a Pod>,
    /// The revision that Pods had before the present rollout.
    current: &'a ControllerRevision,
    /// The revision of the present template.
    update: &'a ControllerRevision,
    now: Timestamp,
}

fn reconcile_one(
    world: &World,
    set: &StatefulSet,
    pods: &ByController<'_, Pod>,
    revisions: &ByController<'_, ControllerRevision>,
    now: Timestamp,
) -> Vec<Write> {
    let Some(spec) = &set.spec else { return Vec::new() };
    let Some(selector) = lower_selector(&spec.selector) else { return Vec::new() };
    let claim = claim(set, &selector, pods, |pod| ordinal_of(set, pod).is_some());
    if !claim.writes.is_empty() {
        return claim.writes;
    }
    let collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    let owner = Owner { object: set, template: &spec.template, collisions, hash_label: HASH_LABEL };
    let history = revisions::history(&owner, world, revisions);
    if history.collides {
        return vec![with_collision(set, collisions)];
    }
    let Some(update) = history.newest else { return history.writes };
    let state = state(set, spec, claim.pods, (&history, update), now);
    let mut writes = history.writes.clone();
    if !is_deleting(&set.metadata) {
        writes.extend(state.carry_out(world));
        writes.extend(state.past(&history));
    }
    writes.extend(state.status_write());
    writes
}

fn with_collision(set: &StatefulSet, collisions: i32) -> Write {
    let mut set = set.clone();
    set.status.get_or_insert_default().collision_count = Some(collisions + 1);
    Write::ReplaceStatus(to_value(&set))
}

fn state<'a>(
    set: &'a StatefulSet,
    spec: &'a StatefulSetSpec,
    pods: Vec<&'a Pod>,
    (history, update): (&History<'a>, &'a ControllerRevision),
    now: Timestamp,
) -> State<'a> {
    let start = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0);
    let wanted = start..start.saturating_add(spec.replicas.unwrap_or(1).max(0));
    let mut places: Vec<(i32, Option<&Pod>)> = wanted.clone().map(|ordinal| (ordinal, None)).collect();
    let mut condemned = Vec::new();
    for pod in pods {
        let Some(ordinal) = ordinal_of(set, pod) else { continue };
        match usize::try_from(ordinal - start).ok().and_then(|index| places.get_mut(index)) {
            Some(place) => place.1 = Some(pod),
            None => condemned.push(pod),
        }
    }
    condemned.sort_by_key(|pod| Reverse(ordinal_of(set, pod)));
    let named = set.status.as_ref().and_then(|status| status.current_revision.as_deref());
    let current = history.all.iter().find(|revision| Some(revisions::name(revision)) == named);
    State { set, spec, places, condemned, current: current.copied().unwrap_or(update), update, now }
}

/// The name of the revision a Pod was made from.
fn revision_of(pod: &Pod) -> Option<&str> {
    pod.metadata.labels.as_ref()?.get(REVISION_LABEL).map(String::as_str)
}

impl<'a> State<'a> {
    fn pods(&self) -> impl Iterator<Item = &'a Pod> {
        self.places.iter().filter_map(|(_, pod)| *pod).chain(self.condemned.iter().copied())
    }

    fn min_ready(&self) -> i32 {
        self.spec.min_ready_seconds.unwrap_or(0)
    }

    fn is_available(&self, pod: &Pod) -> bool {
        phase(pod) == "Running" && is_available(pod, self.min_ready(), self.now)
    }

    /// Whether a missing Pod is made as it was before the present rollout.
    fn needs_current(&self, ordinal: i32) -> bool {
        let strategy = self.spec.update_strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
            return false;
        }
        let start = self.spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0);
        ordinal < start.saturating_add(self.partition())
    }

    fn partition(&self) -> i32 {
        let rolling =
            self.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        rolling.and_then(|rolling| rolling.partition).unwrap_or(0)
    }

    fn carry_out(&self, world: &World) -> Vec<Write> {
        let (mut writes, mut made, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for step in steps(self) {
            match step {
                Step::Create(ordinal) => {
                    let revision = if self.needs_current(ordinal) { self.current } else { self.update };
                    let template = self.template_of(revision);
                    let pod = identity::new_pod(self.set, &template, revisions::name(revision), ordinal);
                    if let Some(why) = taken(world, &pod) {
                        writes.push(self.trouble(why));
                        continue;
                    }
                    writes.extend(identity::missing_claims(world, self.set, ordinal));
                    made.push(pod);
                }
                Step::Delete(pod) => ended.push(pod),
            }
        }
        writes.extend(identity::claim_owners(world, self));
        writes.extend(creations(self.set, COMPONENT, &made));
        writes.extend(deletions(self.set, COMPONENT, &ended));
        writes
    }

    fn template_of(&self, revision: &ControllerRevision) -> PodTemplateSpec {
        if std::ptr::eq(revision, self.update) {
            return self.spec.template.clone();
        }
        revisions::template_of(revision).unwrap_or_else(|| self.spec.template.clone())
    }

    /// A warning that is written with every look; the one who writes it counts repetitions.
    fn trouble(&self, why: String) -> Write {
        note(self.set, COMPONENT, (Severity::Warning, "FailedCreate"), why)
    }

    fn past(&self, history: &History<'_>) -> Vec<Write> {
        let mut live: BTreeSet<&str> = self.pods().filter_map(revision_of).collect();
        live.insert(revisions::name(self.current));
        revisions::surplus(history, &live, self.spec.revision_history_limit.unwrap_or(10))
    }

    fn status_write(&self) -> Option<Write> {
        let old = self.set.status.clone().unwrap_or_default();
        let count = |test: &dyn Fn(&Pod) -> bool| {
            i32::try_from(self.pods().filter(|pod| test(pod)).count()).unwrap_or(i32::MAX)
        };
        let of = |revision: &ControllerRevision| {
            let name = revisions::name(revision).to_owned();
            count(&|pod| !is_deleting(&pod.metadata) && revision_of(pod) == Some(name.as_str()))
        };
        let mut status = StatefulSetStatus {
            observed_generation: self.set.metadata.generation,
            replicas: count(&|_| true),
            ready_replicas: non_zero(count(&|pod| phase(pod) == "Running" && is_ready(pod))),
            available_replicas: Some(count(&|pod| self.is_available(pod))),
            current_replicas: non_zero(of(self.current)),
            updated_replicas: non_zero(of(self.update)),
            current_revision: Some(revisions::name(self.current).to_owned()),
            update_revision: Some(revisions::name(self.update).to_owned()),
            collision_count: Some(old.collision_count.unwrap_or(0)),
            conditions: old.conditions.clone(),
        };
        self.complete(&mut status);
        if status == old {
            return None;
        }
        let mut set = self.set.clone();
        set.status = Some(status);
        Some(Write::ReplaceStatus(to_value(&set)))
    }

    /// A rollout that is through makes the new revision the current one.
    fn complete(&self, status: &mut StatefulSetStatus) {
        let strategy = self.spec.update_strategy.as_ref();
        let rolls = strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete");
        let wanted = self.spec.replicas.unwrap_or(1);
        let all = |count: Option<i32>| count.unwrap_or(0) == wanted;
        if rolls && all(status.updated_replicas) && all(status.ready_replicas) && status.replicas == wanted {
            status.current_revision.clone_from(&status.update_revision);
            status.current_replicas = status.updated_replicas;
        }
    }
}

fn non_zero(number: i32) -> Option<i32> {
    (number != 0).then_some(number)
}

/// Why a Pod cannot be made: one that is not the set's has its name.
fn taken(world: &World, pod: &Pod) -> Option<String> {
    let name = name_of(&pod.metadata);
    let held = world.pods.contains_key(&name);
    held.then(|| format!("create Pod {0} failed error: pods \"{0}\" already exists", name.name))
}

#[cfg(test)]
mod tests;
