//! From old daemons to new ones, Node by Node (upstream: `pkg/controller/daemon/update.go`).

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Place, Plan, State};
use crate::owner::is_deleting;
use crate::pod_state::is_finished;
use crate::rollout::{Limits, Rounding, resolve};

/// How many Nodes may have two daemons, or none that works.
pub(super) fn limits(state: &State<'_>) -> Limits {
    let rolling = state.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let (zero, one) = (IntOrString::Int(0), IntOrString::Int(1));
    let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref()).unwrap_or(&zero);
    let unavailable = rolling.and_then(|rolling| rolling.max_unavailable.as_ref()).unwrap_or(&one);
    let wanted = state.places.iter().filter(|place| place.fit.takes).count();
    let wanted = i32::try_from(wanted).unwrap_or(i32::MAX);
    let max_surge = resolve(Some(surge), wanted, Rounding::Up);
    let max_unavailable = resolve(Some(unavailable), wanted, Rounding::Up);
    let neither = max_surge == 0 && max_unavailable == 0;
    Limits { max_surge, max_unavailable: if neither { 1 } else { max_unavailable } }
}

/// The daemons of one Node that have not ended.
struct Pair<'a> {
    new: Option<&'a Pod>,
    old: Option<&'a Pod>,
}

fn pair<'a>(state: &State<'a>, place: &Place<'a>) -> Pair<'a> {
    let mut pair = Pair { new: None, old: None };
    for pod in place.pods.iter().copied().filter(|pod| !is_finished(pod)) {
        let side = if state.is_new(pod) { &mut pair.new } else { &mut pair.old };
        side.get_or_insert(pod);
    }
    pair
}

/// Adds to the plan what the rollout may do now.
pub(super) fn advance<'a>(state: &State<'a>, plan: &mut Plan<'a>) {
    let limits = limits(state);
    let places = state.places.iter().filter(|place| place.fit.takes);
    if limits.max_surge == 0 {
        replace(state, places, limits.max_unavailable, plan);
    } else {
        surge(state, places, limits.max_surge, plan);
    }
}

/// Old daemons go first; new ones follow when they are gone.
fn replace<'a, 'p>(
    state: &State<'a>,
    places: impl Iterator<Item = &'p Place<'a>>,
    max_unavailable: i32,
    plan: &mut Plan<'a>,
) where
    'a: 'p,
{
    let (mut unavailable, mut candidates) = (0, Vec::new());
    for place in places {
        match pair(state, place) {
            Pair { new: None, old: None } => unavailable += 1,
            Pair { new: Some(new), .. } => unavailable += i32::from(!state.is_available(new)),
            Pair { new: None, old: Some(old) } if is_deleting(&old.metadata) => unavailable += 1,
            Pair { new: None, old: Some(old) } if !state.is_available(old) => {
                // It serves nobody, so that nothing is lost with it.
                unavailable += 1;
                delete(plan, old);
            }
            Pair { new: None, old: Some(old) } => candidates.push(old),
        }
    }
    let room = usize::try_from(max_unavailable - unavailable).unwrap_or(0);
    candidates.into_iter().take(room).for_each(|old| delete(plan, old));
}

/// New daemons come first; old ones go once the new ones are available.
fn surge<'a, 'p>(
    state: &State<'a>,
    places: impl Iterator<Item = &'p Place<'a>>,
    max_surge: i32,
    plan: &mut Plan<'a>,
) where
    'a: 'p,
{
    let (mut surging, mut candidates) = (0, Vec::new());
    for place in places {
        let node = place.node.metadata.name.as_deref().unwrap_or_default();
        match pair(state, place) {
            Pair { new: Some(new), old: Some(old) } if state.is_available(new) => delete(plan, old),
            Pair { new: Some(_), old: Some(_) } => surging += 1,
            Pair { new: None, old: Some(old) } if is_deleting(&old.metadata) => {
                plan.create_on.insert(node);
            }
            Pair { new: None, old: Some(old) } if !state.is_available(old) => {
                plan.create_on.insert(node);
            }
            Pair { new: None, old: Some(_) } => candidates.push(node),
            Pair { old: None, .. } => {}
        }
    }
    let room = usize::try_from(max_surge - surging).unwrap_or(0);
    plan.create_on.extend(candidates.into_iter().take(room));
}

fn delete<'a>(plan: &mut Plan<'a>, pod: &'a Pod) {
    let known = plan.delete.iter().any(|other| std::ptr::eq(*other, pod));
    if !known && !is_deleting(&pod.metadata) {
        plan.delete.push(pod);
    }
}
