//! What a Deployment's status says of its rollout.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentSpec, DeploymentStatus, ReplicaSet,
};

use super::{Versions, counts};
use crate::rollout::Limits;
use crate::stamp::stamp;
use crate::world::{Write, to_value};

/// The status, when it changes.
pub(super) fn status_write(
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
    if spec.paused == Some(true) {
        return condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused".to_owned());
    }
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
            condition.last_transition_time = Some(stamp(now));
            condition.last_update_time = Some(stamp(now));
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
            if turned { Some(stamp(now)) } else { earlier.last_transition_time.clone() };
        condition.last_update_time = Some(stamp(now));
        *earlier = condition;
    }
    conditions
}
