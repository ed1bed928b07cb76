//! When a Job has ended, and the conditions that say so: first that it will, then, with all Pods gone, that it has
//! (KEP-3939, KEP-4368).

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use super::counting::{Tally, has_failed};
use super::failure_policy::{Failure, meaning};
use super::indexes::Indexes;
use super::{COMPONENT, State};
use crate::stamp::stamp;
use crate::template::note;
use crate::world::{Severity, Write};

/// How a Job ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) is_success: bool,
    reason: String,
    message: String,
}

/// When a Job ended, if it has.
pub(super) fn finished_at(job: &Job) -> Option<Timestamp> {
    let ends = conditions(job).find(|condition| {
        matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
    })?;
    ends.last_transition_time.as_ref().map(|time| time.0)
}

fn conditions(job: &Job) -> impl Iterator<Item = &JobCondition> {
    job.status.iter().flat_map(|status| status.conditions.iter().flatten())
}

/// How the Job ends, if it is to end; what was said once stays.
pub(super) fn verdict(state: &State<'_>, tally: &Tally<'_>, active: &[&Pod]) -> Option<Verdict> {
    let said = conditions(state.job).find(|condition| {
        matches!(condition.type_.as_str(), "FailureTarget" | "SuccessCriteriaMet")
            && condition.status == "True"
    });
    if let Some(said) = said {
        return Some(Verdict {
            is_success: said.type_ == "SuccessCriteriaMet",
            reason: said.reason.clone().unwrap_or_default(),
            message: said.message.clone().unwrap_or_default(),
        });
    }
    let verdict = |is_success, reason: &str, message: &str| {
        Some(Verdict { is_success, reason: reason.to_owned(), message: message.to_owned() })
    };
    if let Some(why) = fatal_failure(state) {
        return verdict(false, "PodFailurePolicy", &why);
    }
    if is_beyond_backoff(state, tally, active) {
        return verdict(false, "BackoffLimitExceeded", "Job has reached the specified backoff limit");
    }
    if is_past_deadline(state) {
        return verdict(false, "DeadlineExceeded", "Job was active longer than specified deadline");
    }
    if let Some((reason, message)) = lost_indexes(state, tally) {
        return verdict(false, reason, message);
    }
    if let Some(rule) = enough(state, tally) {
        return verdict(true, "SuccessPolicy", &format!("Matched rules at index {rule}"));
    }
    let is_complete = match state.spec.completions {
        Some(completions) => tally.succeeded() >= completions,
        None => tally.succeeded() > 0 && active.is_empty(),
    };
    if is_complete {
        return verdict(true, "CompletionsReached", "Reached expected number of succeeded pods");
    }
    None
}

/// Why the failure of one Pod ends the Job, if one does.
fn fatal_failure(state: &State<'_>) -> Option<String> {
    let failed = state.pods.iter().filter(|pod| has_failed(state, pod));
    failed.map(|pod| meaning(state.job, pod)).find_map(|meaning| match meaning {
        Failure::FailsJob(why) => Some(why),
        _ => None,
    })
}

/// Whether too many indexes are given up, or no index is left to try.
fn lost_indexes(state: &State<'_>, tally: &Tally<'_>) -> Option<(&'static str, &'static str)> {
    let lost = tally.given_up.as_ref()?.count();
    let most = state.spec.max_failed_indexes;
    if most.is_some_and(|most| lost > most) {
        let why = "Job has exceeded the specified maximal number of failed indexes";
        return Some(("MaxFailedIndexesExceeded", why));
    }
    let all = state.spec.completions.unwrap_or(0);
    (lost > 0 && lost.saturating_add(tally.succeeded()) >= all)
        .then_some(("FailedIndexes", "Job has failed indexes"))
}

/// The rule of `spec.successPolicy` that is met (KEP-3998).
fn enough(state: &State<'_>, tally: &Tally<'_>) -> Option<usize> {
    let completed = tally.completed.as_ref().filter(|completed| completed.count() > 0)?;
    let is_met = |wanted: Option<&str>, count: Option<i32>| {
        let Some(wanted) = wanted else { return count.is_some_and(|count| completed.count() >= count) };
        let wanted = Indexes::parse(wanted);
        let found = wanted.shared_with(completed);
        wanted.count() > 0 && (found == wanted.count() || count.is_some_and(|count| found >= count))
    };
    let mut rules = state.spec.success_policy.as_ref()?.rules.iter();
    rules.position(|rule| is_met(rule.succeeded_indexes.as_deref(), rule.succeeded_count))
}

