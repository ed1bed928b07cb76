//! One consistent view of the cluster, and how changes are folded into it.

use std::collections::BTreeSet;

use types::{NamespacedName, NodeName, ObjectRef, PodName, ServiceName, SharedMap};

use crate::{
    Change, ConfigMap, EndpointSlice, Ingress, IngressClass, Kind, Namespace, NetworkPolicy, Node, Object,
    Pod, Rejected, Secret, Service, ServiceCidr,
};

/// Every watched object, by name.
///
/// The same set of objects gives an equal snapshot, whatever the order of the changes that led to it. A copy is free, and
/// what has changed since then can be told at the cost of the change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Nodes.
    pub nodes: SharedMap<NodeName, Node>,
    /// Namespaces.
    pub namespaces: SharedMap<String, Namespace>,
    /// Pods.
    pub pods: SharedMap<PodName, Pod>,
    /// Services.
    pub services: SharedMap<ServiceName, Service>,
    /// EndpointSlices.
    pub endpoint_slices: SharedMap<NamespacedName, EndpointSlice>,
    /// NetworkPolicies.
    pub network_policies: SharedMap<NamespacedName, NetworkPolicy>,
    /// Ingresses.
    pub ingresses: SharedMap<NamespacedName, Ingress>,
    /// IngressClasses.
    pub ingress_classes: SharedMap<String, IngressClass>,
    /// ServiceCIDRs.
    pub service_cidrs: SharedMap<String, ServiceCidr>,
    /// Secrets of type `kubernetes.io/tls`.
    pub secrets: SharedMap<NamespacedName, Secret>,
    /// ConfigMaps that hold a Corefile.
    pub config_maps: SharedMap<NamespacedName, ConfigMap>,
    /// Objects that could not be read as meant; each may have a stand-in above.
    pub rejected: SharedMap<ObjectRef, Rejected>,
}

/// Puts `value` under `key` and says whether that made a difference.
fn put<K: Ord, V: PartialEq>(map: &mut SharedMap<K, V>, key: K, value: V) -> bool {
    if map.get(&key) == Some(&value) {
        return false;
    }
    map.insert(key, value);
    true
}

