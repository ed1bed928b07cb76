//! Deployment: one ReplicaSet per version of the template, and the rollout from one to the next.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentSpec, DeploymentStatus, ReplicaSet, ReplicaSetSpec,
};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use crate::owner::{controller_of, controller_reference, is_controlled_by, is_deleting};
use crate::rollout::{Counts, Limits, recreate, rolling};
use crate::selection::{lower_selector, selects};
use crate::world::{Described, World, Write, to_value};

const HASH_LABEL: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
/// Letters of generated names: no vowels, no look-alikes (`apimachinery/pkg/util/rand`).
const SAFE_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

pub(crate) fn reconcile(world: &World, now: Timestamp) -> Vec<Write> {
    let live = world.deployments.values().filter(|deployment| !is_deleting(&deployment.metadata));
    live.flat_map(|deployment| reconcile_one(world, deployment, now)).collect()
}

/// A Deployment's ReplicaSets, split by whether they have its present template.
struct Versions<'a> {
    newest: Option<&'a ReplicaSet>,
    older: Vec<&'a ReplicaSet>,
}

fn reconcile_one(world: &World, deployment: &Deployment, now: Timestamp) -> Vec<Write> {
    let Some(spec) = &deployment.spec else { return Vec::new() };
    let adoptions = adoptions(world, deployment, spec);
    if !adoptions.is_empty() {
        return adoptions;
    }
    let versions = versions(world, deployment, spec);
    let mut writes = if spec.paused == Some(true) {
        Vec::new()
    } else {
        let mut writes = rollout(deployment, spec, &versions);
        writes.extend(history(spec, &versions));
        writes
    };
    if writes.is_empty() && spec.paused == Some(true) {
        writes.extend(scale_only(spec, &versions));
    }
    writes.extend(status_write(deployment, spec, &versions, now));
    writes
}

fn adoptions(world: &World, deployment: &Deployment, spec: &DeploymentSpec) -> Vec<Write> {
    let Some(selector) = lower_selector(&spec.selector) else { return Vec::new() };
    let orphans = world.replica_sets.values().filter(|set| {
        set.metadata.namespace == deployment.metadata.namespace
            && controller_of(&set.metadata).is_none()
            && !is_deleting(&set.metadata)
            && selects(&selector, &set.metadata)
    });
    orphans
        .map(|set| {
            let mut set = set.clone();
            set.metadata.owner_references.get_or_insert_default().push(controller_reference(deployment));
            Write::Replace(to_value(&set))
        })
        .collect()
}

fn versions<'a>(world: &'a World, deployment: &Deployment, spec: &DeploymentSpec) -> Versions<'a> {
    let uid = deployment.metadata.uid.as_deref();
    let mut owned: Vec<_> =
        world.replica_sets.values().filter(|set| is_controlled_by(&set.metadata, uid)).collect();
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

fn rollout(deployment: &Deployment, spec: &DeploymentSpec, versions: &Versions<'_>) -> Vec<Write> {
    let replicas = spec.replicas.unwrap_or(1);
    let strategy = spec.strategy.as_ref();
    let newest = versions.newest.map(counts).unwrap_or_default();
    let older: Vec<_> = versions.older.iter().map(|set| counts(set)).collect();
    let (next_newest, next_older) =
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
            recreate(replicas, newest, &older)
        } else {
            let rolling_update = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
            let limits = Limits::resolve(
                rolling_update.and_then(|update| update.max_surge.as_ref()),
                rolling_update.and_then(|update| update.max_unavailable.as_ref()),
                replicas,
            );
            rolling(replicas, limits, newest, &older)
        };
    let mut writes = Vec::new();
    match versions.newest {
        None => writes.push(new_replica_set(deployment, spec, versions, next_newest)),
        Some(set) => {
            let revision = next_revision(versions).max(revision_of(&set.metadata));
            let changed = with_revision(set, revision);
            writes.extend(resized(changed.as_ref().unwrap_or(set), next_newest, changed.is_some()));
            writes.extend(revision_write(deployment, revision));
        }
    }
    let resizes = versions.older.iter().zip(next_older).filter_map(|(set, next)| resized(set, next, false));
    writes.extend(resizes);
    writes
}

/// While paused, a Deployment still follows `spec.replicas` with its only ReplicaSet.
fn scale_only(spec: &DeploymentSpec, versions: &Versions<'_>) -> Option<Write> {
    let active = versions.older.iter().copied().chain(versions.newest).filter(|set| counts(set).wanted > 0);
    let mut active = active.collect::<Vec<_>>();
    if active.is_empty() {
        active.extend(versions.newest);
    }
    match active.as_slice() {
        [only] => resized(only, spec.replicas.unwrap_or(1), false),
        _ => None,
    }
}

