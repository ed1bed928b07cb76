//! PodDisruptionBudget: how many of its Pods may be evicted now
//! (upstream: `pkg/controller/disruption/disruption.go`).

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use types::{LabelSelector, NamespacedName};

use crate::by_label::ByLabel;
use crate::owner::{controller_of, is_deleting};
use crate::pod_state::{is_finished, is_ready};
use crate::rollout::{Rounding, resolve};
use crate::selection::lower_selector;
use crate::stamp::stamp;
use crate::world::{World, Write, to_value};

/// How long an eviction that has not shown counts against the budget (`DeletionTimeout`).
const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_mins(2);

pub(crate) fn reconcile(world: &World, now: Timestamp) -> Vec<Write> {
    if world.disruption_budgets.is_empty() {
        return Vec::new();
    }
    let pods = ByLabel::of(&world.pods);
    world.disruption_budgets.values().filter_map(|budget| reconcile_one(world, budget, &pods, now)).collect()
}

fn reconcile_one(
    world: &World,
    budget: &PodDisruptionBudget,
    pods: &ByLabel<'_, Pod>,
    now: Timestamp,
) -> Option<Write> {
    let spec = budget.spec.as_ref()?;
    if is_deleting(&budget.metadata) {
        return None;
    }
    // No selector selects nothing, an empty one everything.
    let selector = spec.selector.as_ref().and_then(lower_selector);
    let namespace = budget.metadata.namespace.as_deref().unwrap_or_default();
    let pods: Vec<&Pod> = selector
        .map(|selector: LabelSelector| pods.selected(namespace, &selector))
        .unwrap_or_default()
        .into_iter()
        .filter(|pod| !is_finished(pod))
        .collect();
    let old = budget.status.clone().unwrap_or_default();
    let evicted = still_expected(&old, &pods, now);
    let healthy = pods.iter().filter(|pod| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        is_ready(pod) && !is_deleting(&pod.metadata) && !evicted.contains_key(name)
    });
    let healthy = i32::try_from(healthy.count()).unwrap_or(i32::MAX);
    let wanted = wanted(world, spec, &pods);
    let (expected, desired) = wanted.clone().unwrap_or((old.expected_pods, old.desired_healthy));
    let allowed = if wanted.is_ok() && expected > 0 { (healthy - desired).max(0) } else { 0 };
    let mut status = PodDisruptionBudgetStatus {
        current_healthy: healthy,
        desired_healthy: desired,
        expected_pods: expected,
        disruptions_allowed: allowed,
        disrupted_pods: (!evicted.is_empty()).then_some(evicted),
        observed_generation: budget.metadata.generation,
        conditions: old.conditions.clone(),
    };
    say(&mut status, wanted.err(), budget.metadata.generation, now);
    let same = status
        == PodDisruptionBudgetStatus {
            disrupted_pods: old.disrupted_pods.clone().filter(|pods| !pods.is_empty()),
            ..old
        };
    if same {
        return None;
    }
    let mut changed = budget.clone();
    changed.status = Some(status);
    Some(Write::ReplaceStatus(to_value(&changed)))
}

/// Evictions that were allowed and cannot be seen yet.
fn still_expected(old: &PodDisruptionBudgetStatus, pods: &[&Pod], now: Timestamp) -> BTreeMap<String, Time> {
    let mut evicted = old.disrupted_pods.clone().unwrap_or_default();
    let there: BTreeSet<&str> = pods
        .iter()
        .filter(|pod| !is_deleting(&pod.metadata))
        .filter_map(|pod| pod.metadata.name.as_deref())
        .collect();
    evicted.retain(|name, since| there.contains(name.as_str()) && now < since.0 + DELETION_TIMEOUT);
    evicted
}

/// How many Pods there should be, and how many of them healthy; or why nobody knows.
fn wanted(world: &World, spec: &PodDisruptionBudgetSpec, pods: &[&Pod]) -> Result<(i32, i32), String> {
    let count = i32::try_from(pods.len()).unwrap_or(i32::MAX);
    if let Some(max_unavailable) = &spec.max_unavailable {
        let expected = scale(world, pods)?;
        let unavailable = resolve(Some(max_unavailable), expected, Rounding::Up);
        return Ok((expected, (expected - unavailable).max(0)));
    }
    match &spec.min_available {
        Some(IntOrString::Int(number)) => Ok((count, *number)),
        Some(share @ IntOrString::String(_)) => {
            let expected = scale(world, pods)?;
            Ok((expected, resolve(Some(share), expected, Rounding::Up)))
        }
        None => Ok((count, count)),
    }
}

/// The replicas that the controllers of the Pods ask for, each once.
fn scale(world: &World, pods: &[&Pod]) -> Result<i32, String> {
    let mut controllers: BTreeMap<String, i32> = BTreeMap::new();
    for pod in pods {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let owner =
            controller_of(&pod.metadata).ok_or_else(|| format!("found no controllers for pod \"{name}\""))?;
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let (uid, replicas) = scale_of(world, namespace, owner).ok_or_else(|| {
            format!("{} \"{}\" does not implement the scale subresource", owner.kind, owner.name)
        })?;
        controllers.insert(uid, replicas);
    }
    Ok(controllers.values().sum())
}

