//! Endpoints of one Service port: the union over its slices, and which of them a client may reach.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{EndpointSlice, Hints, Service, Snapshot};
use plan::{Backend, BackendState, Candidate, Exclusion};
use types::{IpFamily, NamespacedName, NodeName, PodName, Protocol, ServiceName};

/// Names of EndpointSlices by the Service they belong to, in order.
#[derive(Debug, Default)]
pub(crate) struct SliceIndex(BTreeMap<ServiceName, Vec<NamespacedName>>);

impl SliceIndex {
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let mut index: Vec<(ServiceName, Vec<NamespacedName>)> = Vec::new();
        for (service, slice) in in_order_of_services(snapshot) {
            match index.last_mut().filter(|(last, _)| last == service) {
                Some((_, names)) => names.push(slice.name.clone()),
                None => index.push((service.clone(), vec![slice.name.clone()])),
            }
        }
        Self(index.into_iter().collect())
    }

    /// Takes note of a slice.
    pub(crate) fn add(&mut self, slice: &EndpointSlice) {
        let Some(service) = &slice.service else { return };
        match self.0.get_mut(service) {
            Some(names) => {
                if let Err(at) = names.binary_search(&slice.name) {
                    names.insert(at, slice.name.clone());
                }
            }
            None => drop(self.0.insert(service.clone(), vec![slice.name.clone()])),
        }
    }

    /// Forgets a slice.
    pub(crate) fn remove(&mut self, slice: &EndpointSlice) {
        let Some(service) = &slice.service else { return };
        let Some(names) = self.0.get_mut(service) else { return };
        names.retain(|name| *name != slice.name);
        if names.is_empty() {
            self.0.remove(service);
        }
    }
}

/// EndpointSlices in the order of the Services they belong to, and then of their own names.
fn in_order_of_services(snapshot: &Snapshot) -> Vec<(&ServiceName, &EndpointSlice)> {
    let slices = snapshot.endpoint_slices.values();
    let mut slices: Vec<_> = slices.filter_map(|slice| Some((slice.service.as_ref()?, slice))).collect();
    slices.sort_by_key(|(service, _)| *service);
    slices
}

/// Every Service with its slices, all in the order of names: no Service has to be looked for.
pub(crate) fn services_with_slices(
    snapshot: &Snapshot,
) -> impl Iterator<Item = (&Service, Vec<&EndpointSlice>)> {
    let mut rest = in_order_of_services(snapshot).into_iter().peekable();
    snapshot.services.values().map(move |service| {
        while rest.next_if(|(name, _)| **name < service.name).is_some() {}
        let own = std::iter::from_fn(|| rest.next_if(|(name, _)| **name == service.name));
        (service, own.map(|(_, slice)| slice).collect())
    })
}

/// EndpointSlices by the Service they belong to.
#[derive(Clone, Copy)]
pub(crate) struct SlicesByService<'a> {
    snapshot: &'a Snapshot,
    index: &'a SliceIndex,
}

impl<'a> SlicesByService<'a> {
    /// `index` is that of the snapshot.
    pub(crate) fn new(snapshot: &'a Snapshot, index: &'a SliceIndex) -> Self {
        Self { snapshot, index }
    }

    /// The slices of one Service, in order of their names.
    pub(crate) fn of(&self, service: &ServiceName) -> Vec<&'a EndpointSlice> {
        let names = self.index.0.get(service).into_iter().flatten();
        names.filter_map(|name| self.snapshot.endpoint_slices.get(name)).collect()
    }
}

/// One endpoint of one Service port.
#[derive(Clone, Debug)]
pub(crate) struct PortEndpoint<'a> {
    pub(crate) backend: Backend,
    pub(crate) state: BackendState,
    pub(crate) node: Option<&'a NodeName>,
    pub(crate) pod: Option<&'a PodName>,
    hints: Option<&'a Hints>,
}

/// Name and protocol of a Service port, as slices name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortKey<'a> {
    pub(crate) name: &'a str,
    pub(crate) protocol: Protocol,
}

