//! Names, labels and storage that belong to an ordinal and outlive the Pod
//! (upstream: `pkg/controller/statefulset/stateful_set_utils.go`).

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::{Metadata, Resource};
use types::NamespacedName;

use super::{REVISION_LABEL, State};
use crate::template::pod_of;
use crate::world::{World, Write, to_value};

/// Label with the Pod's own name.
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// Label with the ordinal.
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The ordinal that a Pod's name has in this set.
pub(super) fn ordinal_of(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let number = pod.metadata.name.as_deref()?.strip_prefix(set.metadata.name.as_deref()?)?;
    let number = number.strip_prefix('-')?;
    let is_canonical = number == "0" || !number.starts_with(['0', '+', '-']);
    number.parse().ok().filter(|_| is_canonical)
}

fn name(set: &StatefulSet) -> &str {
    set.metadata.name.as_deref().unwrap_or_default()
}

/// The Pod with an ordinal, from the template of a revision.
pub(super) fn new_pod(set: &StatefulSet, template: &PodTemplateSpec, revision: &str, ordinal: i32) -> Pod {
    let pod_name = format!("{}-{ordinal}", name(set));
    let mut pod = pod_of(set, template, pod_name.clone());
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(POD_NAME.to_owned(), pod_name.clone());
    labels.insert(POD_INDEX.to_owned(), ordinal.to_string());
    labels.insert(REVISION_LABEL.to_owned(), revision.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(pod_name);
    spec.subdomain = set.spec.as_ref().and_then(|spec| spec.service_name.clone());
    for (claim, volume) in claims(set).map(|template| (claim_name(set, template, ordinal), template)) {
        let volume_name = volume.metadata.name.clone().unwrap_or_default();
        let volumes = spec.volumes.get_or_insert_default();
        volumes.retain(|volume| volume.name != volume_name);
        volumes.push(Volume {
            name: volume_name,
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim,
                read_only: None,
            }),
            ..Volume::default()
        });
    }
    pod
}

fn claims(set: &StatefulSet) -> impl Iterator<Item = &PersistentVolumeClaim> {
    set.spec.iter().flat_map(|spec| spec.volume_claim_templates.iter().flatten())
}

fn claim_name(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> String {
    format!("{}-{}-{ordinal}", template.metadata.name.as_deref().unwrap_or_default(), name(set))
}

/// The claims of an ordinal that do not exist yet; those of an earlier Pod are taken up again.
pub(super) fn missing_claims(world: &World, set: &StatefulSet, ordinal: i32) -> Vec<Write> {
    let namespace = set.metadata.namespace.clone().unwrap_or_default();
    let selector = set.spec.as_ref().and_then(|spec| spec.selector.match_labels.clone()).unwrap_or_default();
    let missing = claims(set).filter_map(|template| {
        let name = claim_name(set, template, ordinal);
        if world.volume_claims.contains_key(&NamespacedName::new(namespace.as_str(), name.as_str())) {
            return None;
        }
        let mut claim = template.clone();
        claim.metadata.name = Some(name);
        claim.metadata.namespace = Some(namespace.clone());
        claim.metadata.labels.get_or_insert_default().extend(selector.clone());
        claim.status = None;
        Some(Write::Create(to_value(&claim)))
    });
    missing.collect()
}

/// Owners of claims, as `persistentVolumeClaimRetentionPolicy` wants them: whoever owns a claim takes it along.
pub(super) fn claim_owners(world: &World, state: &State<'_>) -> Vec<Write> {
    let policy = state.spec.persistent_volume_claim_retention_policy.as_ref();
    let deletes = |when: Option<&String>| when.is_some_and(|when| when == "Delete");
    let when_deleted = deletes(policy.and_then(|policy| policy.when_deleted.as_ref()));
    let when_scaled = deletes(policy.and_then(|policy| policy.when_scaled.as_ref()));
    let set_owner = || when_deleted.then(|| reference(state.set));
    let kept = state.places.iter().map(|(ordinal, _)| (*ordinal, set_owner()));
    let condemned = state.condemned.iter().filter_map(|pod| {
        let owner = if when_scaled { Some(reference(*pod)) } else { set_owner() };
        Some((ordinal_of(state.set, pod)?, owner))
    });
    let wanted: Vec<_> = kept.chain(condemned).collect();
    let mut writes = Vec::new();
    for template in claims(state.set) {
        for (ordinal, owner) in &wanted {
            let name = claim_name(state.set, template, *ordinal);
            let namespace = state.set.metadata.namespace.clone().unwrap_or_default();
            let claim = world.volume_claims.get(&NamespacedName::new(namespace, name));
            writes.extend(claim.and_then(|claim| with_owner(claim, owner.as_ref())));
        }
    }
    writes
}

/// A reference that takes the object along, without being its controller.
fn reference<K: Resource + Metadata<Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>>(
    owner: &K,
) -> OwnerReference {
    OwnerReference {
        controller: None,
        block_owner_deletion: None,
        ..crate::owner::controller_reference(owner)
    }
}

/// The claim with this owner instead of others that a StatefulSet's claims can have.
fn with_owner(claim: &PersistentVolumeClaim, owner: Option<&OwnerReference>) -> Option<Write> {
    let held = claim.metadata.owner_references.clone().unwrap_or_default();
    let is_ours = |reference: &OwnerReference| matches!(reference.kind.as_str(), "StatefulSet" | "Pod");
    let mut wanted: Vec<_> = held.iter().filter(|reference| !is_ours(reference)).cloned().collect();
    wanted.extend(owner.cloned());
    if wanted == held {
        return None;
    }
    let mut claim = claim.clone();
    claim.metadata.owner_references = Some(wanted);
    Some(Write::Replace(to_value(&claim)))
}
