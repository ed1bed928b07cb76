//! Namespaces: what each gets when it appears, and how its contents go when it ends.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use types::NamespacedName;

use crate::owner::is_deleting;
use crate::world::{Described, World, Write, to_value};

const ROOT_CA: &str = "kube-root-ca.crt";

pub(crate) fn reconcile(world: &World, _now: Timestamp) -> Vec<Write> {
    world.namespaces.values().flat_map(|namespace| reconcile_one(world, namespace)).collect()
}

fn reconcile_one(world: &World, namespace: &Namespace) -> Vec<Write> {
    let Some(name) = namespace.metadata.name.as_deref() else { return Vec::new() };
    if is_deleting(&namespace.metadata) {
        termination(world, namespace, name)
    } else {
        furnishing(world, name)
    }
}

/// The default ServiceAccount and the API's certificate authority.
fn furnishing(world: &World, namespace: &str) -> Vec<Write> {
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
    if !world.config_maps.contains_key(&NamespacedName::new(namespace, ROOT_CA)) {
        writes.push(Write::Create(to_value(&ConfigMap {
            metadata: meta(ROOT_CA),
            data: Some(BTreeMap::from([("ca.crt".to_owned(), root_ca.clone())])),
            ..ConfigMap::default()
        })));
    }
    writes
}

/// Deletes all contents; once nothing is left, lets the Namespace go.
fn termination(world: &World, namespace: &Namespace, name: &str) -> Vec<Write> {
    let inside = |described: &Described<'_>| described.meta.namespace.as_deref() == Some(name);
    let contents: Vec<_> = world.all_metadata().filter(inside).collect();
    if contents.is_empty() {
        let mut namespace = namespace.clone();
        let finalizers = namespace.spec.get_or_insert_default().finalizers.get_or_insert_default();
        let before = finalizers.len();
        finalizers.retain(|finalizer| finalizer != "kubernetes");
        let changed = finalizers.len() < before;
        return changed.then(|| Write::Finalize(to_value(&namespace))).into_iter().collect();
    }
    contents.iter().filter(|described| !is_deleting(described.meta)).map(Described::deletion).collect()
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
}