/// All endpoints of one port and family, in order and without repetition (semantics SD17).
///
/// An address and port that two slices list, as happens while an endpoint moves between slices, counts once, with
/// the better conditions.
pub(crate) fn of_port<'a>(
    slices: &[&'a EndpointSlice],
    family: IpFamily,
    port: PortKey<'_>,
) -> Vec<PortEndpoint<'a>> {
    let mut endpoints = Vec::new();
    for slice in slices.iter().filter(|slice| slice.family == Some(family)) {
        let matching =
            slice.ports.iter().find(|entry| entry.name == port.name && entry.protocol == port.protocol);
        let Some(number) = matching.and_then(|entry| entry.port) else { continue };
        endpoints.extend(slice.endpoints.iter().map(|endpoint| PortEndpoint {
            backend: Backend { address: endpoint.address, port: number },
            state: BackendState {
                ready: endpoint.ready,
                serving: endpoint.serving,
                terminating: endpoint.terminating,
            },
            node: endpoint.node.as_ref(),
            pod: endpoint.pod.as_ref(),
            hints: endpoint.hints.as_deref(),
        }));
    }
    let goodness = |endpoint: &PortEndpoint<'_>| (endpoint.state.ready, endpoint.state.serving);
    // Of equals, the first stays the first.
    endpoints.sort_by(|one, other| {
        one.backend.cmp(&other.backend).then_with(|| goodness(other).cmp(&goodness(one)))
    });
    endpoints.dedup_by(|later, kept| later.backend == kept.backend);
    endpoints
}

/// Where a node is, for `Local` policies and topology hints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) node: &'a NodeName,
    pub(crate) zone: Option<&'a str>,
}

/// Which endpoints a traffic policy leaves over: of each, in order, why it is not used.
#[derive(Clone, Debug)]
pub(crate) struct Choice(Vec<Option<Exclusion>>);

impl Choice {
    fn new<'a>(
        endpoints: &[PortEndpoint<'a>],
        judge: impl Fn(&PortEndpoint<'a>) -> Option<Exclusion>,
    ) -> Self {
        Self(endpoints.iter().map(judge).collect())
    }

    /// Those a connection may go to.
    pub(crate) fn usable(&self, endpoints: &[PortEndpoint<'_>]) -> BTreeSet<Backend> {
        let judged = endpoints.iter().zip(&self.0);
        judged.filter(|(_, why)| why.is_none()).map(|(endpoint, _)| endpoint.backend.clone()).collect()
    }
}

impl PortEndpoint<'_> {
    fn is_last_resort(&self) -> bool {
        !self.state.ready && self.state.serving && self.state.terminating
    }

    /// Whether any traffic at all may go here.
    pub(crate) fn is_usable(&self) -> bool {
        self.state.ready || self.is_last_resort()
    }

    fn is_meant_for_node(&self, place: Place<'_>) -> bool {
        self.hints.is_some_and(|hints| hints.nodes.contains(place.node))
    }

    fn is_meant_for_zone(&self, place: Place<'_>) -> bool {
        self.hints.zip(place.zone).is_some_and(|(hints, zone)| hints.zones.contains(zone))
    }

    /// Why an endpoint's conditions rule it out, given whether terminating ones have their turn.
    fn condition(&self, terminating_turn: TerminatingTurn) -> Option<Exclusion> {
        match (self.state.ready, self.is_last_resort(), terminating_turn) {
            (true, _, _) | (false, true, TerminatingTurn::Yes) => None,
            (false, true, TerminatingTurn::No) => Some(Exclusion::Terminating),
            (false, false, _) => Some(Exclusion::NotReady),
        }
    }
}

/// Whether serving but terminating endpoints are used, because no ready one is there (semantics SD2).
#[derive(Clone, Copy)]
enum TerminatingTurn {
    Yes,
    No,
}

impl TerminatingTurn {
    fn among<'a>(mut endpoints: impl Iterator<Item = &'a PortEndpoint<'a>>) -> Self {
        if endpoints.any(|endpoint| endpoint.state.ready) { Self::No } else { Self::Yes }
    }
}

