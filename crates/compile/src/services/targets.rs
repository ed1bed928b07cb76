//! Selectors that select nothing, and port names that no selected Pod has.

use std::collections::BTreeMap;

use model::{Pod, Service, ServiceType, Snapshot, TargetPort};
use types::{LabelSelector, Labels, ObjectRef};

use crate::findings::{Findings, error, warning};

/// What a Service's selector selects, as far as anybody has to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selected {
    /// How many Pods.
    pub(crate) pods: usize,
    /// Of each Service port with a name as its target, how many of them declare it; `None` for numbers.
    pub(crate) with_port: Vec<Option<usize>>,
}

/// The findings of every Service.
pub(super) fn check(snapshot: &Snapshot, findings: &mut Findings) {
    let pods = PodsByLabel::new(snapshot);
    for service in snapshot.services.values() {
        if let Some(labels) = selector(service) {
            let selected = pods.select(&service.name.namespace, labels);
            findings.extend(Selected::among(service, &selected).findings(service));
        }
    }
}

/// The labels by which a Service selects its Pods; none where it does not, or where that has no meaning.
pub(crate) fn selector(service: &Service) -> Option<&Labels> {
    service.selector.as_ref().filter(|_| service.kind != ServiceType::ExternalName)
}

/// Whether a Pod is among those that a Service can select.
pub(crate) fn is_selected(service: &Service, pod: &Pod) -> bool {
    let has_all = |labels: &Labels| {
        !labels.is_empty() && labels.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
    };
    !pod.finished && pod.name.namespace == service.name.namespace && selector(service).is_some_and(has_all)
}

impl Selected {
    fn among(service: &Service, pods: &[&Pod]) -> Self {
        let mut selected = Self::nothing(service);
        pods.iter().for_each(|pod| selected.add(service, pod));
        selected
    }

    /// No Pod yet.
    pub(crate) fn nothing(service: &Service) -> Self {
        let named = |target: &TargetPort| matches!(target, TargetPort::Name(_)).then_some(0);
        Self { pods: 0, with_port: service.ports.iter().map(|port| named(&port.target)).collect() }
    }

    /// Counts a Pod that the Service selects.
    pub(crate) fn add(&mut self, service: &Service, pod: &Pod) {
        self.pods += 1;
        self.declared(service, pod).for_each(|count| *count += 1);
    }

    /// Counts a Pod no more that was counted.
    pub(crate) fn remove(&mut self, service: &Service, pod: &Pod) {
        self.pods -= 1;
        self.declared(service, pod).for_each(|count| *count -= 1);
    }

    /// The counts of those port names that the Pod declares.
    fn declared<'s>(&'s mut self, service: &'s Service, pod: &'s Pod) -> impl Iterator<Item = &'s mut usize> {
        self.with_port.iter_mut().zip(&service.ports).filter_map(move |(count, port)| match &port.target {
            TargetPort::Name(name) if pod.named_port(name, port.protocol).is_some() => count.as_mut(),
            _ => None,
        })
    }

    /// What is to be told of it.
    pub(crate) fn findings(&self, service: &Service) -> Findings {
        let object = || ObjectRef::namespaced("Service", &service.name);
        let Some(labels) = selector(service) else { return Findings::new() };
        if self.pods == 0 {
            let selector = LabelSelector::from_map(labels);
            let message = format!("no Pod in Namespace {} has labels {selector}", service.name.namespace);
            return [warning(object(), "spec.selector", "SelectsNoPod", message)].into();
        }
        let missing = |(index, port): (usize, &model::ServicePort)| {
            let TargetPort::Name(name) = &port.target else { return None };
            let field = format!("spec.ports[{index}].targetPort");
            let protocol = port.protocol;
            let message =
                format!("no selected Pod has a container port named `{name}` with protocol {protocol}");
            (self.with_port[index] == Some(0)).then(|| error(object(), field, "TargetPortNotFound", message))
        };
        service.ports.iter().enumerate().filter_map(missing).collect()
    }
}

/// Pods by Namespace and each of their labels, so that 10 000 Services need not look at every Pod each.
struct PodsByLabel<'a>(BTreeMap<(&'a str, &'a str, &'a str), Vec<&'a Pod>>);

impl<'a> PodsByLabel<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let mut index: BTreeMap<_, Vec<&Pod>> = BTreeMap::new();
        for pod in snapshot.pods.values().filter(|pod| !pod.finished) {
            for (key, value) in &pod.labels {
                index.entry((&*pod.name.namespace, &**key, &**value)).or_default().push(pod);
            }
        }
        Self(index)
    }

    /// The Pods with all of these labels, of which there is at least one.
    fn select(&self, namespace: &str, labels: &Labels) -> Vec<&'a Pod> {
        let mut labels = labels.iter();
        let Some((key, value)) = labels.next() else { return Vec::new() };
        let candidates = self.0.get(&(namespace, &**key, &**value)).map(Vec::as_slice).unwrap_or_default();
        let has_rest = |pod: &&&Pod| labels.clone().all(|(key, value)| pod.labels.get(key) == Some(value));
        candidates.iter().filter(has_rest).copied().collect()
    }
}
