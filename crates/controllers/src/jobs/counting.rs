//! Counting Pods that have ended, each exactly once: first noted in the status, then let go, then counted.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1::{JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;

use super::by_index::fails_index;
use super::failure_policy::{Failure, meaning};
use super::indexes::{Indexes, index_of};
use super::{State, is_tracked, non_zero};
use crate::owner::is_deleting;
use crate::pod_state::phase;

/// What is known of the Pods that have ended.
pub(super) struct Tally<'a> {
    succeeded: i32,
    failed: i32,
    noted_succeeded: BTreeSet<String>,
    noted_failed: BTreeSet<String>,
    /// Indexes that are done; none for a Job without indexes.
    pub(super) completed: Option<Indexes>,
    /// Indexes that are given up; none for a Job without limits by index.
    pub(super) given_up: Option<Indexes>,
    /// Pods that the stored status knows, so that they need no finalizer any more.
    pub(super) countable: Vec<&'a Pod>,
}

impl<'a> Tally<'a> {
    pub(super) fn of(state: &State<'a>) -> Self {
        let status = state.job.status.clone().unwrap_or_default();
        let uncounted = status.uncounted_terminated_pods.unwrap_or_default();
        let completed = state
            .is_indexed()
            .then(|| Indexes::parse(status.completed_indexes.as_deref().unwrap_or_default()));
        let mut tally = Self {
            succeeded: status.succeeded.unwrap_or(0),
            failed: status.failed.unwrap_or(0),
            noted_succeeded: uncounted.succeeded.unwrap_or_default().into_iter().collect(),
            noted_failed: uncounted.failed.unwrap_or_default().into_iter().collect(),
            completed,
            given_up: (state.spec.backoff_limit_per_index)
                .map(|_| Indexes::parse(status.failed_indexes.as_deref().unwrap_or_default())),
            countable: Vec::new(),
        };
        tally.count_released(state);
        for pod in state.pods.iter().filter(|pod| is_tracked(pod)) {
            tally.note(state, pod);
        }
        tally
    }

    /// Pods that were noted and have been let go since.
    fn count_released(&mut self, state: &State<'_>) {
        let tracked: BTreeMap<&str, bool> = state
            .pods
            .iter()
            .filter_map(|pod| Some((pod.metadata.uid.as_deref()?, is_tracked(pod))))
            .collect();
        let is_released = |uid: &String| tracked.get(uid.as_str()) != Some(&true);
        let take = |noted: &mut BTreeSet<String>| {
            let before = noted.len();
            noted.retain(|uid| !is_released(uid));
            i32::try_from(before - noted.len()).unwrap_or(i32::MAX)
        };
        self.succeeded += take(&mut self.noted_succeeded);
        self.failed += take(&mut self.noted_failed);
    }

    fn note(&mut self, state: &State<'_>, pod: &'a Pod) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        if let Some((given_up, index)) = self.given_up.as_mut().zip(index_of(pod))
            && has_failed(state, pod)
            && fails_index(state, pod)
        {
            given_up.insert(index);
        }
        if self.noted_succeeded.contains(&uid) || self.noted_failed.contains(&uid) {
            self.countable.push(pod);
        } else if phase(pod) == "Succeeded" {
            match (&mut self.completed, index_of(pod)) {
                (Some(completed), Some(index)) if completed.contains(index) => self.countable.push(pod),
                (Some(completed), Some(index)) => completed.insert(index),
                // A Pod of an indexed Job without an index belongs to nothing.
                (Some(_), None) => self.countable.push(pod),
                (None, _) => drop(self.noted_succeeded.insert(uid)),
            }
        } else if has_failed(state, pod) {
            match meaning(state.job, pod) {
                Failure::IsIgnored => self.countable.push(pod),
                _ => drop(self.noted_failed.insert(uid)),
            }
        }
    }

    /// Whether nothing is left to do for an index.
    pub(super) fn is_done(&self, index: i32) -> bool {
        [&self.completed, &self.given_up].into_iter().flatten().any(|indexes| indexes.contains(index))
    }

    /// Completions, counted or noted.
    pub(super) fn succeeded(&self) -> i32 {
        match &self.completed {
            Some(completed) => completed.count(),
            None => self.succeeded + i32::try_from(self.noted_succeeded.len()).unwrap_or(i32::MAX),
        }
    }

    /// Failures, counted or noted.
    pub(super) fn failed(&self) -> i32 {
        self.failed + i32::try_from(self.noted_failed.len()).unwrap_or(i32::MAX)
    }

    /// Whether every Pod that has ended is counted.
    pub(super) fn is_settled(&self) -> bool {
        self.noted_failed.is_empty() && self.noted_succeeded.is_empty() && self.countable.is_empty()
    }

    /// Writes the counts and what is noted into the status.
    pub(super) fn note_in(&mut self, status: &mut JobStatus) {
        if let Some(completed) = &self.completed {
            self.succeeded = completed.count();
            status.completed_indexes = Some(completed.to_string()).filter(|text| !text.is_empty());
        }
        status.failed_indexes = self.given_up.as_ref().map(ToString::to_string);
        status.succeeded = non_zero(self.succeeded);
        status.failed = non_zero(self.failed);
        let list = |noted: &BTreeSet<String>| {
            let uids: Vec<_> = noted.iter().cloned().collect();
            Some(uids).filter(|uids| !uids.is_empty())
        };
        status.uncounted_terminated_pods = Some(UncountedTerminatedPods {
            succeeded: list(&self.noted_succeeded),
            failed: list(&self.noted_failed),
        });
    }
}

/// Whether a Pod counts as a failure; one that is taken away does, at once or when its Node is done with it.
pub(super) fn has_failed(state: &State<'_>, pod: &Pod) -> bool {
    if phase(pod) == "Failed" {
        return true;
    }
    let is_gone_from_node = pod.metadata.deletion_grace_period_seconds == Some(0);
    let ends = is_deleting(&pod.metadata) && phase(pod) != "Succeeded";
    ends && (!state.replaces_only_failed() || is_gone_from_node)
}
