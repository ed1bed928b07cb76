//! How many Pods a Job has at work, which indexes they have, and how long it waits after failures.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};

use super::by_index::Awaiting;
use super::counting::Tally;
use super::indexes::{INDEX, index_of};
use super::{COMPONENT, State, TRACKED};
use crate::letters::new_name;
use crate::owner::is_deleting;
use crate::pod_state::{is_finished, phase};
use crate::replica_sets::keep_rank;
use crate::template::{creations, pod_of};
use crate::world::Write;

/// First and longest pause after a failure (`DefaultJobPodFailureBackOff`, `MaxJobPodFailureBackOff`).
const BACKOFF_SECONDS: (i64, i64) = (10, 600);
/// Most Pods made in one go (`MaxPodCreateDeletePerSync`).
const BURST: usize = 500;

/// Brings the number of Pods at work to what it is to be.
pub(super) fn staffed(
    state: &State<'_>,
    tally: &Tally<'_>,
    active: &[&Pod],
    awaiting: &Awaiting<'_>,
) -> Vec<Write> {
    let at_work = i32::try_from(active.len()).unwrap_or(i32::MAX);
    let wanted = wanted(state, tally, at_work);
    if at_work > wanted {
        let surplus = usize::try_from(at_work - wanted.max(0)).unwrap_or(0);
        let mut ranked = active.to_vec();
        ranked.sort_by_key(|pod| keep_rank(pod));
        ranked.truncate(surplus);
        return state.called_back(&ranked);
    }
    // A Pod on its way out counts as long as it is to be waited for.
    let waits = state.replaces_only_failed();
    let leaving = state.pods.iter().filter(|pod| waits && is_deleting(&pod.metadata) && !is_finished(pod));
    let missing = usize::try_from(wanted - at_work).unwrap_or(0).saturating_sub(leaving.count()).min(BURST);
    let is_by_index = state.spec.backoff_limit_per_index.is_some();
    if missing == 0 || !is_by_index && resumes_at(state).is_some_and(|when| state.now < when) {
        return Vec::new();
    }
    let pods: Vec<_> = if state.is_indexed() {
        let indexes = free_indexes(state, tally, missing).into_iter().enumerate();
        let due =
            indexes.filter(|(_, index)| awaiting.resumes_at(*index).is_none_or(|when| state.now >= when));
        due.map(|(number, index)| {
            let mut pod = new_pod(state, number, Some(index));
            if is_by_index {
                awaiting.carry_on(state, index, &mut pod);
            }
            pod
        })
        .collect()
    } else {
        (0..missing).map(|number| new_pod(state, number, None)).collect()
    };
    creations(state.job, COMPONENT, &pods)
}

fn wanted(state: &State<'_>, tally: &Tally<'_>, at_work: i32) -> i32 {
    match state.spec.completions {
        Some(completions) => state.parallelism().min(completions - tally.succeeded()),
        // A queue of work: once one has succeeded, no more are started.
        None if tally.succeeded() > 0 => at_work.min(state.parallelism()),
        None => state.parallelism(),
    }
}

fn free_indexes(state: &State<'_>, tally: &Tally<'_>, count: usize) -> Vec<i32> {
    let waits = state.replaces_only_failed();
    let busy = state.pods.iter().filter(|pod| !is_finished(pod) && (waits || !is_deleting(&pod.metadata)));
    let busy: BTreeSet<i32> = busy.filter_map(|pod| index_of(pod)).collect();
    let all = 0..state.spec.completions.unwrap_or(0);
    all.filter(|index| !busy.contains(index) && !tally.is_done(*index)).take(count).collect()
}

/// When Pods are made again after failures in a row; each doubles the pause.
fn resumes_at(state: &State<'_>) -> Option<Timestamp> {
    let last_success =
        state.pods.iter().filter(|pod| phase(pod) == "Succeeded").filter_map(|pod| end(pod)).max();
    let failures: Vec<_> = state
        .pods
        .iter()
        .filter(|pod| phase(pod) == "Failed")
        .filter_map(|pod| end(pod))
        .filter(|end| last_success.is_none_or(|success| *end > success))
        .collect();
    let pause = pause(i32::try_from(failures.len()).unwrap_or(i32::MAX));
    failures.into_iter().max().map(|last| last + pause)
}

/// How long to wait after so many failures in a row.
pub(super) fn pause(failures: i32) -> SignedDuration {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(0);
    let (first, longest) = BACKOFF_SECONDS;
    SignedDuration::from_secs(first.saturating_mul(2_i64.saturating_pow(doublings)).min(longest))
}

/// When the last container of a Pod ended.
pub(super) fn end(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let ends = statuses.filter_map(|status| {
        let terminated = status.state.as_ref()?.terminated.as_ref()?;
        terminated.finished_at.as_ref().map(|time| time.0)
    });
    ends.max().or_else(|| pod.metadata.deletion_timestamp.as_ref().map(|time| time.0))
}

fn new_pod(state: &State<'_>, number: usize, index: Option<i32>) -> Pod {
    let meta = &state.job.metadata;
    let job_name = meta.name.as_deref().unwrap_or_default();
    let uid = meta.uid.as_deref().unwrap_or_default();
    let base = index.map_or_else(|| format!("{job_name}-"), |index| format!("{job_name}-{index}-"));
    let mut pod = pod_of(state.job, &state.spec.template, new_name(&base, uid, state.now, number));
    pod.metadata.generate_name = Some(base);
    pod.metadata.finalizers.get_or_insert_default().push(TRACKED.to_owned());
    if let Some(index) = index {
        pod.metadata.annotations.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
        pod.metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
        let spec = pod.spec.get_or_insert_default();
        // Upstream gives each index a name that other Pods of the Job can look up.
        spec.hostname = Some(format!("{job_name}-{index}"));
        let containers = spec.init_containers.iter_mut().flatten().chain(&mut spec.containers);
        containers.for_each(with_index_variable);
    }
    pod
}

fn with_index_variable(container: &mut Container) {
    const VARIABLE: &str = "JOB_COMPLETION_INDEX";
    let variables = container.env.get_or_insert_default();
    if variables.iter().any(|variable| variable.name == VARIABLE) {
        return;
    }
    let field = ObjectFieldSelector { api_version: None, field_path: format!("metadata.labels['{INDEX}']") };
    variables.push(EnvVar {
        name: VARIABLE.to_owned(),
        value: None,
        value_from: Some(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() }),
    });
}
