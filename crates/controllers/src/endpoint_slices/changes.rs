//! What becomes of the slices of one Service, with as few writes as may be (semantics ES6, ES9).

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use types::NamespacedName;

use super::{Group, deletion, labels};
use crate::owner::controller_reference;
use crate::pod_state::ready_changed_at;
use crate::world::{World, Write, to_value};

/// Most endpoints in one slice (`--max-endpoints-per-slice` of kube-controller-manager).
const MAX_ENDPOINTS: usize = 100;
/// When what made the controller write happened, so that its delay can be measured (k8s.io/api `core/v1`).
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The slices of one Service that are to be written.
pub(super) struct Changes<'a> {
    service: &'a Service,
    /// Endpoints that slices held, by address.
    before: BTreeMap<&'a str, Option<&'a EndpointConditions>>,
    is_new: bool,
    created: Vec<EndpointSlice>,
    updated: Vec<EndpointSlice>,
    deleted: Vec<&'a EndpointSlice>,
}

impl<'a> Changes<'a> {
    /// Nothing yet, for a Service that has these slices.
    pub(super) fn new(service: &'a Service, owned: &[&'a EndpointSlice]) -> Self {
        let endpoints = owned.iter().flat_map(|slice| &slice.endpoints);
        let before = endpoints.filter_map(|endpoint| {
            Some((endpoint.addresses.first()?.as_str(), endpoint.conditions.as_ref()))
        });
        Self {
            service,
            before: before.collect(),
            is_new: owned.is_empty(),
            created: Vec::new(),
            updated: Vec::new(),
            deleted: Vec::new(),
        }
    }

    /// A slice that nothing needs.
    pub(super) fn delete(&mut self, slice: &'a EndpointSlice) {
        self.deleted.push(slice);
    }

    /// Brings the slices of one group up to date: endpoints stay where they are, new ones fill free places, and only
    /// what does not fit opens a slice.
    pub(super) fn fill(&mut self, group: &Group, endpoints: Vec<Endpoint>, slices: Vec<&'a EndpointSlice>) {
        let is_placeholder = endpoints.is_empty();
        let mut wanted: BTreeMap<String, Endpoint> =
            endpoints.into_iter().map(|endpoint| (endpoint.addresses[0].clone(), endpoint)).collect();
        let mut kept: Vec<(&EndpointSlice, Vec<Endpoint>)> = Vec::new();
        for slice in slices {
            let stay =
                slice.endpoints.iter().filter_map(|endpoint| wanted.remove(endpoint.addresses.first()?));
            kept.push((slice, stay.collect()));
        }
        let mut rest = wanted.into_values();
        for (_, endpoints) in &mut kept {
            let room = MAX_ENDPOINTS.saturating_sub(endpoints.len());
            endpoints.extend(rest.by_ref().take(room));
        }
        let mut in_use = 0;
        for (slice, endpoints) in kept {
            if endpoints.is_empty() && !(is_placeholder && in_use == 0) {
                self.delete(slice);
                continue;
            }
            in_use += 1;
            self.update(slice, endpoints);
        }
        let mut rest: Vec<_> = rest.collect();
        while !rest.is_empty() || (is_placeholder && in_use == 0) {
            let next = rest.split_off(rest.len().min(MAX_ENDPOINTS));
            self.created.push(new_slice(self.service, group, rest));
            rest = next;
            in_use += 1;
        }
    }

    fn update(&mut self, slice: &EndpointSlice, endpoints: Vec<Endpoint>) {
        let labels = Some(labels(self.service));
        if slice.metadata.labels == labels && slice.endpoints == endpoints {
            return;
        }
        let mut slice = slice.clone();
        slice.metadata.labels = labels;
        slice.endpoints = endpoints;
        self.updated.push(slice);
    }

    /// What is to be written: a slice that would go is turned into one that would come, where the family permits it.
    pub(super) fn into_writes(mut self, world: &World) -> Vec<Write> {
        let mut deleted = Vec::new();
        for slice in std::mem::take(&mut self.deleted) {
            match self.created.iter().position(|created| created.address_type == slice.address_type) {
                Some(index) => {
                    let created = self.created.remove(index);
                    self.updated.push(EndpointSlice {
                        endpoints: created.endpoints,
                        ports: created.ports,
                        metadata: ObjectMeta { labels: created.metadata.labels, ..slice.metadata.clone() },
                        ..slice.clone()
                    });
                }
                None => deleted.push(deletion(slice)),
            }
        }
        let created = std::mem::take(&mut self.created).into_iter().map(|slice| self.timed(world, slice));
        let created: Vec<_> = created.map(|slice| Write::Create(to_value(&slice))).collect();
        let updated = std::mem::take(&mut self.updated).into_iter().map(|slice| self.timed(world, slice));
        let updated: Vec<_> = updated.map(|slice| Write::Replace(to_value(&slice))).collect();
        [deleted, created, updated].concat()
    }

    /// The slice with the time of what made it change, where that is known.
    fn timed(&self, world: &World, mut slice: EndpointSlice) -> EndpointSlice {
        let mut annotations = slice.metadata.annotations.take().unwrap_or_default();
        annotations.remove(TRIGGER_TIME);
        if let Some(time) = self.trigger(world, &slice) {
            annotations.insert(TRIGGER_TIME.to_owned(), time.to_string());
        }
        slice.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
        slice
    }

    /// For a new Service, its creation; else the earliest change of a Pod's readiness that shows here for the first time
    /// (upstream: `ComputeEndpointLastChangeTriggerTime`).
    fn trigger(&self, world: &World, slice: &EndpointSlice) -> Option<Timestamp> {
        if self.is_new {
            return self.service.metadata.creation_timestamp.as_ref().map(|time| time.0);
        }
        let is_changed = |endpoint: &&Endpoint| {
            let address = endpoint.addresses.first().map(String::as_str).unwrap_or_default();
            self.before.get(address) != Some(&endpoint.conditions.as_ref())
        };
        let pod = |endpoint: &Endpoint| {
            let reference = endpoint.target_ref.as_ref()?;
            let name = NamespacedName::new(reference.namespace.clone()?, reference.name.clone()?);
            ready_changed_at(world.pods.get(&name)?)
        };
        slice.endpoints.iter().filter(is_changed).filter_map(pod).min()
    }
}

fn new_slice(service: &Service, (family, ports): &Group, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let ports = ports.iter().map(|port| EndpointPort {
        name: Some(port.name.clone()),
        protocol: Some(port.protocol.clone()),
        port: Some(port.port),
        app_protocol: port.app_protocol.clone(),
    });
    EndpointSlice {
        address_type: family.to_string(),
        endpoints,
        metadata: ObjectMeta {
            generate_name: service.metadata.name.as_ref().map(|name| format!("{name}-")),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels(service)),
            owner_references: Some(vec![controller_reference(service)]),
            ..ObjectMeta::default()
        },
        ports: Some(ports.collect()),
    }
}
