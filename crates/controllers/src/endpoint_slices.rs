//! EndpointSlice: which Pods stand behind each Service (semantics ES1 to ES10).

mod changes;
mod hints;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use types::{IpFamily, LabelSelector, NamespacedName};

use crate::by_label::ByLabel;
use crate::owner::{is_controlled_by, is_deleting};
use crate::pod_state::{is_finished, is_ready};
use crate::world::{Note, World, Write, deletion_of};
use changes::Changes;

pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const HEADLESS: &str = "service.kubernetes.io/headless";
const CONTROLLER: &str = "endpointslice-controller.k8s.io";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

pub(crate) fn reconcile(world: &World, _now: Timestamp) -> Vec<Write> {
    let mut slices: BTreeMap<NamespacedName, Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in
        world.endpoint_slices.values().filter(|slice| label(&slice.metadata, MANAGED_BY) == Some(CONTROLLER))
    {
        let Some(service) = label(&slice.metadata, SERVICE_NAME) else { continue };
        let namespace = slice.metadata.namespace.clone().unwrap_or_default();
        slices.entry(NamespacedName::new(namespace, service)).or_default().push(slice);
    }
    let pods = ByLabel::of(&world.pods);
    let mut writes = Vec::new();
    for (name, service) in &world.services {
        let existing = slices.remove(name).unwrap_or_default();
        writes.extend(reconcile_one(world, &pods, service, &existing));
    }
    // Slices of Services that are gone fall to garbage collection, which knows them by owner.
    writes
}

pub(crate) fn label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(key).map(String::as_str)
}

/// Ports of a slice, comparable: slices are grouped by family and these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlicePort {
    pub(crate) name: String,
    pub(crate) protocol: String,
    pub(crate) port: i32,
    pub(crate) app_protocol: Option<String>,
}

pub(crate) type Group = (IpFamily, Vec<SlicePort>);

fn reconcile_one(
    world: &World,
    pods: &ByLabel<'_, Pod>,
    service: &Service,
    existing: &[&EndpointSlice],
) -> Vec<Write> {
    let Some(spec) = &service.spec else { return Vec::new() };
    if is_deleting(&service.metadata) || !is_selecting(spec) {
        return Vec::new();
    }
    let (owned, strangers): (Vec<&EndpointSlice>, Vec<&EndpointSlice>) =
        existing.iter().partition(|slice| is_controlled_by(&slice.metadata, service.metadata.uid.as_deref()));
    let mut groups = wanted_groups(world, pods, service, spec);
    let notes = hinted(world, service, spec, &mut groups, &owned);
    for family in families(spec) {
        if !groups.keys().any(|(of, _)| *of == family) {
            // ES7: exactly one placeholder, so that watchers see the Service has none.
            groups.insert((family, Vec::new()), Vec::new());
        }
    }
    let mut changes = Changes::new(service, &owned);
    let mut held: BTreeMap<Group, Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in owned {
        match group_of(slice) {
            Some(group) if groups.contains_key(&group) => held.entry(group).or_default().push(slice),
            _ => changes.delete(slice),
        }
    }
    for (group, endpoints) in groups {
        changes.fill(&group, endpoints, held.remove(&group).unwrap_or_default());
    }
    let mut writes: Vec<_> = strangers.into_iter().map(deletion).collect();
    writes.extend(changes.into_writes(world));
    if !writes.is_empty() {
        writes.extend(notes.into_iter().map(Write::Note));
    }
    writes
}

/// Gives the wanted endpoints their hints, family by family.
fn hinted(
    world: &World,
    service: &Service,
    spec: &ServiceSpec,
    groups: &mut BTreeMap<Group, Vec<Endpoint>>,
    owned: &[&EndpointSlice],
) -> Vec<Note> {
    let mut notes = Vec::new();
    for family in families(spec) {
        let of_family = groups.iter_mut().filter(|((of, _), _)| *of == family);
        let mut endpoints: Vec<_> = of_family.flat_map(|(_, endpoints)| endpoints).collect();
        notes.extend(hints::give(world, service, spec, family, &mut endpoints, owned));
    }
    notes
}

/// Whether endpoints follow from a selector (ES11) and the Service has any.
pub(crate) fn is_selecting(spec: &ServiceSpec) -> bool {
    let selects = spec.selector.as_ref().is_some_and(|selector| !selector.is_empty());
    selects && spec.type_.as_deref() != Some("ExternalName")
}

/// Pods that match a Service's selector, have an address and have not ended (ES2).
pub(crate) fn members<'a>(
    world: &World,
    pods: &ByLabel<'a, Pod>,
    service: &Service,
    spec: &ServiceSpec,
) -> Vec<&'a Pod> {
    let selector = LabelSelector::from_map(&spec.selector.clone().unwrap_or_default());
    let publishes_all = spec.publish_not_ready_addresses == Some(true);
    let has_node = |pod: &Pod| {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        publishes_all || node.is_none_or(|node| world.nodes.contains_key(&NamespacedName::new("", node)))
    };
    let mut members = pods.selected(service.metadata.namespace.as_deref().unwrap_or_default(), &selector);
    members.retain(|pod| !is_finished(pod) && !addresses(pod).is_empty() && has_node(pod));
    members
}

