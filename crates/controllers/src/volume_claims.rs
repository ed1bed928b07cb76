//! PersistentVolumeClaims: each is bound to storage of the lab, which lives as long as the lab's own data does.
//!
//! A claim that names a PersistentVolume gets that one. Every other gets a new one, whatever its class: the lab has
//! one kind of storage, a directory of its own for each claim. Size and access modes are noted and not enforced.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    CSIPersistentVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeClaim,
    PersistentVolumeClaimStatus, PersistentVolumeSpec, PersistentVolumeStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use types::NamespacedName;

use crate::owner::is_deleting;
use crate::world::{World, Write, deletion_of, to_value};

/// Name of the lab's storage, in place of a CSI driver's; the volume's handle is the uid of its claim.
pub const LAB_STORAGE: &str = "storage.lab.sealane.dev";
/// Annotation of what a provisioner made (`volume.AnnDynamicallyProvisioned`).
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Annotation of a claim whose binding is complete (`volume.AnnBindCompleted`).
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";

pub(crate) fn reconcile(world: &World, _now: Timestamp) -> Vec<Write> {
    let claims = world.volume_claims.values().filter(|claim| !is_deleting(&claim.metadata));
    let mut writes: Vec<_> = claims.flat_map(|claim| bound(world, claim)).collect();
    writes.extend(world.volumes.values().flat_map(|volume| kept_or_freed(world, volume)));
    writes
}

/// One step towards a bound claim: the volume, the claim's name of it, the status.
fn bound(world: &World, claim: &PersistentVolumeClaim) -> Option<Write> {
    let spec = claim.spec.clone().unwrap_or_default();
    let named = spec.volume_name.as_ref().filter(|name| !name.is_empty());
    let own = format!("pvc-{}", claim.metadata.uid.as_deref().unwrap_or_default());
    let name = named.unwrap_or(&own);
    let Some(volume) = world.volumes.get(&NamespacedName::new("", name.as_str())) else {
        // A volume that a user names is a user's to make.
        return named
            .is_none_or(|named| *named == own)
            .then(|| Write::Create(to_value(&new_volume(claim, &own))));
    };
    let volume_spec = volume.spec.clone().unwrap_or_default();
    match &volume_spec.claim_ref {
        None => {
            let mut volume = volume.clone();
            volume.spec.get_or_insert_default().claim_ref = Some(reference(claim));
            return Some(Write::Replace(to_value(&volume)));
        }
        Some(held) if !is_for(held, claim) => return None,
        Some(_) => {}
    }
    if named.is_none() {
        let mut claim = claim.clone();
        claim.spec.get_or_insert_default().volume_name = Some(own);
        let annotations = claim.metadata.annotations.get_or_insert_default();
        annotations.insert(BIND_COMPLETED.to_owned(), "yes".to_owned());
        return Some(Write::Replace(to_value(&claim)));
    }
    let status = PersistentVolumeClaimStatus {
        phase: Some("Bound".to_owned()),
        access_modes: volume_spec.access_modes,
        capacity: volume_spec.capacity,
        ..claim.status.clone().unwrap_or_default()
    };
    if claim.status.as_ref() == Some(&status) {
        return None;
    }
    let mut claim = claim.clone();
    claim.status = Some(status);
    Some(Write::ReplaceStatus(to_value(&claim)))
}

fn is_for(reference: &ObjectReference, claim: &PersistentVolumeClaim) -> bool {
    let meta = &claim.metadata;
    let same_name = reference.namespace == meta.namespace && reference.name == meta.name;
    same_name && reference.uid.as_ref().is_none_or(|uid| Some(uid) == meta.uid.as_ref())
}

