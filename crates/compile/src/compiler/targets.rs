//! How many Pods each Service selects, kept up to date Pod by Pod.

use std::collections::{BTreeMap, BTreeSet};

use model::{Pod, Service, Snapshot};
use types::{Labels, NamespacedName, ServiceName, Shared};

use super::changes::Changes;
use crate::findings::Findings;
use crate::services::targets::{Selected, is_selected, selector};

/// Services by Namespace and the first label of their selectors: key, then value.
type ByLabel = BTreeMap<String, BTreeMap<String, BTreeMap<String, BTreeSet<ServiceName>>>>;

/// What every Service with a selector selects.
#[derive(Debug, Default)]
pub(super) struct Targets {
    selected: BTreeMap<ServiceName, Selected>,
    by_label: ByLabel,
}

impl Targets {
    /// What the Services of a snapshot select.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let services = || snapshot.services.values().filter(|service| selector(service).is_some());
        let nothing = |service: &Service| (service.name.clone(), Selected::nothing(service));
        let mut targets = Self { selected: services().map(nothing).collect(), by_label: ByLabel::new() };
        services().for_each(|service| targets.add_label(service));
        targets.count_all(snapshot);
        targets
    }

    /// What is to be told of each Service that selects.
    pub(super) fn all_findings<'a>(
        &'a self,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = (&'a ServiceName, Findings)> {
        let services = snapshot.services.values().filter(|service| selector(service).is_some());
        let both = self.selected.iter().zip(services);
        both.map(|((name, selected), service)| (name, selected.findings(service)))
    }

    /// Takes note of what changed; the Services of which something else may have to be told now.
    pub(super) fn follow(&mut self, snapshot: &Snapshot, changes: &Changes<'_>) -> BTreeSet<ServiceName> {
        let mut concerned = BTreeSet::new();
        let mut anew = Targets::default();
        for service in &changes.services {
            if service.old.map(wish) == service.new.map(wish) {
                continue;
            }
            concerned.insert(service.key.clone());
            service.old.into_iter().for_each(|old| self.remove(old));
            service.new.into_iter().for_each(|new| anew.add(new));
        }
        for pod in &changes.pods {
            if pod.old.map(face) == pod.new.map(face) {
                continue;
            }
            for (pod, count) in [(pod.old, Selected::remove as Count), (pod.new, Selected::add)] {
                for name in pod.into_iter().flat_map(|pod| self.count(snapshot, pod, count)) {
                    concerned.insert(name);
                }
            }
        }
        anew.count_all(snapshot);
        self.take_over(anew);
        concerned
    }

    /// What is to be told of a Service.
    pub(super) fn findings(&self, snapshot: &Snapshot, name: &ServiceName) -> Findings {
        let service = snapshot.services.get(name);
        let known = service.and_then(|service| Some((service, self.selected.get(name)?)));
        known.map(|(service, selected)| selected.findings(service)).unwrap_or_default()
    }

    fn add(&mut self, service: &Service) {
        if selector(service).is_some() {
            self.selected.insert(service.name.clone(), Selected::nothing(service));
            self.add_label(service);
        }
    }

    fn add_label(&mut self, service: &Service) {
        if let Some((key, value)) = selector(service).and_then(Labels::first_key_value) {
            let of_key = entry(entry(&mut self.by_label, &service.name.namespace), key);
            entry(of_key, value).insert(service.name.clone());
        }
    }

    fn remove(&mut self, service: &Service) {
        let Some(labels) = selector(service) else { return };
        self.selected.remove(&service.name);
        let namespace = &service.name.namespace;
        let Some((key, value)) = labels.first_key_value() else { return };
        let Some(of_namespace) = self.by_label.get_mut(namespace) else { return };
        let Some(of_key) = of_namespace.get_mut(key) else { return };
        if let Some(services) = of_key.get_mut(value) {
            services.remove(&service.name);
            if services.is_empty() {
                of_key.remove(value);
            }
        }
        if of_key.is_empty() {
            of_namespace.remove(key);
        }
        if of_namespace.is_empty() {
            self.by_label.remove(namespace);
        }
    }

    /// Counts a Pod for or against every Service that selects it; which these are.
    fn count(&mut self, snapshot: &Snapshot, pod: &Pod, count: Count) -> Vec<ServiceName> {
        let Some(of_namespace) = self.by_label.get(&pod.name.namespace) else { return Vec::new() };
        let candidates =
            pod.labels.iter().filter_map(|(key, value)| of_namespace.get(key)?.get(value)).flatten();
        let services = candidates.filter_map(|name| snapshot.services.get(name));
        let selecting: Vec<&Service> = services.filter(|service| is_selected(service, pod)).collect();
        for service in &selecting {
            if let Some(selected) = self.selected.get_mut(&service.name) {
                count(selected, service, pod);
            }
        }
        selecting.into_iter().map(|service| service.name.clone()).collect()
    }

    /// Counts every Pod of the Namespaces that have a Service here.
    fn count_all(&mut self, snapshot: &Snapshot) {
        let namespaces: Vec<String> = self.by_label.keys().cloned().collect();
        for namespace in namespaces {
            let pods = snapshot.pods.iter_from(&NamespacedName::new(&*namespace, ""));
            for (_, pod) in pods.take_while(|(name, _)| name.namespace == namespace) {
                self.count(snapshot, pod, Selected::add);
            }
        }
    }

    fn take_over(&mut self, other: Self) {
        self.selected.extend(other.selected);
        for (namespace, keys) in other.by_label {
            let of_namespace = self.by_label.entry(namespace).or_default();
            for (key, values) in keys {
                let of_key = of_namespace.entry(key).or_default();
                for (value, services) in values {
                    of_key.entry(value).or_default().extend(services);
                }
            }
        }
    }
}

/// What stands under a key, from now on at the latest; the key is copied only when it is new.
fn entry<'m, V: Default>(map: &'m mut BTreeMap<String, V>, key: &str) -> &'m mut V {
    if !map.contains_key(key) {
        map.insert(key.to_owned(), V::default());
    }
    map.get_mut(key).expect("it was there, or has just been put there")
}

type Count = fn(&mut Selected, &Service, &Pod);

/// What of a Service says which Pods it selects, and what it expects of them.
fn wish(service: &Service) -> (Option<&Labels>, Vec<(&model::TargetPort, types::Protocol)>) {
    (selector(service), service.ports.iter().map(|port| (&port.target, port.protocol)).collect())
}

/// What of a Pod Services look at.
fn face(pod: &Pod) -> (&Shared<Labels>, bool, &[model::ContainerPort]) {
    (&pod.labels, pod.finished, &pod.ports)
}