/// The endpoints for policy `Cluster`: ready ones, near ones if hints allow it; else serving and terminating ones.
pub(crate) fn choose_cluster(endpoints: &[PortEndpoint<'_>], place: Place<'_>) -> Choice {
    let turn = TerminatingTurn::among(endpoints.iter());
    let near = Nearness::of(endpoints, place);
    Choice::new(endpoints, |endpoint| {
        endpoint.condition(turn).or_else(|| {
            (endpoint.state.ready && !near.includes(endpoint, place)).then_some(Exclusion::OtherZone)
        })
    })
}

/// The endpoints for policy `Local`: those of this node, whatever the hints.
pub(crate) fn choose_local(endpoints: &[PortEndpoint<'_>], place: Place<'_>) -> Choice {
    let is_local = |endpoint: &PortEndpoint<'_>| endpoint.node == Some(place.node);
    let turn = TerminatingTurn::among(endpoints.iter().filter(|endpoint| is_local(endpoint)));
    Choice::new(endpoints, |endpoint| {
        if !is_local(endpoint) && endpoint.is_usable() {
            return Some(Exclusion::OtherNode);
        }
        endpoint.condition(turn)
    })
}

/// What topology hints ask for (semantics SD16).
#[derive(Clone, Copy)]
enum Nearness {
    SameNode,
    SameZone,
    Everywhere,
}

impl Nearness {
    fn of(endpoints: &[PortEndpoint<'_>], place: Place<'_>) -> Self {
        let ready = || endpoints.iter().filter(|endpoint| endpoint.state.ready);
        if ready().next().is_none() {
            return Self::Everywhere;
        }
        let node_hinted = ready().all(|endpoint| endpoint.hints.is_some_and(|hints| !hints.nodes.is_empty()));
        if node_hinted && ready().any(|endpoint| endpoint.is_meant_for_node(place)) {
            return Self::SameNode;
        }
        let zone_hinted = ready().all(|endpoint| endpoint.hints.is_some_and(|hints| !hints.zones.is_empty()));
        match zone_hinted && ready().any(|endpoint| endpoint.is_meant_for_zone(place)) {
            true => Self::SameZone,
            false => Self::Everywhere,
        }
    }

    fn includes(self, endpoint: &PortEndpoint<'_>, place: Place<'_>) -> bool {
        match self {
            Self::SameNode => endpoint.is_meant_for_node(place),
            Self::SameZone => endpoint.is_meant_for_zone(place),
            Self::Everywhere => true,
        }
    }
}

/// Every endpoint with the reason why it is or is not used, for explain.
pub(crate) fn candidates(
    endpoints: &[PortEndpoint<'_>],
    internal: &Choice,
    external: &Choice,
) -> Vec<Candidate> {
    let judged = endpoints.iter().zip(internal.0.iter().zip(&external.0));
    type Judged<'e, 'a> = (&'e PortEndpoint<'a>, (&'e Option<Exclusion>, &'e Option<Exclusion>));
    let candidate = |(endpoint, (internal, external)): Judged<'_, '_>| Candidate {
        backend: endpoint.backend.clone(),
        pod: endpoint.pod.cloned(),
        node: endpoint.node.cloned(),
        state: endpoint.state,
        excluded_internal: *internal,
        excluded_external: *external,
    };
    judged.map(candidate).collect()
}

/// Backends that are ready, for an HTTP entry that picks among them itself.
pub(crate) fn ready_backends(slices: &[&EndpointSlice], port: PortKey<'_>) -> BTreeSet<Backend> {
    [IpFamily::V4, IpFamily::V6]
        .into_iter()
        .flat_map(|family| of_port(slices, family, port))
        .filter(|endpoint| endpoint.state.ready)
        .map(|endpoint| endpoint.backend)
        .collect()
}

/// Families of a list of addresses.
pub(crate) fn families<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> BTreeSet<IpFamily> {
    addresses.into_iter().map(|address| IpFamily::of(*address)).collect()
}