/// `status.podIPs`, or the single `status.podIP`.
pub(crate) fn addresses(pod: &Pod) -> Vec<String> {
    let Some(status) = &pod.status else { return Vec::new() };
    match &status.pod_ips {
        Some(ips) if !ips.is_empty() => ips.iter().map(|ip| ip.ip.clone()).collect(),
        _ => status.pod_ip.iter().filter(|ip| !ip.is_empty()).cloned().collect(),
    }
}

fn families(spec: &ServiceSpec) -> BTreeSet<IpFamily> {
    let named = spec.ip_families.iter().flatten();
    let families: BTreeSet<_> =
        named.map(|family| if family == "IPv6" { IpFamily::V6 } else { IpFamily::V4 }).collect();
    if families.is_empty() { BTreeSet::from([IpFamily::V4]) } else { families }
}

fn wanted_groups(
    world: &World,
    pods: &ByLabel<'_, Pod>,
    service: &Service,
    spec: &ServiceSpec,
) -> BTreeMap<Group, Vec<Endpoint>> {
    let mut groups: BTreeMap<Group, Vec<Endpoint>> = BTreeMap::new();
    let families = families(spec);
    for pod in members(world, pods, service, spec) {
        let ports = ports_of(spec, pod);
        for address in addresses(pod) {
            let Ok(parsed) = address.parse() else { continue };
            let family = IpFamily::of(parsed);
            if families.contains(&family) {
                let endpoint = endpoint(world, service, spec, pod, &address);
                groups.entry((family, ports.clone())).or_default().push(endpoint);
            }
        }
    }
    groups
}

/// The Service's ports as this Pod serves them (ES5); a named port that the Pod lacks is left out.
pub(crate) fn ports_of(spec: &ServiceSpec, pod: &Pod) -> Vec<SlicePort> {
    let ports = spec.ports.iter().flatten();
    let mut resolved: Vec<_> = ports
        .filter_map(|port| {
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            let number = match &port.target_port {
                None => port.port,
                Some(IntOrString::Int(0)) => port.port,
                Some(IntOrString::Int(number)) => *number,
                Some(IntOrString::String(name)) => container_port(pod, name, &protocol)?,
            };
            let name = port.name.clone().unwrap_or_default();
            Some(SlicePort { name, protocol, port: number, app_protocol: port.app_protocol.clone() })
        })
        .collect();
    resolved.sort();
    resolved
}

/// A container port by name and protocol (SA2): ordinary containers, then restartable init containers.
fn container_port(pod: &Pod, name: &str, protocol: &str) -> Option<i32> {
    let spec = pod.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
        .find(|port| {
            port.name.as_deref() == Some(name) && port.protocol.as_deref().unwrap_or("TCP") == protocol
        })
        .map(|port| port.container_port)
}

fn endpoint(world: &World, service: &Service, spec: &ServiceSpec, pod: &Pod, address: &str) -> Endpoint {
    let serving = is_ready(pod);
    let terminating = is_deleting(&pod.metadata);
    let ready = spec.publish_not_ready_addresses == Some(true) || (serving && !terminating);
    let pod_spec = pod.spec.clone().unwrap_or_default();
    let node = pod_spec.node_name.clone();
    let zone = node.as_ref().and_then(|node| {
        let node = world.nodes.get(&NamespacedName::new("", node.as_str()))?;
        node.metadata.labels.as_ref()?.get(ZONE_LABEL).cloned()
    });
    let hostname = pod_spec.hostname.filter(|name| !name.is_empty());
    Endpoint {
        addresses: vec![address.to_owned()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: hostname.filter(|_| pod_spec.subdomain == service.metadata.name),
        node_name: node,
        target_ref: Some(pod_reference(pod)),
        zone,
        ..Endpoint::default()
    }
}

/// The reference by which endpoints name their Pod.
pub(crate) fn pod_reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

pub(crate) fn group_of(slice: &EndpointSlice) -> Option<Group> {
    let family = match slice.address_type.as_str() {
        "IPv4" => IpFamily::V4,
        "IPv6" => IpFamily::V6,
        _ => return None,
    };
    let mut ports: Vec<_> = slice
        .ports
        .iter()
        .flatten()
        .map(|port| SlicePort {
            name: port.name.clone().unwrap_or_default(),
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            port: port.port.unwrap_or(0),
            app_protocol: port.app_protocol.clone(),
        })
        .collect();
    ports.sort();
    Some((family, ports))
}

/// ES1: the Service's labels and ours; ours cannot be overridden.
fn labels(service: &Service) -> types::Labels {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    for reserved in [SERVICE_NAME, MANAGED_BY, HEADLESS] {
        labels.remove(reserved);
    }
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.to_owned(), CONTROLLER.to_owned());
    let cluster_ip = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
    if matches!(cluster_ip, "" | "None") {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels
}

pub(crate) fn deletion(slice: &EndpointSlice) -> Write {
    deletion_of(slice)
}

#[cfg(test)]
mod tests;
