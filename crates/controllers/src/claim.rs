//! Which Pods an owner counts as its own: those it controls, those it adopts, and those it lets go
//! (upstream: `pkg/controller/controller_ref_manager.go`).

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, Resource};
use types::LabelSelector;

use crate::by_controller::ByController;
use crate::owner::{controller_reference, is_deleting};
use crate::selection::selects;
use crate::world::{Write, to_value};

/// The Pods of one owner, and the writes that make them its own.
pub(crate) struct Claim<'a> {
    /// Pods that it controls and selects.
    pub(crate) pods: Vec<&'a Pod>,
    /// Adoptions and releases; whoever sees some creates nothing before they have taken effect.
    pub(crate) writes: Vec<Write>,
}

/// Claims the Pods that `takes` accepts; the others are not looked at.
pub(crate) fn claim<'a, K: Resource + Metadata<Ty = ObjectMeta>>(
    owner: &K,
    selector: &LabelSelector,
    pods: &ByController<'a, Pod>,
    takes: impl Fn(&Pod) -> bool,
) -> Claim<'a> {
    let meta = owner.metadata();
    let mut claim = Claim { pods: Vec::new(), writes: Vec::new() };
    let deleting = is_deleting(meta);
    for pod in pods.of_owner(meta).filter(|pod| takes(pod)) {
        if selects(selector, &pod.metadata) {
            claim.pods.push(pod);
        } else if !deleting && !is_deleting(&pod.metadata) {
            claim.writes.push(released(pod));
        }
    }
    if !deleting {
        let orphans = pods.free_beside(meta).filter(|pod| !is_deleting(&pod.metadata) && takes(pod));
        let orphans = orphans.filter(|pod| selects(selector, &pod.metadata));
        claim.writes.extend(orphans.map(|pod| adopted(pod, owner)));
    }
    claim
}

fn released(pod: &Pod) -> Write {
    let mut pod = pod.clone();
    let references = pod.metadata.owner_references.take().unwrap_or_default();
    let others = references.into_iter().filter(|reference| reference.controller != Some(true));
    pod.metadata.owner_references = Some(others.collect());
    Write::Replace(to_value(&pod))
}

fn adopted<K: Resource + Metadata<Ty = ObjectMeta>>(pod: &Pod, owner: &K) -> Write {
    let mut pod = pod.clone();
    pod.metadata.owner_references.get_or_insert_default().push(controller_reference(owner));
    Write::Replace(to_value(&pod))
}
