//! Pods made from templates, and what is told about it.

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, Resource};

use crate::owner::controller_reference;
use crate::world::{Note, Severity, Write, deletion_of, name_of, to_value};

/// Pods of one owner whose coming and going is told singly in one go; more would only fill the store with Events
/// (upstream's recorder lets 25 through, `client-go/tools/record/events_cache.go`).
const TOLD: usize = 25;

/// A Pod of this name as the template has it, controlled by `owner`.
pub(crate) fn pod_of<K: Resource + Metadata<Ty = ObjectMeta>>(
    owner: &K,
    template: &PodTemplateSpec,
    name: String,
) -> Pod {
    let from_template = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: owner.metadata().namespace.clone(),
            labels: from_template.labels,
            annotations: from_template.annotations,
            finalizers: from_template.finalizers,
            owner_references: Some(vec![controller_reference(owner)]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// An Event about an object.
pub(crate) fn note<K: Resource + Metadata<Ty = ObjectMeta>>(
    about: &K,
    component: &'static str,
    (severity, reason): (Severity, &'static str),
    message: String,
) -> Write {
    let meta = about.metadata();
    Write::Note(Note {
        api_version: K::API_VERSION.to_owned(),
        kind: K::KIND.to_owned(),
        name: name_of(meta),
        uid: meta.uid.clone().unwrap_or_default(),
        severity,
        reason,
        message,
        component,
    })
}

/// Creates Pods and tells of it.
pub(crate) fn creations<K: Resource + Metadata<Ty = ObjectMeta>>(
    owner: &K,
    component: &'static str,
    pods: &[Pod],
) -> Vec<Write> {
    let mut writes: Vec<_> = pods.iter().map(|pod| Write::Create(to_value(pod))).collect();
    let names = pods.iter().map(|pod| format!("Created pod: {}", name(pod)));
    writes.extend(told(owner, component, "SuccessfulCreate", names));
    writes
}

/// Deletes Pods and tells of it.
pub(crate) fn deletions<K: Resource + Metadata<Ty = ObjectMeta>>(
    owner: &K,
    component: &'static str,
    pods: &[&Pod],
) -> Vec<Write> {
    let mut writes: Vec<_> = pods.iter().map(|pod| deletion(pod)).collect();
    let names = pods.iter().map(|pod| format!("Deleted pod: {}", name(pod)));
    writes.extend(told(owner, component, "SuccessfulDelete", names));
    writes
}

fn told<K: Resource + Metadata<Ty = ObjectMeta>>(
    owner: &K,
    component: &'static str,
    reason: &'static str,
    messages: impl Iterator<Item = String>,
) -> Vec<Write> {
    messages.take(TOLD).map(|message| note(owner, component, (Severity::Normal, reason), message)).collect()
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// The write that deletes this Pod.
pub(crate) fn deletion(pod: &Pod) -> Write {
    deletion_of(pod)
}
