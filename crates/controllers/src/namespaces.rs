//! Namespaces: what each gets when it appears, and how its contents go when it ends.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, NamespaceCondition, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use types::NamespacedName;

use crate::owner::is_deleting;
use crate::stamp::stamp;
use crate::world::{Described, World, Write, to_value};

const ROOT_CA: &str = "kube-root-ca.crt";

pub(crate) fn reconcile(world: &World, now: Timestamp) -> Vec<Write> {
    let (ending, living): (Vec<_>, Vec<_>) =
        world.namespaces.values().partition(|namespace| is_deleting(&namespace.metadata));
    let mut writes: Vec<_> = living.into_iter().flat_map(|namespace| furnishing(world, namespace)).collect();
    if ending.is_empty() {
        return writes;
    }
    let mut contents: BTreeMap<&str, Vec<Described<'_>>> = BTreeMap::new();
    for object in world.all_metadata() {
        contents.entry(object.meta.namespace.as_deref().unwrap_or_default()).or_default().push(object);
    }
    for namespace in ending {
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let inside = contents.get(name).map(Vec::as_slice).unwrap_or_default();
        writes.extend(termination(namespace, inside, now));
    }
    writes
}

/// The default ServiceAccount and the API's certificate authority.
fn furnishing(world: &World, namespace: &Namespace) -> Vec<Write> {
    let namespace = namespace.metadata.name.as_deref().unwrap_or_default();
    let meta = |name: &str| ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ObjectMeta::default()
    };
    let mut writes = Vec::new();
    if !world.service_accounts.contains_key(&NamespacedName::new(namespace, "default")) {
        writes.push(Write::Create(to_value(&ServiceAccount {
            metadata: meta("default"),
            ..ServiceAccount::default()
        })));
    }
    let Some(root_ca) = &world.root_ca else { return writes };
    let data = Some(BTreeMap::from([("ca.crt".to_owned(), root_ca.clone())]));
    match world.config_maps.get(&NamespacedName::new(namespace, ROOT_CA)) {
        // Pods trust what is in it, so that it is put right when somebody changed it.
        Some(held) if held.data != data && !is_deleting(&held.metadata) => {
            let mut held = held.clone();
            held.data = data;
            writes.push(Write::Replace(to_value(&held)));
        }
        Some(_) => {}
        None => {
            let metadata = meta(ROOT_CA);
            writes.push(Write::Create(to_value(&ConfigMap { metadata, data, ..ConfigMap::default() })));
        }
    }
    writes
}

