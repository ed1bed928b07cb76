//! Limits by index: each index fails on its own (`spec.backoffLimitPerIndex`, KEP-3850).
//!
//! How often an index failed stands in an annotation of its newest Pod. The Pod that failed last keeps its finalizer
//! until the next one of its index carries the number on, so that a deletion in between loses nothing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::counting::{Tally, has_failed};
use super::failure_policy::{Failure, meaning};
use super::indexes::index_of;
use super::workers::{end, pause};
use super::{State, is_tracked};

/// Failures of an index that count, and those that a policy ignored (`batch.JobIndexFailureCountAnnotation`,
/// `batch.JobIndexIgnoredFailureCountAnnotation`).
const COUNTED: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// Failures that an index had before this Pod: those that count, and those that were ignored.
fn failures_before(pod: &Pod) -> (i32, i32) {
    let read = |key: &str| {
        let text = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(key));
        text.and_then(|text| text.parse().ok()).filter(|number| *number >= 0).unwrap_or(0)
    };
    (read(COUNTED), read(IGNORED))
}

/// Whether this failure was one too many for its index.
pub(super) fn fails_index(state: &State<'_>, pod: &Pod) -> bool {
    let Some(limit) = state.spec.backoff_limit_per_index else { return false };
    match meaning(state.job, pod) {
        Failure::FailsIndex => true,
        Failure::IsIgnored => false,
        Failure::Counts | Failure::FailsJob(_) => failures_before(pod).0 >= limit,
    }
}

/// The Pod of each index that failed last and has no successor yet.
#[derive(Default)]
pub(super) struct Awaiting<'a>(BTreeMap<i32, &'a Pod>);

impl<'a> Awaiting<'a> {
    pub(super) fn of(state: &State<'a>, tally: &Tally<'_>, active: &[&Pod]) -> Self {
        let mut last = BTreeMap::<i32, &'a Pod>::new();
        if state.spec.backoff_limit_per_index.is_none() {
            return Self(last);
        }
        let busy: BTreeSet<i32> = active.iter().filter_map(|pod| index_of(pod)).collect();
        let order = |pod: &Pod| {
            let (counted, ignored) = failures_before(pod);
            (counted.saturating_add(ignored), end(pod))
        };
        for pod in state.pods.iter().copied().filter(|pod| is_tracked(pod) && has_failed(state, pod)) {
            let Some(index) = index_of(pod) else { continue };
            let is_open = !busy.contains(&index) && !tally.is_done(index);
            if is_open && last.get(&index).is_none_or(|known| order(known) <= order(pod)) {
                last.insert(index, pod);
            }
        }
        Self(last)
    }

    pub(super) fn holds(&self, pod: &Pod) -> bool {
        self.0.values().any(|held| held.metadata.uid == pod.metadata.uid)
    }

    /// When an index may be tried again, if it failed before.
    pub(super) fn resumes_at(&self, index: i32) -> Option<Timestamp> {
        let failed = self.0.get(&index)?;
        let (counted, ignored) = failures_before(failed);
        Some(end(failed)? + pause(counted.saturating_add(ignored).saturating_add(1)))
    }

    /// Writes into a new Pod how often its index has failed.
    pub(super) fn carry_on(&self, state: &State<'_>, index: i32, pod: &mut Pod) {
        let (mut counted, mut ignored) = (0, 0);
        if let Some(failed) = self.0.get(&index) {
            (counted, ignored) = failures_before(failed);
            match meaning(state.job, failed) {
                Failure::IsIgnored => ignored += 1,
                _ => counted += 1,
            }
        }
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.insert(COUNTED.to_owned(), counted.to_string());
        if ignored > 0 {
            annotations.insert(IGNORED.to_owned(), ignored.to_string());
        }
    }
}
