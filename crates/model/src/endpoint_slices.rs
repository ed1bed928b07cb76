//! EndpointSlices: addresses behind a Service, with their conditions, places and hints.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::discovery::v1;
use types::{
    IpFamily, NamespacedName, NodeName, ObjectRef, PackedLabels, PodName, Port, Protocol, ServiceName,
    TopologyZone,
};

use crate::field::{FieldError, Read, namespaced_name_of, read_address, read_port, read_protocol};
use crate::services::HEADLESS_LABEL;
use crate::{Kind, Lower, Object, Rejected};

/// Label with the name of the Service a slice belongs to (k8s.io/api/discovery/v1 `LabelServiceName`).
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// An EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Namespace and name.
    pub name: NamespacedName,
    /// Labels.
    pub labels: PackedLabels,
    /// The Service it belongs to; `None` without the label, and then nobody uses the slice.
    pub service: Option<ServiceName>,
    /// `addressType`; `None` for FQDN, which no Service routes to.
    pub family: Option<IpFamily>,
    /// `ports`.
    pub ports: Vec<EndpointPort>,
    /// `endpoints`; empty for FQDN.
    pub endpoints: Vec<Endpoint>,
    /// Labelled as headless: for DNS only.
    pub headless: bool,
}

/// One of `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPort {
    /// `name`, empty when unnamed.
    pub name: String,
    /// `protocol`.
    pub protocol: Protocol,
    /// `port`; `None` means every port, which no Service uses.
    pub port: Option<Port>,
}

/// One of `endpoints`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The first of `addresses`; the others have no meaning to Services (k8s.io/api/discovery/v1 `Endpoint`).
    pub address: IpAddr,
    /// `conditions.ready`; true when not given.
    pub ready: bool,
    /// `conditions.serving`; as `ready` when not given.
    pub serving: bool,
    /// `conditions.terminating`; false when not given.
    pub terminating: bool,
    /// `hostname`.
    pub hostname: Option<String>,
    /// `nodeName`.
    pub node: Option<NodeName>,
    /// `zone`.
    pub zone: Option<TopologyZone>,
    /// `targetRef`, when it is a Pod.
    pub pod: Option<PodName>,
    /// `hints`; none where they are empty. They are apart, as few endpoints have any.
    pub hints: Option<Box<Hints>>,
}

/// `hints` of an endpoint: which clients it is meant for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// `forZones`.
    pub zones: BTreeSet<String>,
    /// `forNodes`.
    pub nodes: BTreeSet<NodeName>,
}

impl Lower for v1::EndpointSlice {
    const KIND: Kind = Kind::EndpointSlice;

    fn lower(&self) -> Result<Object, Rejected> {
        let name = namespaced_name_of(&self.metadata);
        read_slice(self)
            .map(Object::EndpointSlice)
            .map_err(|error| error.of(ObjectRef::namespaced("EndpointSlice", &name)))
    }
}

fn read_slice(slice: &v1::EndpointSlice) -> Read<EndpointSlice> {
    let name = namespaced_name_of(&slice.metadata);
    let family = match slice.address_type.as_str() {
        "IPv4" => Some(IpFamily::V4),
        "IPv6" => Some(IpFamily::V6),
        "FQDN" => None,
        other => return Err(FieldError::invalid("addressType", format!("`{other}` is not an address type"))),
    };
    let labels = slice.metadata.labels.as_ref();
    let service = labels.and_then(|labels| labels.get(SERVICE_NAME_LABEL)).filter(|name| !name.is_empty());
    Ok(EndpointSlice {
        labels: labels.map(PackedLabels::from).unwrap_or_default(),
        service: service.map(|service| ServiceName::new(name.namespace.as_str(), service.as_str())),
        family,
        ports: slice.ports.iter().flatten().enumerate().map(read_endpoint_port).collect::<Read<_>>()?,
        endpoints: match family {
            Some(family) => read_endpoints(slice, family)?,
            None => Vec::new(),
        },
        headless: labels.is_some_and(|labels| labels.contains_key(HEADLESS_LABEL)),
        name,
    })
}

fn read_endpoint_port((index, port): (usize, &v1::EndpointPort)) -> Read<EndpointPort> {
    let at = |leaf: &str| format!("ports[{index}].{leaf}");
    Ok(EndpointPort {
        name: port.name.clone().unwrap_or_default(),
        protocol: read_protocol(|| at("protocol"), port.protocol.as_deref())?,
        port: port.port.map(|port| read_port(|| at("port"), port)).transpose()?,
    })
}

fn read_endpoints(slice: &v1::EndpointSlice, family: IpFamily) -> Read<Vec<Endpoint>> {
    let mut endpoints = Vec::with_capacity(slice.endpoints.len());
    for (index, endpoint) in slice.endpoints.iter().enumerate() {
        let Some(text) = endpoint.addresses.first() else { continue };
        let at = || format!("endpoints[{index}].addresses[0]");
        let address = read_address(at, text)?;
        if IpFamily::of(address) != family {
            return Err(FieldError::invalid(at(), format!("{address} is not an {family} address")));
        }
        endpoints.push(lower_endpoint(slice, endpoint, address));
    }
    Ok(endpoints)
}

fn lower_endpoint(slice: &v1::EndpointSlice, endpoint: &v1::Endpoint, address: IpAddr) -> Endpoint {
    let conditions = endpoint.conditions.as_ref();
    let ready = conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
    let zone = endpoint.zone.as_deref().filter(|zone| !zone.is_empty());
    let target = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
    Endpoint {
        address,
        ready,
        serving: conditions.and_then(|conditions| conditions.serving).unwrap_or(ready),
        terminating: conditions.and_then(|conditions| conditions.terminating).unwrap_or(false),
        hostname: endpoint.hostname.clone().filter(|name| !name.is_empty()),
        node: endpoint.node_name.clone().filter(|name| !name.is_empty()).map(NodeName::from),
        zone: zone.map(TopologyZone::from),
        pod: target.and_then(|target| {
            let namespace = target.namespace.clone().or_else(|| slice.metadata.namespace.clone())?;
            Some(PodName::new(namespace, target.name.clone()?))
        }),
        hints: endpoint.hints.as_ref().and_then(lower_hints),
    }
}

fn lower_hints(hints: &v1::EndpointHints) -> Option<Box<Hints>> {
    let zones = hints.for_zones.iter().flatten().map(|zone| zone.name.clone());
    let nodes = hints.for_nodes.iter().flatten().map(|node| NodeName::from(node.name.clone()));
    let hints = Hints { zones: zones.collect(), nodes: nodes.collect() };
    (hints != Hints::default()).then(|| hints.into())
}