impl Snapshot {
    /// Folds in one change and says whether anything is different.
    pub fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Put(object) => {
                let was_rejected = self.rejected.remove(&object.object_ref()).is_some();
                self.put(object) || was_rejected
            }
            Change::Remove(object) => {
                let was_rejected = self.rejected.remove(&object).is_some();
                self.remove(&object) || was_rejected
            }
            Change::Rejected(rejected) => self.reject(rejected),
            Change::Replace { kind, objects, rejected } => self.replace(kind, objects, rejected),
        }
    }

    fn put(&mut self, object: Object) -> bool {
        match object {
            Object::Node(node) => put(&mut self.nodes, node.name.clone(), node),
            Object::Namespace(namespace) => put(&mut self.namespaces, namespace.name.clone(), namespace),
            Object::Pod(pod) => self.put_pod(pod),
            Object::Service(service) => put(&mut self.services, service.name.clone(), service),
            Object::EndpointSlice(slice) => self.put_slice(slice),
            Object::NetworkPolicy(policy) => put(&mut self.network_policies, policy.name.clone(), policy),
            Object::Ingress(ingress) => put(&mut self.ingresses, ingress.name.clone(), ingress),
            Object::IngressClass(class) => put(&mut self.ingress_classes, class.name.clone(), class),
            Object::ServiceCidr(cidr) => put(&mut self.service_cidrs, cidr.name.clone(), cidr),
            Object::Secret(secret) => put(&mut self.secrets, secret.name.clone(), secret),
            Object::ConfigMap(map) => put(&mut self.config_maps, map.name.clone(), map),
        }
    }

    /// Labels and names of Nodes are many times larger than all else that is known of a Pod, and the same again and again.
    /// The next Pod by name is most often one of the same ReplicaSet, or the Pod itself.
    fn put_pod(&mut self, mut pod: Pod) -> bool {
        let next = self.pods.iter_from(&pod.name).next();
        if let Some((_, next)) = next.filter(|(_, next)| next.labels == pod.labels) {
            pod.labels = next.labels.clone();
        }
        if let Some(node) = pod.node.as_mut() {
            self.share_node(node);
        }
        put(&mut self.pods, pod.name.clone(), pod)
    }

    fn put_slice(&mut self, mut slice: EndpointSlice) -> bool {
        for endpoint in &mut slice.endpoints {
            let node = endpoint.node.as_ref().and_then(|node| self.nodes.get(node));
            if let (Some(zone), Some(node)) = (&mut endpoint.zone, node)
                && let Some(own) = node.zone.as_ref().filter(|own| *own == zone)
            {
                zone.clone_from(own);
            }
            endpoint.node.iter_mut().for_each(|node| self.share_node(node));
        }
        put(&mut self.endpoint_slices, slice.name.clone(), slice)
    }

    /// The name as the Node itself has it.
    fn share_node(&self, name: &mut NodeName) {
        if let Some(node) = self.nodes.get(name) {
            name.clone_from(&node.name);
        }
    }

    fn remove(&mut self, object: &ObjectRef) -> bool {
        let Some(kind) = Kind::parse(&object.kind) else { return false };
        let name = NamespacedName::new(object.namespace.as_deref().unwrap_or_default(), object.name.as_str());
        match kind {
            Kind::Node => self.nodes.remove(&NodeName::from(&*name.name)).is_some(),
            Kind::Namespace => self.namespaces.remove(&name.name).is_some(),
            Kind::Pod => self.pods.remove(&name).is_some(),
            Kind::Service => self.services.remove(&name).is_some(),
            Kind::EndpointSlice => self.endpoint_slices.remove(&name).is_some(),
            Kind::NetworkPolicy => self.network_policies.remove(&name).is_some(),
            Kind::Ingress => self.ingresses.remove(&name).is_some(),
            Kind::IngressClass => self.ingress_classes.remove(&name.name).is_some(),
            Kind::ServiceCidr => self.service_cidrs.remove(&name.name).is_some(),
            Kind::Secret => self.secrets.remove(&name).is_some(),
            Kind::ConfigMap => self.config_maps.remove(&name).is_some(),
        }
    }

    fn reject(&mut self, rejected: Rejected) -> bool {
        let changed = match &rejected.stand_in {
            Some(stand_in) => self.put((**stand_in).clone()),
            None => self.remove(&rejected.object),
        };
        put(&mut self.rejected, rejected.object.clone(), rejected) || changed
    }

    fn replace(&mut self, kind: Kind, objects: Vec<Object>, rejected: Vec<Rejected>) -> bool {
        let listed: BTreeSet<ObjectRef> = objects
            .iter()
            .map(Object::object_ref)
            .chain(rejected.iter().map(|rejected| rejected.object.clone()))
            .collect();
        let gone = self.names_of(kind).into_iter().filter(|name| !listed.contains(name));
        let mut changed = false;
        for name in gone {
            changed |= self.apply(Change::Remove(name));
        }
        // Backwards, since a Pod looks at the next by name.
        for object in objects.into_iter().rev() {
            changed |= self.apply(Change::Put(object));
        }
        for rejected in rejected {
            changed |= self.reject(rejected);
        }
        changed
    }

    /// Every object of a kind, accepted or rejected.
    fn names_of(&self, kind: Kind) -> BTreeSet<ObjectRef> {
        fn namespaced<'a>(
            kind: Kind,
            names: impl Iterator<Item = &'a NamespacedName>,
        ) -> BTreeSet<ObjectRef> {
            names.map(|name| ObjectRef::namespaced(kind.as_str(), name)).collect()
        }
        fn cluster<'a>(kind: Kind, names: impl Iterator<Item = &'a str>) -> BTreeSet<ObjectRef> {
            names.map(|name| ObjectRef::cluster(kind.as_str(), name)).collect()
        }
        let mut names = match kind {
            Kind::Node => cluster(kind, self.nodes.keys().map(NodeName::as_str)),
            Kind::Namespace => cluster(kind, self.namespaces.keys().map(String::as_str)),
            Kind::Pod => namespaced(kind, self.pods.keys()),
            Kind::Service => namespaced(kind, self.services.keys()),
            Kind::EndpointSlice => namespaced(kind, self.endpoint_slices.keys()),
            Kind::NetworkPolicy => namespaced(kind, self.network_policies.keys()),
            Kind::Ingress => namespaced(kind, self.ingresses.keys()),
            Kind::IngressClass => cluster(kind, self.ingress_classes.keys().map(String::as_str)),
            Kind::ServiceCidr => cluster(kind, self.service_cidrs.keys().map(String::as_str)),
            Kind::Secret => namespaced(kind, self.secrets.keys()),
            Kind::ConfigMap => namespaced(kind, self.config_maps.keys()),
        };
        names.extend(self.rejected.keys().filter(|name| name.kind == kind.as_str()).cloned());
        names
    }
}

#[cfg(test)]
mod tests;