/// The uid and the replicas of whoever decides how many Pods there are.
fn scale_of(world: &World, namespace: &str, owner: &OwnerReference) -> Option<(String, i32)> {
    let key = NamespacedName::new(namespace, owner.name.as_str());
    let replicas = match owner.kind.as_str() {
        "ReplicaSet" => {
            let set = world.replica_sets.get(&key)?;
            let above = controller_of(&set.metadata).filter(|above| above.kind == "Deployment");
            if let Some(above) = above {
                return scale_of(world, namespace, above);
            }
            set.spec.as_ref().and_then(|spec| spec.replicas)
        }
        "Deployment" => world.deployments.get(&key)?.spec.as_ref().and_then(|spec| spec.replicas),
        "StatefulSet" => world.stateful_sets.get(&key)?.spec.as_ref().and_then(|spec| spec.replicas),
        _ => return None,
    };
    Some((owner.uid.clone(), replicas.unwrap_or(1)))
}

fn say(
    status: &mut PodDisruptionBudgetStatus,
    trouble: Option<String>,
    generation: Option<i64>,
    now: Timestamp,
) {
    let (value, reason, message) = match trouble {
        Some(why) => ("False", "SyncFailed", why),
        None if status.disruptions_allowed > 0 => ("True", "SufficientPods", String::new()),
        None => ("False", "InsufficientPods", String::new()),
    };
    let conditions = status.conditions.get_or_insert_default();
    let held = conditions.iter_mut().find(|condition| condition.type_ == "DisruptionAllowed");
    let turned = held.as_ref().is_none_or(|held| held.status != value);
    let since = held.as_ref().filter(|_| !turned).map(|held| held.last_transition_time.clone());
    let new = Condition {
        type_: "DisruptionAllowed".to_owned(),
        status: value.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: generation,
        last_transition_time: since.unwrap_or_else(|| stamp(now)),
    };
    match held {
        Some(held) => *held = new,
        None => conditions.push(new),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::test_world::{Bench, at, mk_pod, mk_replica_set, owned_by};

    fn bench(spec: &Value) -> Bench {
        let mut bench = Bench::new(&["node-a"]);
        bench.world.put(mk_replica_set("shop", "web", 3));
        for name in ["web-1", "web-2", "web-3"] {
            bench.world.put(owned_by(mk_pod("shop", name), "ReplicaSet", "web", "uid-web"));
        }
        let mut spec = spec.clone();
        spec["selector"] = json!({ "matchLabels": { "app": "web" } });
        let metadata = json!({ "namespace": "shop", "name": "web", "uid": "uid-pdb", "generation": 1 });
        bench.put(json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec,
        }));
        bench.settle(&[reconcile]);
        bench
    }

    fn status(bench: &Bench) -> PodDisruptionBudgetStatus {
        bench.world.disruption_budgets.values().next().unwrap().status.clone().unwrap()
    }

    #[test]
    fn budgets_count_from_below_and_from_above() {
        for (spec, allowed) in [
            (json!({ "minAvailable": 2 }), 1),
            (json!({ "minAvailable": "50%" }), 1),
            (json!({ "maxUnavailable": 1 }), 1),
            (json!({ "maxUnavailable": 0 }), 0),
            (json!({ "maxUnavailable": "34%" }), 2),
        ] {
            let held = status(&bench(&spec));
            assert_eq!((held.disruptions_allowed, held.current_healthy), (allowed, 3), "{spec}");
            let reason = if allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
            assert_eq!(held.conditions.unwrap()[0].reason, reason, "{spec}");
        }
    }

    #[test]
    fn an_eviction_counts_until_it_shows_or_its_time_is_up() {
        let mut bench = bench(&json!({ "maxUnavailable": 1 }));
        let budget = bench.world.disruption_budgets.values_mut().next().unwrap();
        let evicted = [("web-1".to_owned(), stamp(at(bench.seconds)))].into();
        budget.status.as_mut().unwrap().disrupted_pods = Some(evicted);
        bench.settle(&[reconcile]);
        assert_eq!((status(&bench).disruptions_allowed, status(&bench).current_healthy), (0, 2));
        bench.seconds += 121;
        bench.settle(&[reconcile]);
        assert_eq!((status(&bench).disruptions_allowed, status(&bench).disrupted_pods), (1, None));
    }

    #[test]
    fn pods_that_nobody_controls_allow_nothing_by_share() {
        let mut bench = bench(&json!({ "maxUnavailable": 1 }));
        bench.world.put(mk_pod("shop", "alone"));
        bench.settle(&[reconcile]);
        let held = status(&bench);
        assert_eq!(held.disruptions_allowed, 0);
        assert_eq!(held.conditions.unwrap()[0].message, "found no controllers for pod \"alone\"");
    }
}