/// Deletes all contents and says what is left; once that is nothing, lets the Namespace go.
fn termination(namespace: &Namespace, contents: &[Described<'_>], now: Timestamp) -> Vec<Write> {
    if contents.is_empty() {
        let mut namespace = namespace.clone();
        let finalizers = namespace.spec.get_or_insert_default().finalizers.get_or_insert_default();
        let before = finalizers.len();
        finalizers.retain(|finalizer| finalizer != "kubernetes");
        let changed = finalizers.len() < before;
        return changed.then(|| Write::Finalize(to_value(&namespace))).into_iter().collect();
    }
    let alive = contents.iter().filter(|described| !is_deleting(described.meta));
    let mut writes: Vec<_> = alive.map(Described::deletion).collect();
    // While deletions are under way there is nothing to complain of yet.
    if writes.is_empty() {
        writes.extend(said(namespace, contents, now));
    }
    writes
}

/// The conditions of a Namespace that cannot go yet (upstream: `pkg/controller/namespace/deletion`).
fn said(namespace: &Namespace, contents: &[Described<'_>], now: Timestamp) -> Option<Write> {
    let (mut kinds, mut finalizers): (BTreeMap<String, usize>, BTreeMap<&str, usize>) = Default::default();
    for object in contents {
        let group = object.api_version.split_once('/').map_or("", |(group, _)| group);
        *kinds.entry(format!("{}.{group}", object.plural)).or_default() += 1;
        for finalizer in object.meta.finalizers.iter().flatten() {
            *finalizers.entry(finalizer).or_default() += 1;
        }
    }
    let kinds = kinds.iter().map(|(kind, count)| format!("{kind} has {count} resource instances"));
    let left = format!("Some resources are remaining: {}", kinds.collect::<Vec<_>>().join(", "));
    let held = finalizers.iter().map(|(name, count)| format!("{name} in {count} resource instances"));
    let held = held.collect::<Vec<_>>().join(", ");
    let finalizing = if held.is_empty() {
        ("False", "ContentHasNoFinalizers", "All content-preserving finalizers finished".to_owned())
    } else {
        let text = format!("Some content in the namespace has finalizers remaining: {held}");
        ("True", "SomeFinalizersRemain", text)
    };
    let good = |reason, text: &str| ("False", reason, text.to_owned());
    let verdicts = [
        (
            "NamespaceDeletionDiscoveryFailure",
            good("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            good("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        (
            "NamespaceDeletionContentFailure",
            good("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ),
        ("NamespaceContentRemaining", ("True", "SomeResourcesRemain", left)),
        ("NamespaceFinalizersRemaining", finalizing),
    ];
    let mut changed = namespace.clone();
    let conditions = changed.status.get_or_insert_default().conditions.get_or_insert_default();
    for (type_, (status, reason, message)) in verdicts {
        let same = |held: &NamespaceCondition| {
            held.type_ == type_ && held.status == status && held.message.as_deref() == Some(&message)
        };
        if conditions.iter().any(same) {
            continue;
        }
        conditions.retain(|held| held.type_ != type_);
        conditions.push(NamespaceCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(stamp(now)),
        });
    }
    (changed != *namespace).then(|| Write::ReplaceStatus(to_value(&changed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_world::{at, mk_namespace, mk_pod};

    #[test]
    fn a_new_namespace_gets_its_account_and_ca() {
        let mut world = World { root_ca: Some("PEM".to_owned()), ..World::default() };
        world.put(mk_namespace("shop"));
        assert_eq!(reconcile(&world, at(0)).len(), 2);
    }

    #[test]
    fn a_terminating_namespace_empties_and_then_goes() {
        let mut world = World::default();
        let mut namespace = mk_namespace("shop");
        namespace.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
        world.put(namespace);
        let pod = mk_pod("shop", "web");
        world.put(pod.clone());
        world.put(mk_pod("other", "web"));
        let writes = reconcile(&world, at(1));
        assert!(matches!(writes.as_slice(), [Write::Delete { kind, .. }] if kind == "Pod"), "{writes:?}");
        world.remove(pod);
        assert!(matches!(reconcile(&world, at(2)).as_slice(), [Write::Finalize(_)]));
    }

    #[test]
    fn a_namespace_that_is_held_up_says_by_what() {
        let mut world = World::default();
        let mut namespace = mk_namespace("shop");
        namespace.metadata.deletion_timestamp = Some(stamp(at(0)));
        world.put(namespace);
        let mut pod = mk_pod("shop", "web");
        pod.metadata.deletion_timestamp = Some(stamp(at(0)));
        pod.metadata.finalizers = Some(vec!["example.com/wait".to_owned()]);
        world.put(pod);
        let writes = reconcile(&world, at(1));
        let [Write::ReplaceStatus(namespace)] = writes.as_slice() else { panic!("{writes:?}") };
        let conditions = namespace["status"]["conditions"].as_array().unwrap();
        let text = |type_: &str| {
            conditions.iter().find(|held| held["type"] == type_).unwrap()["message"].as_str().unwrap()
        };
        assert_eq!(
            text("NamespaceContentRemaining"),
            "Some resources are remaining: pods. has 1 resource instances"
        );
        assert_eq!(
            text("NamespaceFinalizersRemaining"),
            "Some content in the namespace has finalizers remaining: example.com/wait in 1 resource instances"
        );
        world.put(serde_json::from_value::<Namespace>(namespace.clone()).unwrap());
        assert_eq!(reconcile(&world, at(2)), []);
    }

    #[test]
    fn the_authority_is_put_right() {
        let mut world = World { root_ca: Some("PEM".to_owned()), ..World::default() };
        world.put(mk_namespace("shop"));
        for write in reconcile(&world, at(0)) {
            let Write::Create(object) = write else { panic!("{write:?}") };
            world.put(crate::world::AnyObject::parse(object).unwrap());
        }
        let held = world.config_maps.values_mut().next().unwrap();
        held.data.as_mut().unwrap().insert("ca.crt".to_owned(), "mine".to_owned());
        assert!(matches!(reconcile(&world, at(1)).as_slice(), [Write::Replace(_)]));
    }
}
