//! Objects by Namespace and label, so that a selector looks only at those that have one of its labels.

use std::collections::BTreeMap;

use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use types::{LabelSelector, Operator};

use crate::selection::selects;
use crate::world::Held;

/// Objects of one kind; each is found under all of its labels.
pub(crate) struct ByLabel<'a, K> {
    labelled: BTreeMap<(&'a str, &'a str, &'a str), Vec<&'a K>>,
    all: BTreeMap<&'a str, Vec<&'a K>>,
}

impl<'a, K: Metadata<Ty = ObjectMeta>> ByLabel<'a, K> {
    pub(crate) fn of(held: &'a Held<K>) -> Self {
        let mut index = Self { labelled: BTreeMap::new(), all: BTreeMap::new() };
        for object in held.values() {
            let meta = object.metadata();
            let namespace = meta.namespace.as_deref().unwrap_or_default();
            for (key, value) in meta.labels.iter().flatten() {
                index.labelled.entry((namespace, key, value)).or_default().push(object);
            }
            index.all.entry(namespace).or_default().push(object);
        }
        index
    }

    /// The objects of a Namespace that a selector selects, in the order of their names.
    pub(crate) fn selected(&self, namespace: &str, selector: &LabelSelector) -> Vec<&'a K> {
        let single = selector
            .requirements
            .iter()
            .find(|requirement| requirement.operator == Operator::In && requirement.values.len() == 1);
        let candidates = match single {
            Some(requirement) => {
                let key = (namespace, requirement.key.as_str(), requirement.values[0].as_str());
                self.labelled.get(&key)
            }
            None => self.all.get(namespace),
        };
        let candidates = candidates.into_iter().flatten().copied();
        candidates.filter(|object| selects(selector, object.metadata())).collect()
    }
}
