//! ReplicaSet: as many Pods as asked for.

use std::cmp::Reverse;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use types::LabelSelector;

use crate::owner::{controller_of, controller_reference, is_controlled_by, is_deleting};
use crate::pod_state::{is_active, is_available, is_ready, phase};
use crate::selection::{lower_selector, selects};
use crate::world::{Described, World, Write, to_value};

/// Most Pods created for one ReplicaSet in one go, as upstream's `BurstReplicas`
/// (`pkg/controller/replicaset/replica_set.go`).
const BURST_REPLICAS: usize = 500;

pub(crate) fn reconcile(world: &World, now: Timestamp) -> Vec<Write> {
    world.replica_sets.values().flat_map(|replica_set| reconcile_one(world, replica_set, now)).collect()
}

fn reconcile_one(world: &World, replica_set: &ReplicaSet, now: Timestamp) -> Vec<Write> {
    let Some(spec) = &replica_set.spec else { return Vec::new() };
    let Some(selector) = lower_selector(&spec.selector) else { return Vec::new() };
    let in_namespace = |pod: &&Pod| pod.metadata.namespace == replica_set.metadata.namespace;
    let uid = replica_set.metadata.uid.as_deref();

    let mut writes = Vec::new();
    let (mut owned, mut orphans) = (Vec::new(), Vec::new());
    for pod in world.pods.values().filter(in_namespace).filter(|pod| is_active(pod)) {
        if is_controlled_by(&pod.metadata, uid) {
            owned.push(pod);
        } else if controller_of(&pod.metadata).is_none() && selects(&selector, &pod.metadata) {
            orphans.push(pod);
        }
    }
    if !is_deleting(&replica_set.metadata) {
        writes.extend(released(&mut owned, &selector));
        writes.extend(orphans.into_iter().map(|pod| adopted(pod, replica_set)));
        let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
        // Adopted Pods count from the next round on; creating beside them would overshoot.
        if writes.is_empty() {
            writes.extend(scaled(replica_set, &owned, wanted));
        }
    }
    writes.extend(status_write(replica_set, &owned, now));
    writes
}

/// Pods that no longer match are let go.
fn released(owned: &mut Vec<&Pod>, selector: &LabelSelector) -> Vec<Write> {
    let mut writes = Vec::new();
    owned.retain(|pod| {
        let kept = selects(selector, &pod.metadata);
        if !kept {
            let mut pod = (*pod).clone();
            let references = pod.metadata.owner_references.take().unwrap_or_default();
            let others = references.into_iter().filter(|reference| reference.controller != Some(true));
            pod.metadata.owner_references = Some(others.collect());
            writes.push(Write::Replace(to_value(&pod)));
        }
        kept
    });
    writes
}

fn adopted(pod: &Pod, replica_set: &ReplicaSet) -> Write {
    let mut pod = pod.clone();
    pod.metadata.owner_references.get_or_insert_default().push(controller_reference(replica_set));
    Write::Replace(to_value(&pod))
}

fn scaled(replica_set: &ReplicaSet, owned: &[&Pod], wanted: usize) -> Vec<Write> {
    if owned.len() < wanted {
        let missing = (wanted - owned.len()).min(BURST_REPLICAS);
        return std::iter::repeat_with(|| new_pod(replica_set)).take(missing).collect();
    }
    let mut ranked = owned.to_vec();
    ranked.sort_by_key(|pod| keep_rank(pod));
    ranked.iter().take(owned.len() - wanted).map(|pod| deletion(pod)).collect()
}

/// Lower ranks are deleted first: not placed, not running, not ready, youngest (upstream `ActivePods`).
fn keep_rank(pod: &Pod) -> impl Ord + use<> {
    let placed = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    let age = Reverse(pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    (placed, phase(pod) == "Running", is_ready(pod), age, pod.metadata.name.clone())
}

fn deletion(pod: &Pod) -> Write {
    Described { api_version: "v1", kind: "Pod", meta: &pod.metadata }.deletion()
}

fn new_pod(replica_set: &ReplicaSet) -> Write {
    let template = replica_set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    let from_template = template.metadata.unwrap_or_default();
    let pod = Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", replica_set.metadata.name.as_deref().unwrap_or_default())),
            namespace: replica_set.metadata.namespace.clone(),
            labels: from_template.labels,
            annotations: from_template.annotations,
            finalizers: from_template.finalizers,
            owner_references: Some(vec![controller_reference(replica_set)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    };
    Write::Create(to_value(&pod))
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
