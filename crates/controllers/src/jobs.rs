//! Job: Pods that run to their end, so many times (upstream: `pkg/controller/job/job_controller.go`).
//!
//! Pods carry a finalizer until they are counted, so that none is lost or counted twice, whatever happens between two
//! looks (KEP-2307).

mod by_index;
mod counting;
mod ending;
mod failure_policy;
mod indexes;
mod workers;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use crate::by_controller::ByController;
use crate::claim::claim;
use crate::owner::{controller_of, is_deleting};
use crate::pod_state::{is_active, is_finished, is_ready};
use crate::selection::lower_selector;
use crate::stamp::stamp;
use crate::template::deletions;
use crate::world::{World, Write, deletion_of, to_value};
use by_index::Awaiting;
use counting::Tally;

const COMPONENT: &str = "job-controller";
/// Finalizer of Pods that are not counted yet (`batch.JobTrackingFinalizer`).
const TRACKED: &str = "batch.kubernetes.io/job-tracking";
/// Value of `spec.managedBy` that means this controller.
const OURSELVES: &str = "kubernetes.io/job-controller";

pub(crate) fn reconcile(world: &World, now: Timestamp) -> Vec<Write> {
    let mut writes = forgotten(world);
    if world.jobs.is_empty() {
        return writes;
    }
    let pods = ByController::of(&world.pods);
    writes.extend(world.jobs.values().flat_map(|job| reconcile_one(job, &pods, now)));
    writes
}

/// Pods of Jobs that are gone are never counted; nothing must hold them.
fn forgotten(world: &World) -> Vec<Write> {
    let uids: BTreeSet<&str> = world.jobs.values().filter_map(|job| job.metadata.uid.as_deref()).collect();
    let is_forgotten = |pod: &&Pod| {
        is_tracked(pod) && controller_of(&pod.metadata).is_none_or(|owner| !uids.contains(owner.uid.as_str()))
    };
    world.pods.values().filter(is_forgotten).map(untracked).collect()
}

/// What there is of one Job.
struct State<'a> {
    job: &'a Job,
    spec: &'a JobSpec,
    pods: Vec<&'a Pod>,
    now: Timestamp,
}

fn reconcile_one(job: &Job, pods: &ByController<'_, Pod>, now: Timestamp) -> Vec<Write> {
    let Some(spec) = &job.spec else { return Vec::new() };
    let Some(selector) = spec.selector.as_ref().and_then(lower_selector) else { return Vec::new() };
    if spec.managed_by.as_ref().is_some_and(|manager| manager != OURSELVES) {
        return Vec::new();
    }
    let claim = claim(job, &selector, pods, |_| true);
    if !claim.writes.is_empty() {
        return claim.writes;
    }
    let state = State { job, spec, pods: claim.pods, now };
    if is_deleting(&job.metadata) || ending::finished_at(job).is_some() {
        return state.left_over();
    }
    let mut tally = Tally::of(&state);
    let active: Vec<&Pod> = state.pods.iter().copied().filter(|pod| is_active(pod)).collect();
    let verdict = ending::verdict(&state, &tally, &active);
    let awaiting =
        if verdict.is_none() { Awaiting::of(&state, &tally, &active) } else { Awaiting::default() };
    let let_go = tally.countable.iter().filter(|pod| !awaiting.holds(pod));
    let mut writes = let_go.map(|pod| untracked(pod)).collect::<Vec<_>>();
    let mut status = state.started(&mut writes);
    if let Some(verdict) = &verdict {
        // What a success makes superfluous has not failed.
        writes.extend(if verdict.is_success {
            state.called_back(&active)
        } else {
            deletions(job, COMPONENT, &active)
        });
        let terminating = state.pods.iter().any(|pod| !is_finished(pod));
        let settled = !terminating && tally.is_settled();
        ending::conclude(&state, &mut status, verdict, settled, &mut writes);
    } else if spec.suspend == Some(true) {
        writes.extend(state.called_back(&active));
    } else {
        writes.extend(workers::staffed(&state, &tally, &active, &awaiting));
    }
    tally.note_in(&mut status);
    writes.extend(state.status_write(status, &active));
    writes
}

fn is_tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == TRACKED)
}

fn untracked(pod: &Pod) -> Write {
    let mut pod = pod.clone();
    pod.metadata.finalizers.iter_mut().for_each(|finalizers| finalizers.retain(|held| held != TRACKED));
    Write::Replace(to_value(&pod))
}

impl<'a> State<'a> {
    fn is_indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    /// Whether a Pod on its way out is waited for before another takes its place.
    fn replaces_only_failed(&self) -> bool {
        self.spec.pod_replacement_policy.as_deref() == Some("Failed")
            || self.spec.pod_failure_policy.is_some()
    }

    fn parallelism(&self) -> i32 {
        self.spec.parallelism.unwrap_or(1)
    }

    /// What becomes of a Job that has ended or is being deleted.
    fn left_over(&self) -> Vec<Write> {
        let mut writes: Vec<_> =
            self.pods.iter().filter(|pod| is_tracked(pod)).map(|pod| untracked(pod)).collect();
        let ended = ending::finished_at(self.job).filter(|_| !is_deleting(&self.job.metadata));
        let limit = self.spec.ttl_seconds_after_finished.zip(ended);
        let is_over =
            limit.is_some_and(|(ttl, ended)| self.now >= ended + SignedDuration::from_secs(ttl.into()));
        if is_over {
            writes.push(deletion_of(self.job));
        }
        writes
    }

    /// Pods that are taken away without having failed: they are not counted.
    fn called_back(&self, pods: &[&'a Pod]) -> Vec<Write> {
        let mut writes: Vec<_> =
            pods.iter().filter(|pod| is_tracked(pod)).map(|pod| untracked(pod)).collect();
        writes.extend(deletions(self.job, COMPONENT, pods));
        writes
    }

    /// The status with its start, as `suspend` has it.
    fn started(&self, writes: &mut Vec<Write>) -> JobStatus {
        let mut status = self.job.status.clone().unwrap_or_default();
        ending::note_suspension(self, &mut status, writes);
        if self.spec.suspend == Some(true) {
            status.start_time = None;
        } else if status.start_time.is_none() {
            status.start_time = Some(stamp(self.now));
        }
        status
    }

    fn status_write(&self, mut status: JobStatus, active: &[&Pod]) -> Option<Write> {
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let terminating = self.pods.iter().filter(|pod| is_deleting(&pod.metadata) && !is_finished(pod));
        status.active = non_zero(count(active.len()));
        status.ready = Some(count(active.iter().filter(|pod| is_ready(pod)).count()));
        status.terminating = Some(count(terminating.count()));
        if self.job.status.as_ref() == Some(&status) {
            return None;
        }
        let mut job = self.job.clone();
        job.status = Some(status);
        Some(Write::ReplaceStatus(to_value(&job)))
    }
}

fn non_zero(number: i32) -> Option<i32> {
    (number != 0).then_some(number)
}

#[cfg(test)]
mod tests;
