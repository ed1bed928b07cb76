//! Deployment: one ReplicaSet per version of the template, and the rollout from one to the next
//! (upstream: `pkg/controller/deployment`).

mod status;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::by_controller::ByController;
use crate::letters::letters;
use crate::owner::{controller_reference, is_deleting};
use crate::pod_state::is_finished;
use crate::rollout::{Counts, Limits, recreate, rolling, shared};
use crate::selection::{lower_selector, selects};
use crate::template::note;
use crate::world::{Severity, World, Write, deletion_of, name_of, to_value};
use status::status_write;

const HASH_LABEL: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
const COMPONENT: &str = "deployment-controller";
/// Letters of a hash in names and labels.
const HASH_LETTERS: usize = 10;
/// Annotations that say something of the Deployment or of one ReplicaSet only (`annotationsToSkip`).
const NOT_HANDED_DOWN: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

pub(crate) fn reconcile(world: &World, now: Timestamp) -> Vec<Write> {
    if world.deployments.is_empty() {
        return Vec::new();
    }
    let held =
        Held { sets: ByController::of(&world.replica_sets), pods: ByController::of(&world.pods), world };
    let live = world.deployments.values().filter(|deployment| !is_deleting(&deployment.metadata));
    live.flat_map(|deployment| reconcile_one(&held, deployment, now)).collect()
}

/// What Deployments may control, by controller.
struct Held<'a> {
    sets: ByController<'a, ReplicaSet>,
    pods: ByController<'a, Pod>,
    world: &'a World,
}

/// A Deployment's ReplicaSets, split by whether they have its present template.
struct Versions<'a> {
    newest: Option<&'a ReplicaSet>,
    older: Vec<&'a ReplicaSet>,
}

fn reconcile_one(held: &Held<'_>, deployment: &Deployment, now: Timestamp) -> Vec<Write> {
    let Some(spec) = &deployment.spec else { return Vec::new() };
    let adoptions = adoptions(held, deployment, spec);
    if !adoptions.is_empty() {
        return adoptions;
    }
    let versions = versions(held, deployment, spec);
    let mut writes = if spec.paused == Some(true) {
        scale_only(deployment, spec, &versions)
    } else {
        let mut writes = rollout(held, deployment, spec, &versions);
        writes.extend(history(spec, &versions));
        writes
    };
    writes.extend(status_write(deployment, spec, &versions, now));
    writes
}

fn adoptions(held: &Held<'_>, deployment: &Deployment, spec: &DeploymentSpec) -> Vec<Write> {
    let Some(selector) = lower_selector(&spec.selector) else { return Vec::new() };
    let free = held.sets.free_beside(&deployment.metadata);
    let orphans = free.filter(|set| !is_deleting(&set.metadata) && selects(&selector, &set.metadata));
    orphans
        .map(|set| {
            let mut set = set.clone();
            set.metadata.owner_references.get_or_insert_default().push(controller_reference(deployment));
            Write::Replace(to_value(&set))
        })
        .collect()
}

fn versions<'a>(held: &Held<'a>, deployment: &Deployment, spec: &DeploymentSpec) -> Versions<'a> {
    let mut owned: Vec<_> = held.sets.of_owner(&deployment.metadata).collect();
    owned.sort_by_key(|set| set.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let newest = owned.iter().copied().find(|set| has_template(set, &spec.template));
    let older =
        owned.into_iter().filter(|set| newest.is_none_or(|newest| !std::ptr::eq(*set, newest))).collect();
    Versions { newest, older }
}

fn has_template(set: &ReplicaSet, template: &PodTemplateSpec) -> bool {
    let held = set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    without_hash(held) == without_hash(template.clone())
}

fn without_hash(mut template: PodTemplateSpec) -> PodTemplateSpec {
    let labels = template.metadata.as_mut().and_then(|meta| meta.labels.as_mut());
    if let Some(labels) = labels {
        labels.remove(HASH_LABEL);
    }
    template
}