fn counts(set: &ReplicaSet) -> Counts {
    let status = set.status.as_ref();
    Counts {
        wanted: set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        available: status.and_then(|status| status.available_replicas).unwrap_or(0),
        existing: status.map_or(0, |status| status.replicas),
    }
}

fn resized(set: &ReplicaSet, replicas: i32, changed_otherwise: bool) -> Option<Write> {
    if counts(set).wanted == replicas && !changed_otherwise {
        return None;
    }
    let mut set = set.clone();
    set.spec.get_or_insert_default().replicas = Some(replicas);
    Some(Write::Replace(to_value(&set)))
}

fn new_replica_set(
    deployment: &Deployment,
    spec: &DeploymentSpec,
    versions: &Versions<'_>,
    replicas: i32,
) -> Write {
    let hash = template_hash(&spec.template);
    let mut template = spec.template.clone();
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH_LABEL.to_owned(), hash.clone());
    let labels = labels.clone();
    let mut selector = spec.selector.clone();
    selector.match_labels.get_or_insert_default().insert(HASH_LABEL.to_owned(), hash.clone());
    let mut annotations = deployment.metadata.annotations.clone().unwrap_or_default();
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    annotations.insert(REVISION.to_owned(), next_revision(versions).to_string());
    Write::Create(to_value(&ReplicaSet {
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
    }))
}

/// Ten letters that are the same for equal templates (FNV-1a over the canonical JSON).
fn template_hash(template: &PodTemplateSpec) -> String {
    let text = to_value(template).to_string();
    let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let letters = SAFE_LETTERS.len() as u64;
    let mut letter = || {
        let index = usize::try_from(hash % letters).expect("an index below 27");
        hash /= letters;
        char::from(SAFE_LETTERS[index])
    };
    (0..10).map(|_| letter()).collect()
}

fn revision_of(meta: &ObjectMeta) -> u64 {
    let annotations = meta.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(REVISION)?.parse().ok()).unwrap_or(0)
}

/// One more than every older ReplicaSet has.
fn next_revision(versions: &Versions<'_>) -> u64 {
    versions.older.iter().map(|set| revision_of(&set.metadata)).max().unwrap_or(0) + 1
}

fn with_revision(set: &ReplicaSet, revision: u64) -> Option<ReplicaSet> {
    if revision_of(&set.metadata) == revision {
        return None;
    }
    let mut set = set.clone();
    set.metadata.annotations.get_or_insert_default().insert(REVISION.to_owned(), revision.to_string());
    Some(set)
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
    let describe = |set: &&&ReplicaSet| {
        Described { api_version: "apps/v1", kind: "ReplicaSet", meta: &set.metadata }.deletion()
    };
    empty.iter().take(surplus).map(describe).collect()
}

fn status_write(
    deployment: &Deployment,
    spec: &DeploymentSpec,
    versions: &Versions<'_>,
    now: Timestamp,
) -> Option<Write> {
    let old = deployment.status.clone().unwrap_or_default();
    let all = || versions.older.iter().copied().chain(versions.newest);
    let sum = |field: &dyn Fn(&ReplicaSet) -> i32| all().map(field).sum::<i32>();
    let replicas = sum(&|set| counts(set).existing);
    let available = sum(&|set| counts(set).available);
    let wanted = sum(&|set| counts(set).wanted);
    let ready = sum(&|set| set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0));
    let mut status = DeploymentStatus {
        replicas: non_zero(replicas),
        updated_replicas: non_zero(versions.newest.map_or(0, |set| counts(set).existing)),
        ready_replicas: non_zero(ready),
        available_replicas: non_zero(available),
        unavailable_replicas: non_zero((wanted - available).max(0)),
        observed_generation: deployment.metadata.generation,
        ..old.clone()
    };
    let conditions = vec![
        available_condition(spec, available),
        progressing_condition(deployment, spec, versions, &status, now),
    ];
    status.conditions =
        Some(merged(old.conditions.clone().unwrap_or_default(), conditions, &old, &status, now));
    let same = status == DeploymentStatus { conditions: status.conditions.clone(), ..normal(old.clone()) }
        && status.conditions == old.conditions;
    if same {
        return None;
    }
    let mut changed = deployment.clone();
    changed.status = Some(status);
    Some(Write::ReplaceStatus(to_value(&changed)))
}

fn non_zero(number: i32) -> Option<i32> {
    (number != 0).then_some(number)
}

/// Zero and absent counts are the same.
fn normal(mut status: DeploymentStatus) -> DeploymentStatus {
    let counts = [
        &mut status.replicas,
        &mut status.updated_replicas,
        &mut status.ready_replicas,
        &mut status.available_replicas,
        &mut status.unavailable_replicas,
    ];
    for count in counts {
        *count = count.and_then(non_zero);
    }
    status
}

