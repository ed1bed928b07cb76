//! Objects by who controls them, so that no controller looks through all of them for each of its owners.

use std::collections::BTreeMap;

use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::owner::controller_of;
use crate::world::Held;

/// Objects of one kind, each under the uid of its controller, or under its Namespace when it has none.
pub(crate) struct ByController<'a, K> {
    owned: BTreeMap<&'a str, Vec<&'a K>>,
    free: BTreeMap<&'a str, Vec<&'a K>>,
}

impl<'a, K: Metadata<Ty = ObjectMeta>> ByController<'a, K> {
    pub(crate) fn of(held: &'a Held<K>) -> Self {
        let mut all = Self { owned: BTreeMap::new(), free: BTreeMap::new() };
        for object in held.values() {
            let meta = object.metadata();
            match controller_of(meta) {
                Some(owner) => all.owned.entry(&owner.uid).or_default().push(object),
                None => all.free.entry(namespace(meta)).or_default().push(object),
            }
        }
        all
    }

    /// What this object controls. An owner in another Namespace is no owner.
    pub(crate) fn of_owner(&self, owner: &ObjectMeta) -> impl Iterator<Item = &'a K> {
        let owned = owner.uid.as_deref().and_then(|uid| self.owned.get(uid));
        let home = namespace(owner).to_owned();
        owned.into_iter().flatten().copied().filter(move |object| namespace(object.metadata()) == home)
    }

    /// What nobody controls, in the Namespace of this object.
    pub(crate) fn free_beside(&self, owner: &ObjectMeta) -> impl Iterator<Item = &'a K> {
        self.free.get(namespace(owner)).into_iter().flatten().copied()
    }
}

fn namespace(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or_default()
}