fn rollout(
    held: &Held<'_>,
    deployment: &Deployment,
    spec: &DeploymentSpec,
    versions: &Versions<'_>,
) -> Vec<Write> {
    let newest = versions.newest.map(counts).unwrap_or_default();
    let (next_newest, next_older) = next_counts(held, spec, versions, newest);
    let mut writes = Vec::new();
    match versions.newest {
        None => writes.extend(new_replica_set(held, deployment, spec, (versions, next_newest))),
        Some(set) => {
            let revision = next_revision(versions).max(revision_of(&set.metadata));
            let changed = brought_up_to_date(deployment, spec, set, revision);
            let set = changed.as_ref().unwrap_or(set);
            writes.extend(resized(deployment, set, next_newest, changed.is_some()));
            writes.extend(revision_write(deployment, revision));
        }
    }
    for (set, next) in versions.older.iter().zip(next_older) {
        writes.extend(resized(deployment, set, next, false));
    }
    writes
}

/// The next `spec.replicas` of the newest and of the older ReplicaSets.
fn next_counts(
    held: &Held<'_>,
    spec: &DeploymentSpec,
    versions: &Versions<'_>,
    newest: Counts,
) -> (i32, Vec<i32>) {
    let replicas = spec.replicas.unwrap_or(1);
    let strategy = spec.strategy.as_ref();
    let mut older: Vec<_> = versions.older.iter().map(|set| counts(set)).collect();
    if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
        for (set, counts) in versions.older.iter().zip(&mut older) {
            // Pods on their way out still run, though their ReplicaSet counts them no more.
            let running = held.pods.of_owner(&set.metadata).filter(|pod| !is_finished(pod)).count();
            counts.existing = counts.existing.max(i32::try_from(running).unwrap_or(i32::MAX));
        }
        return recreate(replicas, newest, &older);
    }
    let rolling_update = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let limits = Limits::resolve(
        rolling_update.and_then(|update| update.max_surge.as_ref()),
        rolling_update.and_then(|update| update.max_unavailable.as_ref()),
        replicas,
    );
    rolling(replicas, limits, newest, &older)
}

/// While paused, a Deployment still follows `spec.replicas`, with the ReplicaSets it has.
fn scale_only(deployment: &Deployment, spec: &DeploymentSpec, versions: &Versions<'_>) -> Vec<Write> {
    let active = versions.older.iter().copied().chain(versions.newest).filter(|set| counts(set).wanted > 0);
    let mut active = active.collect::<Vec<_>>();
    if active.is_empty() {
        active.extend(versions.newest);
    }
    let sizes: Vec<_> = active.iter().map(|set| counts(set).wanted).collect();
    let next = shared(spec.replicas.unwrap_or(1), &sizes);
    active.into_iter().zip(next).flat_map(|(set, next)| resized(deployment, set, next, false)).collect()
}

fn counts(set: &ReplicaSet) -> Counts {
    let status = set.status.as_ref();
    Counts {
        wanted: set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        available: status.and_then(|status| status.available_replicas).unwrap_or(0),
        existing: status.map_or(0, |status| status.replicas),
    }
}

fn resized(deployment: &Deployment, set: &ReplicaSet, replicas: i32, changed_otherwise: bool) -> Vec<Write> {
    let before = counts(set).wanted;
    if before == replicas && !changed_otherwise {
        return Vec::new();
    }
    let mut next = set.clone();
    next.spec.get_or_insert_default().replicas = Some(replicas);
    let mut writes = vec![Write::Replace(to_value(&next))];
    writes.extend((before != replicas).then(|| told_scaling(deployment, set, before, replicas)));
    writes
}

fn told_scaling(deployment: &Deployment, set: &ReplicaSet, before: i32, after: i32) -> Write {
    let direction = if after > before { "up" } else { "down" };
    let name = set.metadata.name.as_deref().unwrap_or_default();
    let text = format!("Scaled {direction} replica set {name} from {before} to {after}");
    note(deployment, COMPONENT, (Severity::Normal, "ScalingReplicaSet"), text)
}