fn reference(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        namespace: claim.metadata.namespace.clone(),
        name: claim.metadata.name.clone(),
        uid: claim.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

fn new_volume(claim: &PersistentVolumeClaim, name: &str) -> PersistentVolume {
    let spec = claim.spec.clone().unwrap_or_default();
    PersistentVolume {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            annotations: Some(BTreeMap::from([(PROVISIONED_BY.to_owned(), LAB_STORAGE.to_owned())])),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes,
            capacity: spec.resources.and_then(|resources| resources.requests),
            claim_ref: Some(reference(claim)),
            csi: Some(CSIPersistentVolumeSource {
                driver: LAB_STORAGE.to_owned(),
                volume_handle: claim.metadata.uid.clone().unwrap_or_default(),
                ..CSIPersistentVolumeSource::default()
            }),
            persistent_volume_reclaim_policy: Some("Delete".to_owned()),
            storage_class_name: spec.storage_class_name,
            volume_mode: spec.volume_mode,
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    }
}

/// The phase of a volume; one that was made for a claim goes with it.
fn kept_or_freed(world: &World, volume: &PersistentVolume) -> Option<Write> {
    let spec = volume.spec.as_ref()?;
    if is_deleting(&volume.metadata) {
        return None;
    }
    let claim = spec.claim_ref.as_ref().map(|reference| {
        let namespace = reference.namespace.clone().unwrap_or_default();
        let name = NamespacedName::new(namespace, reference.name.clone().unwrap_or_default());
        world.volume_claims.get(&name).filter(|claim| is_for(reference, claim))
    });
    let is_ours = spec.csi.as_ref().is_some_and(|csi| csi.driver == LAB_STORAGE);
    let phase = match claim {
        None => "Available",
        Some(Some(_)) => "Bound",
        Some(None) if is_ours && spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete") => {
            return Some(deletion_of(volume));
        }
        Some(None) => "Released",
    };
    if volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some(phase) {
        return None;
    }
    let mut volume = volume.clone();
    let status = volume.status.clone().unwrap_or_default();
    volume.status = Some(PersistentVolumeStatus { phase: Some(phase.to_owned()), ..status });
    Some(Write::ReplaceStatus(to_value(&volume)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_world::Bench;

    fn mk_claim(volume: Option<&str>) -> serde_json::Value {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": { "namespace": "shop", "name": "data", "uid": "uid-data" },
            "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } },
                "volumeName": volume,
            },
        })
    }

    fn phase(bench: &Bench) -> Option<String> {
        bench.world.volume_claims.values().next()?.status.as_ref()?.phase.clone()
    }

    #[test]
    fn a_claim_gets_a_volume_that_goes_with_it() {
        let mut bench = Bench::new(&[]);
        bench.put(mk_claim(None));
        bench.settle(&[reconcile]);
        assert_eq!(phase(&bench).as_deref(), Some("Bound"));
        let volume = bench.world.volumes.values().next().unwrap();
        assert_eq!(volume.metadata.name.as_deref(), Some("pvc-uid-data"));
        assert_eq!(volume.status.as_ref().unwrap().phase.as_deref(), Some("Bound"));
        let claim = bench.world.volume_claims.values().next().unwrap().clone();
        bench.world.remove(claim);
        bench.settle(&[reconcile]);
        assert_eq!(bench.world.volumes.len(), 0);
    }

    #[test]
    fn a_claim_that_names_a_volume_waits_for_that_one() {
        let mut bench = Bench::new(&[]);
        bench.put(mk_claim(Some("disk")));
        bench.settle(&[reconcile]);
        assert_eq!((phase(&bench), bench.world.volumes.len()), (None, 0));
        bench.put(json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "disk", "uid": "uid-disk" },
            "spec": { "hostPath": { "path": "/srv" }, "capacity": { "storage": "2Gi" } },
        }));
        bench.settle(&[reconcile]);
        let status = bench.world.volume_claims.values().next().unwrap().status.clone().unwrap();
        assert_eq!(
            (status.phase.as_deref(), &status.capacity.unwrap()["storage"].0),
            (Some("Bound"), &"2Gi".to_owned())
        );
        let claim = bench.world.volume_claims.values().next().unwrap().clone();
        bench.world.remove(claim);
        bench.settle(&[reconcile]);
        let volume = bench.world.volumes.values().next().unwrap();
        assert_eq!(volume.status.as_ref().unwrap().phase.as_deref(), Some("Released"));
    }
}
