//! What to do next for the Pods of a StatefulSet: in order, or all at once.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{State, revision_of};
use crate::owner::is_deleting;
use crate::pod_state::is_finished;
use crate::revisions;
use crate::rollout::{Rounding, resolve};

/// One thing to do.
pub(super) enum Step<'a> {
    /// Make the Pod with this ordinal.
    Create(i32),
    /// Delete a Pod.
    Delete(&'a Pod),
}

/// Everything that may be done now: lowest missing ordinal first, then the highest that is too many, then the
/// highest that has an older template.
pub(super) fn steps<'a>(state: &State<'a>) -> Vec<Step<'a>> {
    let ordered = state.spec.pod_management_policy.as_deref() != Some("Parallel");
    let mut steps = Vec::new();
    if filled(state, ordered, &mut steps).is_none() || drained(state, ordered, &mut steps).is_none() {
        return steps;
    }
    if steps.is_empty() {
        updated(state, &mut steps);
    }
    steps
}

/// None when what follows has to wait.
fn filled<'a>(state: &State<'a>, ordered: bool, steps: &mut Vec<Step<'a>>) -> Option<()> {
    for (ordinal, pod) in &state.places {
        let waits = match pod {
            None => {
                steps.push(Step::Create(*ordinal));
                true
            }
            // A Pod that has ended is made again once it is gone.
            Some(pod) if is_finished(pod) => {
                steps.extend((!is_deleting(&pod.metadata)).then_some(Step::Delete(pod)));
                true
            }
            Some(pod) => is_deleting(&pod.metadata) || !state.is_available(pod),
        };
        if waits && ordered {
            return None;
        }
    }
    Some(())
}

fn drained<'a>(state: &State<'a>, ordered: bool, steps: &mut Vec<Step<'a>>) -> Option<()> {
    let unhealthy = |pod: &Pod| is_deleting(&pod.metadata) || !state.is_available(pod);
    let first_unhealthy = state.condemned.iter().rev().find(|pod| unhealthy(pod));
    for pod in &state.condemned {
        if is_deleting(&pod.metadata) {
            if ordered {
                return None;
            }
            continue;
        }
        let is_first = first_unhealthy.is_some_and(|first| std::ptr::eq(*first, *pod));
        if ordered && unhealthy(pod) && !is_first {
            return None;
        }
        steps.push(Step::Delete(pod));
        if ordered {
            return None;
        }
    }
    Some(())
}

fn updated<'a>(state: &State<'a>, steps: &mut Vec<Step<'a>>) {
    let strategy = state.spec.update_strategy.as_ref();
    if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
        return;
    }
    let mut budget = max_unavailable(state);
    let spared = usize::try_from(state.partition()).unwrap_or(0);
    for (_, pod) in state.places.iter().skip(spared).rev() {
        if budget <= 0 {
            return;
        }
        let Some(pod) = pod else {
            budget -= 1;
            continue;
        };
        let is_old = revision_of(pod) != Some(revisions::name(state.update));
        if is_old && !is_deleting(&pod.metadata) {
            steps.push(Step::Delete(pod));
            budget -= 1;
        } else if is_deleting(&pod.metadata) || !state.is_available(pod) {
            budget -= 1;
        }
    }
}

/// `maxUnavailable` in Pods, at least 1.
fn max_unavailable(state: &State<'_>) -> i32 {
    let rolling = state.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let one = IntOrString::Int(1);
    let value = rolling.and_then(|rolling| rolling.max_unavailable.as_ref()).unwrap_or(&one);
    resolve(Some(value), state.spec.replicas.unwrap_or(1), Rounding::Down).max(1)
}
