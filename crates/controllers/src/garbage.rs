//! Garbage collection: dependents follow their owners, in the way the owner's deletion asked for
//! (upstream: `pkg/controller/garbagecollector/garbagecollector.go`).

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::json;

use crate::owner::is_deleting;
use crate::world::{Described, Propagation, World, Write};

/// Finalizer of foreground deletion: dependents first.
const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of orphaning deletion: dependents stay.
const ORPHAN: &str = "orphan";

/// Every object by its uid, and by the uids of its owners.
struct Graph<'a> {
    world: &'a World,
    objects: &'a [Described<'a>],
    by_uid: BTreeMap<&'a str, &'a Described<'a>>,
    dependents: BTreeMap<&'a str, Vec<&'a Described<'a>>>,
}

/// What an owner reference is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    /// The owner is there, or nobody here can tell.
    Solid,
    /// There is no such owner.
    Absent,
    /// The owner is being deleted and waits for its dependents.
    Waiting,
}

pub(crate) fn reconcile(world: &World, _now: Timestamp) -> Vec<Write> {
    let objects: Vec<_> = world.all_metadata().collect();
    let graph = Graph::of(world, &objects);
    let mut writes: Vec<_> = graph.objects.iter().filter_map(|object| graph.followed(object)).collect();
    for owner in graph.objects.iter().filter(|object| is_deleting(object.meta)) {
        if has_finalizer(owner, FOREGROUND) {
            writes.extend(graph.let_go_after_dependents(owner));
        } else if has_finalizer(owner, ORPHAN) {
            writes.extend(graph.orphaned(owner));
        }
    }
    writes
}

fn references<'a>(object: &Described<'a>) -> &'a [OwnerReference] {
    object.meta.owner_references.as_deref().unwrap_or_default()
}

fn has_finalizer(object: &Described<'_>, name: &str) -> bool {
    object.meta.finalizers.iter().flatten().any(|finalizer| finalizer == name)
}

