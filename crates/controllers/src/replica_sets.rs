//! ReplicaSet: as many Pods as asked for.

use std::cmp::Reverse;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use types::LabelSelector;

use crate::by_controller::ByController;
use crate::claim::{Claim, claim};
use crate::letters::new_name;
use crate::owner::is_deleting;
use crate::pod_state::{is_active, is_available, is_ready, phase};
use crate::selection::{lower_selector, selects};
use crate::template::{creations, deletions, pod_of};
use crate::world::{World, Write, to_value};

const COMPONENT: &str = "replicaset-controller";
/// Annotation that says how much a Pod is to be kept (KEP-2255).
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Most Pods created for one ReplicaSet in one go, as upstream's `BurstReplicas`
/// (`pkg/controller/replicaset/replica_set.go`).
const BURST_REPLICAS: usize = 500;

pub(crate) fn reconcile(world: &World, now: Timestamp) -> Vec<Write> {
    let pods = ByController::of(&world.pods);
    world.replica_sets.values().flat_map(|replica_set| reconcile_one(replica_set, &pods, now)).collect()
}

fn reconcile_one(replica_set: &ReplicaSet, pods: &ByController<'_, Pod>, now: Timestamp) -> Vec<Write> {
    let Some(spec) = &replica_set.spec else { return Vec::new() };
    let Some(selector) = lower_selector(&spec.selector) else { return Vec::new() };
    let Claim { pods: owned, mut writes } = claim(replica_set, &selector, pods, is_active);
    // Adopted Pods count from the next round on; creating beside them would overshoot.
    if writes.is_empty() && !is_deleting(&replica_set.metadata) {
        let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
        writes.extend(scaled(replica_set, &owned, wanted, now));
    }
    writes.extend(status_write(replica_set, &owned, now));
    writes
}

fn scaled(replica_set: &ReplicaSet, owned: &[&Pod], wanted: usize, now: Timestamp) -> Vec<Write> {
    if owned.len() < wanted {
        let missing = (wanted - owned.len()).min(BURST_REPLICAS);
        let pods: Vec<_> = (0..missing).map(|number| new_pod(replica_set, now, number)).collect();
        return creations(replica_set, COMPONENT, &pods);
    }
    let mut ranked = owned.to_vec();
    ranked.sort_by_key(|pod| keep_rank(pod));
    ranked.truncate(owned.len() - wanted);
    deletions(replica_set, COMPONENT, &ranked)
}

/// Lower ranks are deleted first: not placed, not running, not ready, cheap, youngest (upstream
/// `ActivePodsWithRanks`).
pub(crate) fn keep_rank(pod: &Pod) -> impl Ord + use<> {
    let placed = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    let age = Reverse(pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let cost = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DELETION_COST));
    let cost: i32 = cost.and_then(|cost| cost.parse().ok()).unwrap_or(0);
    (placed, phase(pod) == "Running", is_ready(pod), cost, age, pod.metadata.name.clone())
}

fn new_pod(replica_set: &ReplicaSet, now: Timestamp, number: usize) -> Pod {
    let template = replica_set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    let base = format!("{}-", replica_set.metadata.name.as_deref().unwrap_or_default());
    let uid = replica_set.metadata.uid.as_deref().unwrap_or_default();
    let mut pod = pod_of(replica_set, &template, new_name(&base, uid, now, number));
    pod.metadata.generate_name = Some(base);
    pod
}

fn status_write(replica_set: &ReplicaSet, owned: &[&Pod], now: Timestamp) -> Option<Write> {
    let spec = replica_set.spec.as_ref()?;
    let template_labels = LabelSelector::from_map(
        &spec
            .template
            .as_ref()
            .and_then(|template| template.metadata.as_ref()?.labels.clone())
            .unwrap_or_default(),
    );
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let count = |test: &dyn Fn(&Pod) -> bool| {
        i32::try_from(owned.iter().filter(|pod| test(pod)).count()).unwrap_or(i32::MAX)
    };
    let old = replica_set.status.clone().unwrap_or_default();
    let status = ReplicaSetStatus {
        replicas: count(&|_| true),
        fully_labeled_replicas: Some(count(&|pod| selects(&template_labels, &pod.metadata))),
        ready_replicas: Some(count(&is_ready)),
        available_replicas: Some(count(&|pod| is_available(pod, min_ready, now))),
        observed_generation: replica_set.metadata.generation,
        ..old.clone()
    };
    let zero_is_absent = |number: Option<i32>| number.unwrap_or(0);
    let same = old.replicas == status.replicas
        && zero_is_absent(old.fully_labeled_replicas) == zero_is_absent(status.fully_labeled_replicas)
        && zero_is_absent(old.ready_replicas) == zero_is_absent(status.ready_replicas)
        && zero_is_absent(old.available_replicas) == zero_is_absent(status.available_replicas)
        && old.observed_generation == status.observed_generation;
    if same {
        return None;
    }
    let mut changed = replica_set.clone();
    changed.status = Some(status);
    Some(Write::ReplaceStatus(to_value(&changed)))
}