fn is_beyond_backoff(state: &State<'_>, tally: &Tally<'_>, active: &[&Pod]) -> bool {
    let limit = state.spec.backoff_limit.unwrap_or(6);
    if tally.failed() > limit {
        return true;
    }
    let policy = state.spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    if policy != Some("OnFailure") {
        return false;
    }
    let restarts: i32 = active.iter().map(|pod| restarts(pod)).sum();
    if limit == 0 { restarts > 0 } else { restarts >= limit }
}

fn restarts(pod: &Pod) -> i32 {
    let Some(status) = &pod.status else { return 0 };
    let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    all.map(|status| status.restart_count).sum()
}

fn is_past_deadline(state: &State<'_>) -> bool {
    let started = state.job.status.as_ref().and_then(|status| status.start_time.as_ref());
    let limit = started.zip(state.spec.active_deadline_seconds).filter(|_| state.spec.suspend != Some(true));
    limit.is_some_and(|(started, limit)| state.now >= started.0 + SignedDuration::from_secs(limit))
}

/// Says how the Job ends, and, once it is settled, that it has.
pub(super) fn conclude(
    state: &State<'_>,
    status: &mut JobStatus,
    verdict: &Verdict,
    settled: bool,
    writes: &mut Vec<Write>,
) {
    let (first, last) =
        if verdict.is_success { ("SuccessCriteriaMet", "Complete") } else { ("FailureTarget", "Failed") };
    let mut say = |type_: &str| {
        let conditions = status.conditions.get_or_insert_default();
        if !conditions.iter().any(|condition| condition.type_ == type_ && condition.status == "True") {
            let texts = (verdict.reason.as_str(), verdict.message.as_str());
            conditions.push(condition(type_, "True", texts, state.now));
        }
    };
    say(first);
    if !settled {
        return;
    }
    say(last);
    if verdict.is_success {
        status.completion_time = Some(stamp(state.now));
        let text = "Job completed".to_owned();
        writes.push(note(state.job, COMPONENT, (Severity::Normal, "Completed"), text));
    } else {
        let reason = match verdict.reason.as_str() {
            "DeadlineExceeded" => "DeadlineExceeded",
            "PodFailurePolicy" => "PodFailurePolicy",
            "MaxFailedIndexesExceeded" => "MaxFailedIndexesExceeded",
            "FailedIndexes" => "FailedIndexes",
            _ => "BackoffLimitExceeded",
        };
        writes.push(note(state.job, COMPONENT, (Severity::Warning, reason), verdict.message.clone()));
    }
}

/// The condition Suspended, told when it changes.
pub(super) fn note_suspension(state: &State<'_>, status: &mut JobStatus, writes: &mut Vec<Write>) {
    let is_suspended = state.spec.suspend == Some(true);
    let (value, reason, text, event) = if is_suspended {
        ("True", "JobSuspended", "Job suspended", "Suspended")
    } else {
        ("False", "JobResumed", "Job resumed", "Resumed")
    };
    let conditions = status.conditions.get_or_insert_default();
    let known = conditions.iter().position(|condition| condition.type_ == "Suspended");
    let changes = match known {
        Some(known) => conditions[known].status != value,
        None => is_suspended,
    };
    if changes {
        let new = condition("Suspended", value, (reason, text), state.now);
        match known {
            Some(known) => conditions[known] = new,
            None => conditions.push(new),
        }
        writes.push(note(state.job, COMPONENT, (Severity::Normal, event), text.to_owned()));
    }
    if conditions.is_empty() {
        status.conditions = None;
    }
}

fn condition(type_: &str, status: &str, (reason, message): (&str, &str), now: Timestamp) -> JobCondition {
    JobCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(stamp(now)),
        last_transition_time: Some(stamp(now)),
    }
}