fn condition(type_: &str, status: &str, reason: &str, message: String) -> DeploymentCondition {
    DeploymentCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        ..DeploymentCondition::default()
    }
}

fn available_condition(spec: &DeploymentSpec, available: i32) -> DeploymentCondition {
    let replicas = spec.replicas.unwrap_or(1);
    let rolling_update = spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let limits = Limits::resolve(
        rolling_update.and_then(|update| update.max_surge.as_ref()),
        rolling_update.and_then(|update| update.max_unavailable.as_ref()),
        replicas,
    );
    let recreates = spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate");
    let max_unavailable = if recreates { 0 } else { limits.max_unavailable };
    if available >= replicas - max_unavailable {
        let message = "Deployment has minimum availability.".to_owned();
        condition("Available", "True", "MinimumReplicasAvailable", message)
    } else {
        let message = "Deployment does not have minimum availability.".to_owned();
        condition("Available", "False", "MinimumReplicasUnavailable", message)
    }
}

fn progressing_condition(
    deployment: &Deployment,
    spec: &DeploymentSpec,
    versions: &Versions<'_>,
    status: &DeploymentStatus,
    now: Timestamp,
) -> DeploymentCondition {
    let deployment_name = deployment.metadata.name.as_deref().unwrap_or_default();
    let set_name = versions.newest.and_then(|set| set.metadata.name.clone());
    let subject = match &set_name {
        Some(name) => format!("ReplicaSet \"{name}\""),
        None => format!("Deployment \"{deployment_name}\""),
    };
    let replicas = spec.replicas.unwrap_or(1);
    let complete = status.updated_replicas.unwrap_or(0) == replicas
        && status.replicas.unwrap_or(0) == replicas
        && status.available_replicas.unwrap_or(0) == replicas;
    if complete && set_name.is_some() {
        let message = format!("{subject} has successfully progressed.");
        return condition("Progressing", "True", "NewReplicaSetAvailable", message);
    }
    let earlier = deployment.status.as_ref().and_then(|status| {
        status.conditions.as_ref()?.iter().find(|condition| condition.type_ == "Progressing")
    });
    let deadline = SignedDuration::from_secs(spec.progress_deadline_seconds.unwrap_or(600).into());
    let last_update = earlier.and_then(|condition| condition.last_update_time.as_ref()).map(|time| time.0);
    let moved = deployment.status.as_ref().is_none_or(|old| has_progressed(old, status));
    let was_rolling =
        earlier.is_some_and(|condition| condition.reason.as_deref() != Some("NewReplicaSetAvailable"));
    let late = last_update.is_some_and(|last_update| now.duration_since(last_update) > deadline);
    if was_rolling && !moved && late {
        let message = format!("{subject} has timed out progressing.");
        return condition("Progressing", "False", "ProgressDeadlineExceeded", message);
    }
    if set_name.is_none() {
        let message = format!("Created new replica set for Deployment \"{deployment_name}\"");
        return condition("Progressing", "True", "NewReplicaSetCreated", message);
    }
    condition("Progressing", "True", "ReplicaSetUpdated", format!("{subject} is progressing."))
}

fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let number = |count: Option<i32>| count.unwrap_or(0);
    let old_pods = |status: &DeploymentStatus| number(status.replicas) - number(status.updated_replicas);
    number(new.updated_replicas) > number(old.updated_replicas)
        || old_pods(new) < old_pods(old)
        || number(new.ready_replicas) > number(old.ready_replicas)
        || number(new.available_replicas) > number(old.available_replicas)
}

/// Keeps the times of conditions that did not change, and conditions that are not ours.
fn merged(
    old: Vec<DeploymentCondition>,
    new: Vec<DeploymentCondition>,
    old_status: &DeploymentStatus,
    new_status: &DeploymentStatus,
    now: Timestamp,
) -> Vec<DeploymentCondition> {
    let mut conditions = old;
    for mut condition in new {
        let earlier = conditions.iter_mut().find(|earlier| earlier.type_ == condition.type_);
        let Some(earlier) = earlier else {
            condition.last_transition_time = Some(Time(now));
            condition.last_update_time = Some(Time(now));
            conditions.push(condition);
            continue;
        };
        let same = earlier.status == condition.status && earlier.reason == condition.reason;
        let progressed = condition.reason.as_deref() == Some("ReplicaSetUpdated")
            && has_progressed(old_status, new_status);
        if same && !progressed {
            continue;
        }
        let turned = earlier.status != condition.status;
        condition.last_transition_time =
            if turned { Some(Time(now)) } else { earlier.last_transition_time.clone() };
        condition.last_update_time = Some(Time(now));
        *earlier = condition;
    }
    conditions
}

#[cfg(test)]
mod tests;