/// The first ReplicaSet of a template; or, when its name belongs to something else, a count that gives it another.
fn new_replica_set(
    held: &Held<'_>,
    deployment: &Deployment,
    spec: &DeploymentSpec,
    (versions, replicas): (&Versions<'_>, i32),
) -> Vec<Write> {
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    let hash = template_hash(&spec.template, collisions);
    let mut template = spec.template.clone();
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH_LABEL.to_owned(), hash.clone());
    let labels = labels.clone();
    let mut selector = spec.selector.clone();
    selector.match_labels.get_or_insert_default().insert(HASH_LABEL.to_owned(), hash.clone());
    let mut annotations = handed_down(deployment);
    annotations.insert(REVISION.to_owned(), next_revision(versions).to_string());
    let set = ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", deployment.metadata.name.as_deref().unwrap_or_default())),
            namespace: deployment.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: Some(vec![controller_reference(deployment)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(replicas),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    };
    if held.world.replica_sets.contains_key(&name_of(&set.metadata)) {
        let mut deployment = deployment.clone();
        deployment.status.get_or_insert_default().collision_count = Some(collisions + 1);
        return vec![Write::ReplaceStatus(to_value(&deployment))];
    }
    let mut writes = vec![Write::Create(to_value(&set))];
    writes.extend((replicas > 0).then(|| told_scaling(deployment, &set, 0, replicas)));
    writes
}

/// Annotations of a Deployment that its newest ReplicaSet has too, such as the cause of a change.
fn handed_down(deployment: &Deployment) -> BTreeMap<String, String> {
    let annotations = deployment.metadata.annotations.clone().unwrap_or_default();
    annotations.into_iter().filter(|(key, _)| !NOT_HANDED_DOWN.contains(&key.as_str())).collect()
}

/// Letters that are the same for equal templates.
fn template_hash(template: &PodTemplateSpec, collisions: i32) -> String {
    let text = to_value(template).to_string();
    letters(&if collisions == 0 { text } else { format!("{text} {collisions}") }, HASH_LETTERS)
}

fn revision_of(meta: &ObjectMeta) -> u64 {
    let annotations = meta.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(REVISION)?.parse().ok()).unwrap_or(0)
}

/// One more than every older ReplicaSet has.
fn next_revision(versions: &Versions<'_>) -> u64 {
    versions.older.iter().map(|set| revision_of(&set.metadata)).max().unwrap_or(0) + 1
}

/// The ReplicaSet with what it has from the Deployment besides the template; none when it has that already.
fn brought_up_to_date(
    deployment: &Deployment,
    spec: &DeploymentSpec,
    set: &ReplicaSet,
    revision: u64,
) -> Option<ReplicaSet> {
    let mut next = set.clone();
    let annotations = next.metadata.annotations.get_or_insert_default();
    annotations.extend(handed_down(deployment));
    annotations.insert(REVISION.to_owned(), revision.to_string());
    let seconds = |seconds: Option<i32>| seconds.unwrap_or(0);
    let next_spec = next.spec.get_or_insert_default();
    if seconds(next_spec.min_ready_seconds) != seconds(spec.min_ready_seconds) {
        next_spec.min_ready_seconds = spec.min_ready_seconds;
    }
    (next != *set).then_some(next)
}

fn revision_write(deployment: &Deployment, revision: u64) -> Option<Write> {
    if revision_of(&deployment.metadata) == revision {
        return None;
    }
    let mut deployment = deployment.clone();
    deployment.metadata.annotations.get_or_insert_default().insert(REVISION.to_owned(), revision.to_string());
    Some(Write::Replace(to_value(&deployment)))
}

/// Empty ReplicaSets beyond `revisionHistoryLimit`, oldest revision first.
fn history(spec: &DeploymentSpec, versions: &Versions<'_>) -> Vec<Write> {
    let limit = usize::try_from(spec.revision_history_limit.unwrap_or(10)).unwrap_or(0);
    let mut empty: Vec<_> =
        versions.older.iter().filter(|set| counts(set).wanted == 0 && counts(set).existing == 0).collect();
    empty.sort_by_key(|set| revision_of(&set.metadata));
    let surplus = empty.len().saturating_sub(limit);
    empty.iter().take(surplus).map(|set| deletion_of(**set)).collect()
}

#[cfg(test)]
mod tests;
