//! Garbage collection: dependents follow their owners, in the way the owner's deletion asked for.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};

use crate::owner::is_deleting;
use crate::world::{Described, World, Write, name_of};

/// Finalizer of foreground deletion: dependents first.
const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of orphaning deletion: dependents stay.
const ORPHAN: &str = "orphan";

pub(crate) fn reconcile(world: &World, _now: Timestamp) -> Vec<Write> {
    let objects: Vec<_> = world.all_metadata().collect();
    let by_uid: BTreeMap<&str, &Described<'_>> =
        objects.iter().filter_map(|object| Some((object.meta.uid.as_deref()?, object))).collect();
    let mut writes = Vec::new();
    for object in objects.iter().filter(|object| !is_deleting(object.meta)) {
        let references = object.meta.owner_references.as_deref().unwrap_or_default();
        if !references.is_empty() && references.iter().all(|owner| is_gone(owner, object, &by_uid)) {
            writes.push(object.deletion());
        }
    }
    for owner in objects.iter().filter(|object| is_deleting(object.meta)) {
        let finalizers = owner.meta.finalizers.as_deref().unwrap_or_default();
        if finalizers.iter().any(|finalizer| finalizer == FOREGROUND) {
            writes.extend(foreground(world, owner, &objects));
        } else if finalizers.iter().any(|finalizer| finalizer == ORPHAN) {
            writes.extend(orphan(world, owner, &objects));
        }
    }
    writes
}

/// Whether an owner does not exist. Kinds that the world does not hold are never judged.
fn is_gone(
    owner: &OwnerReference,
    dependent: &Described<'_>,
    by_uid: &BTreeMap<&str, &Described<'_>>,
) -> bool {
    match by_uid.get(owner.uid.as_str()) {
        // An owner in another namespace is no owner.
        Some(found) => found.meta.namespace.is_some() && found.meta.namespace != dependent.meta.namespace,
        None => World::holds(&owner.kind),
    }
}

fn dependents<'a>(
    owner: &'a Described<'_>,
    objects: &'a [Described<'a>],
) -> impl Iterator<Item = (&'a Described<'a>, &'a OwnerReference)> {
    objects.iter().filter_map(|object| {
        let mut references = object.meta.owner_references.iter().flatten();
        let reference = references.find(|reference| Some(&reference.uid) == owner.meta.uid.as_ref())?;
        Some((object, reference))
    })
}

fn foreground(world: &World, owner: &Described<'_>, objects: &[Described<'_>]) -> Vec<Write> {
    let mut blocked = false;
    let mut writes = Vec::new();
    for (dependent, reference) in dependents(owner, objects) {
        blocked |= reference.block_owner_deletion == Some(true);
        if !is_deleting(dependent.meta) {
            writes.push(dependent.deletion());
        }
    }
    if !blocked {
        writes.extend(without_finalizer(world, owner, FOREGROUND));
    }
    writes
}

fn orphan(world: &World, owner: &Described<'_>, objects: &[Described<'_>]) -> Vec<Write> {
    let writes: Vec<_> = dependents(owner, objects)
        .filter_map(|(dependent, reference)| {
            let mut object = world.object(dependent.kind, &name_of(dependent.meta))?;
            let references = object["metadata"]["ownerReferences"].as_array_mut()?;
            references.retain(|held| held["uid"] != json!(reference.uid));
            Some(Write::Replace(object))
        })
        .collect();
    if writes.is_empty() { without_finalizer(world, owner, ORPHAN).into_iter().collect() } else { writes }
}

fn without_finalizer(world: &World, owner: &Described<'_>, finalizer: &str) -> Option<Write> {
    let mut object = world.object(owner.kind, &name_of(owner.meta))?;
    let finalizers = object["metadata"]["finalizers"].as_array_mut()?;
    finalizers.retain(|held| held != &Value::from(finalizer));
    Some(Write::Replace(object))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

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
        owner.metadata.deletion_timestamp = Some(Time(at(0)));
        owner.metadata.finalizers = Some(vec![FOREGROUND.to_owned()]);
        let uid = owner.metadata.uid.clone().unwrap();
        world.put(owner);
        let pod = owned_by(mk_pod("shop", "web-1"), "ReplicaSet", "web", &uid);
        world.put(pod.clone());
        let writes = reconcile(&world, at(1));
        assert!(matches!(writes.as_slice(), [Write::Delete { kind, .. }] if kind == "Pod"), "{writes:?}");
        world.remove(pod);
        let writes = reconcile(&world, at(2));
        let [Write::Replace(owner)] = writes.as_slice() else { panic!("{writes:?}") };
        assert_eq!(owner["metadata"]["finalizers"], json!([]));
    }

    #[test]
    fn orphaning_lets_the_dependents_stay() {
        let mut world = World::default();
        let mut owner = mk_replica_set("shop", "web", 1);
        owner.metadata.deletion_timestamp = Some(Time(at(0)));
        owner.metadata.finalizers = Some(vec![ORPHAN.to_owned()]);
        let uid = owner.metadata.uid.clone().unwrap();
        world.put(owner);
        world.put(owned_by(mk_pod("shop", "web-1"), "ReplicaSet", "web", &uid));
        let writes = reconcile(&world, at(1));
        let [Write::Replace(pod)] = writes.as_slice() else { panic!("{writes:?}") };
        assert_eq!(pod["metadata"]["ownerReferences"], json!([]));
    }
}
