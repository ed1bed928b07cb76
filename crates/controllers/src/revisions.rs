//! ControllerRevisions: the templates that a StatefulSet or DaemonSet has had, for rollouts and for going back
//! (upstream: `pkg/controller/history`).

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use k8s_openapi::{Metadata, Resource};
use serde_json::{Value, json};

use crate::by_controller::ByController;
use crate::letters::letters;
use crate::owner::controller_reference;
use crate::world::{World, Write, deletion_of, name_of, to_value};

/// Letters of a hash in names and labels.
const HASH_LETTERS: usize = 10;
/// Letters kept of the owner's name (`ControllerRevisionName` in `controller_history.go`).
const MAX_PREFIX: usize = 223;

/// What a history is kept for.
pub(crate) struct Owner<'a, K> {
    pub(crate) object: &'a K,
    pub(crate) template: &'a PodTemplateSpec,
    /// `status.collisionCount`.
    pub(crate) collisions: i32,
    /// Label of a revision that holds its hash.
    pub(crate) hash_label: &'static str,
}

/// The revisions of one owner.
pub(crate) struct History<'a> {
    /// Oldest first.
    pub(crate) all: Vec<&'a ControllerRevision>,
    /// The one with the present template; none before it is stored.
    pub(crate) newest: Option<&'a ControllerRevision>,
    /// What stores it, or makes it the last one.
    pub(crate) writes: Vec<Write>,
    /// Whether its name is taken by something else, so that `collisionCount` must grow.
    pub(crate) collides: bool,
}

/// The history of an owner, with what brings it up to date.
pub(crate) fn history<'a, K: Resource + Metadata<Ty = ObjectMeta>>(
    owner: &Owner<'_, K>,
    world: &World,
    revisions: &ByController<'a, ControllerRevision>,
) -> History<'a> {
    let mut all: Vec<_> = revisions.of_owner(owner.object.metadata()).collect();
    all.sort_by_key(|revision| (revision.revision, revision.metadata.name.clone()));
    let wanted = data(owner.template);
    let newest = all.iter().rev().find(|revision| is_same(revision, &wanted)).copied();
    let last = all.last().map_or(0, |revision| revision.revision);
    let mut history = History { all, newest, writes: Vec::new(), collides: false };
    match newest {
        Some(newest) if newest.revision < last => {
            let mut newest = newest.clone();
            newest.revision = last + 1;
            history.writes.push(Write::Replace(to_value(&newest)));
        }
        Some(_) => {}
        None => {
            let new = new_revision(owner, wanted, last + 1);
            history.collides = world.revisions.contains_key(&name_of(&new.metadata));
            if !history.collides {
                history.writes.push(Write::Create(to_value(&new)));
            }
        }
    }
    history
}

fn is_same(revision: &ControllerRevision, wanted: &Value) -> bool {
    revision.data.as_ref().is_some_and(|data| data.0 == *wanted)
}

/// A strategic merge patch that brings the template back, as `kubectl rollout undo` sends it.
fn data(template: &PodTemplateSpec) -> Value {
    let mut template = to_value(template);
    template["$patch"] = json!("replace");
    json!({ "spec": { "template": template } })
}

/// The template that a revision keeps.
pub(crate) fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let template = revision.data.as_ref()?.0.pointer("/spec/template")?.clone();
    serde_json::from_value(template).ok()
}

fn new_revision<K: Resource + Metadata<Ty = ObjectMeta>>(
    owner: &Owner<'_, K>,
    data: Value,
    number: i64,
) -> ControllerRevision {
    let meta = owner.object.metadata();
    let hash = letters(&format!("{data} {}", owner.collisions), HASH_LETTERS);
    let prefix: String = meta.name.iter().flat_map(|name| name.chars()).take(MAX_PREFIX).collect();
    let mut labels =
        owner.template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    labels.insert(owner.hash_label.to_owned(), hash.clone());
    let mut annotations = meta.annotations.clone().unwrap_or_default();
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{prefix}-{hash}")),
            namespace: meta.namespace.clone(),
            labels: Some(labels),
            annotations: (!annotations.is_empty()).then_some(annotations),
            owner_references: Some(vec![controller_reference(owner.object)]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(data)),
        revision: number,
    }
}

/// A revision's name.
pub(crate) fn name(revision: &ControllerRevision) -> &str {
    revision.metadata.name.as_deref().unwrap_or_default()
}

/// Revisions that no Pod runs, beyond `limit`, oldest first.
pub(crate) fn surplus(history: &History<'_>, live: &BTreeSet<&str>, limit: i32) -> Vec<Write> {
    let is_live = |revision: &&&ControllerRevision| {
        live.contains(name(revision)) || history.newest.is_some_and(|newest| std::ptr::eq(newest, **revision))
    };
    let past: Vec<_> = history.all.iter().filter(|revision| !is_live(revision)).collect();
    let surplus = past.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    past.iter().take(surplus).map(|revision| deletion_of(**revision)).collect()
}