impl<'a> Graph<'a> {
    fn of(world: &'a World, objects: &'a [Described<'a>]) -> Self {
        let by_uid =
            objects.iter().filter_map(|object| Some((object.meta.uid.as_deref()?, object))).collect();
        let mut dependents: BTreeMap<&str, Vec<&Described<'_>>> = BTreeMap::new();
        for object in objects {
            for owner in references(object) {
                dependents.entry(&owner.uid).or_default().push(object);
            }
        }
        Self { world, objects, by_uid, dependents }
    }

    /// Whether an owner and a dependent can belong together: an owner in another Namespace is no owner.
    fn is_near(owner: &Described<'_>, dependent: &Described<'_>) -> bool {
        owner.meta.namespace.is_none() || owner.meta.namespace == dependent.meta.namespace
    }

    fn worth(&self, reference: &OwnerReference, dependent: &Described<'_>) -> Worth {
        match self.by_uid.get(reference.uid.as_str()) {
            Some(owner) if !Self::is_near(owner, dependent) => Worth::Absent,
            Some(owner) if is_deleting(owner.meta) && has_finalizer(owner, FOREGROUND) => Worth::Waiting,
            Some(_) => Worth::Solid,
            None if self.world.holds(&reference.kind) => Worth::Absent,
            // A kind that nobody serves: its objects may be anywhere.
            None => Worth::Solid,
        }
    }

    /// A dependent goes with its last owner; before that it only loses the reference.
    fn followed(&self, object: &Described<'_>) -> Option<Write> {
        let references = references(object);
        if references.is_empty() || is_deleting(object.meta) {
            return None;
        }
        let worth: Vec<_> = references.iter().map(|reference| self.worth(reference, object)).collect();
        if worth.iter().all(|worth| *worth == Worth::Solid) {
            return None;
        }
        if worth.contains(&Worth::Solid) {
            let solid = references.iter().zip(&worth).filter(|(_, worth)| **worth == Worth::Solid);
            let solid: Vec<_> = solid.map(|(reference, _)| reference).collect();
            return Some(object.with_metadata("ownerReferences", json!(solid)));
        }
        let is_waited_for = worth.contains(&Worth::Waiting);
        let has_dependents = self.dependents_of(object).next().is_some();
        let propagation =
            if is_waited_for && has_dependents { Propagation::Foreground } else { Propagation::AsUsual };
        Some(object.deletion_with(propagation))
    }

    fn dependents_of(
        &self,
        owner: &Described<'_>,
    ) -> impl Iterator<Item = (&'a Described<'a>, &'a OwnerReference)> {
        let uid = owner.meta.uid.clone().unwrap_or_default();
        let home = owner.meta.namespace.clone();
        let all = self.dependents.get(uid.as_str()).cloned().unwrap_or_default();
        let near =
            all.into_iter().filter(move |dependent| home.is_none() || dependent.meta.namespace == home);
        near.filter_map(move |dependent| {
            Some((dependent, references(dependent).iter().find(|reference| reference.uid == uid)?))
        })
    }

    /// In foreground deletion the owner goes once nothing that blocks it is left.
    fn let_go_after_dependents(&self, owner: &Described<'_>) -> Option<Write> {
        let mut dependents = self.dependents_of(owner);
        let is_blocked = dependents.any(|(_, reference)| reference.block_owner_deletion == Some(true));
        (!is_blocked).then(|| without_finalizer(owner, FOREGROUND))
    }

    fn orphaned(&self, owner: &Described<'_>) -> Vec<Write> {
        let released = self.dependents_of(owner).map(|(dependent, lost)| {
            let kept: Vec<_> = references(dependent).iter().filter(|held| held.uid != lost.uid).collect();
            dependent.with_metadata("ownerReferences", json!(kept))
        });
        let released: Vec<_> = released.collect();
        if released.is_empty() { vec![without_finalizer(owner, ORPHAN)] } else { released }
    }
}

fn without_finalizer(owner: &Described<'_>, finalizer: &str) -> Write {
    let kept: Vec<_> = owner.meta.finalizers.iter().flatten().filter(|held| *held != finalizer).collect();
    owner.with_metadata("finalizers", json!(kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_world::{at, mk_pod, mk_replica_set, owned_by};

    #[test]
    fn a_pod_whose_owner_is_gone_goes_too() {
        let mut world = World::default();
        world.put(owned_by(mk_pod("shop", "web-1"), "ReplicaSet", "web", "uid-gone"));
        world.put(owned_by(mk_pod("shop", "job-1"), "SomeCustomKind", "job", "uid-unknown"));
        let writes = reconcile(&world, at(0));
        assert!(
            matches!(writes.as_slice(), [Write::Delete { name, .. }] if name.name == "web-1"),
            "{writes:?}"
        );
    }

    #[test]
    fn foreground_waits_for_the_dependents() {
        let mut world = World::default();
        let mut owner = mk_replica_set("shop", "web", 1);
        owner.metadata.deletion_timestamp = Some(crate::stamp::stamp(at(0)));
        owner.metadata.finalizers = Some(vec![FOREGROUND.to_owned()]);
        let uid = owner.metadata.uid.clone().unwrap();
        world.put(owner);
        let pod = owned_by(mk_pod("shop", "web-1"), "ReplicaSet", "web", &uid);
        world.put(pod.clone());
        let writes = reconcile(&world, at(1));
        assert!(matches!(writes.as_slice(), [Write::Delete { kind, .. }] if kind == "Pod"), "{writes:?}");
        world.remove(pod);
        let writes = reconcile(&world, at(2));
        let [Write::Patch { patch, .. }] = writes.as_slice() else { panic!("{writes:?}") };
        assert_eq!(patch["metadata"]["finalizers"], json!([]));
    }

    #[test]
    fn orphaning_lets_the_dependents_stay() {
        let mut world = World::default();
        let mut owner = mk_replica_set("shop", "web", 1);
        owner.metadata.deletion_timestamp = Some(crate::stamp::stamp(at(0)));
        owner.metadata.finalizers = Some(vec![ORPHAN.to_owned()]);
        let uid = owner.metadata.uid.clone().unwrap();
        world.put(owner);
        world.put(owned_by(mk_pod("shop", "web-1"), "ReplicaSet", "web", &uid));
        let writes = reconcile(&world, at(1));
        let [Write::Patch { kind, patch, .. }] = writes.as_slice() else { panic!("{writes:?}") };
        assert_eq!((kind.as_str(), &patch["metadata"]["ownerReferences"]), ("Pod", &json!([])));
    }

    #[test]
    fn one_of_several_owners_goes_and_the_dependent_stays() {
        let mut world = World::default();
        let mut pod = owned_by(mk_pod("shop", "web-1"), "ReplicaSet", "gone", "uid-gone");
        let set = mk_replica_set("shop", "web", 1);
        pod.metadata.owner_references.as_mut().unwrap().push(crate::owner::controller_reference(&set));
        world.put(set.clone());
        world.put(pod);
        let writes = reconcile(&world, at(0));
        let [Write::Patch { patch, .. }] = writes.as_slice() else { panic!("{writes:?}") };
        let kept = patch["metadata"]["ownerReferences"].as_array().unwrap();
        assert_eq!((kept.len(), &kept[0]["name"]), (1, &json!("web")));
        world.remove(set);
        assert!(matches!(reconcile(&world, at(1)).as_slice(), [Write::Delete { .. }]));
    }

    #[test]
    fn an_owner_elsewhere_is_no_owner_and_a_cluster_wide_one_is() {
        let mut world = World::default();
        let set = mk_replica_set("other", "web", 1);
        world.put(owned_by(
            mk_pod("shop", "web-1"),
            "ReplicaSet",
            "web",
            set.metadata.uid.as_deref().unwrap(),
        ));
        world.put(set);
        world.put(crate::test_world::mk_node("node-a"));
        world.put(owned_by(mk_pod("shop", "static"), "Node", "node-a", "uid-node-a"));
        let writes = reconcile(&world, at(0));
        assert!(
            matches!(writes.as_slice(), [Write::Delete { name, .. }] if name.name == "web-1"),
            "{writes:?}"
        );
    }

    #[test]
    fn foreground_reaches_the_dependents_of_dependents() {
        let mut world = World::default();
        let mut deployment = crate::test_world::mk_deployment("shop", "web", 1);
        deployment.metadata.deletion_timestamp = Some(crate::stamp::stamp(at(0)));
        deployment.metadata.finalizers = Some(vec![FOREGROUND.to_owned()]);
        let mut set = mk_replica_set("shop", "web-1", 1);
        set.metadata.owner_references = Some(vec![crate::owner::controller_reference(&deployment)]);
        world.put(owned_by(mk_pod("shop", "a"), "ReplicaSet", "web-1", set.metadata.uid.as_deref().unwrap()));
        world.put(deployment);
        world.put(set);
        let writes = reconcile(&world, at(1));
        let [Write::Delete { kind, propagation, .. }] = writes.as_slice() else { panic!("{writes:?}") };
        assert_eq!((kind.as_str(), *propagation), ("ReplicaSet", Propagation::Foreground));
    }

    #[test]
    fn objects_of_other_kinds_follow_too() {
        let mut world = World::default();
        let kind = crate::world::OtherKind {
            api_version: "example.com/v1".into(),
            kind: "SomeCustomKind".into(),
            plural: "somecustomkinds".into(),
        };
        let mut meta = mk_pod("shop", "thing").metadata;
        meta.owner_references =
            owned_by(mk_pod("shop", "x"), "ReplicaSet", "gone", "uid-gone").metadata.owner_references;
        let held = [(crate::world::name_of(&meta), meta)].into_iter().collect();
        world.others.insert(kind, held);
        let writes = reconcile(&world, at(0));
        assert!(
            matches!(writes.as_slice(), [Write::Delete { kind, .. }] if kind == "SomeCustomKind"),
            "{writes:?}"
        );
    }
}
