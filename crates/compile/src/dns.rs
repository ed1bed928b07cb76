//! Names of the cluster domain: Services, their endpoints, Pods.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{Endpoint, EndpointSlice, Pod, Service, ServiceType, Snapshot};
use plan::{DnsEndpoint, DnsPlan, DnsPort, DnsService, DnsServiceKind, DnsSettings};
use types::{LabelSelector, Labels, PackedLabels, Shared, SharedMap, dashed};

use crate::NamesContext;
use crate::corefile;
use crate::endpoints::services_with_slices;
use crate::pods::has_own_network;

/// Time to live of answers (CoreDNS, plugin kubernetes, `ttl`).
const TTL_SECONDS: u32 = 5;
/// Longest label of a name (RFC 1035 section 2.3.4).
const LONGEST_LABEL: usize = 63;

pub(crate) fn compile(snapshot: &Snapshot, context: &NamesContext) -> DnsPlan {
    let settings = corefile::settings(snapshot);
    let naming = Naming::of(&settings);
    let services = services_with_slices(snapshot);
    let services = services
        .filter_map(|(object, slices)| Some((object.name.clone(), service(object, &slices, &naming)?)));
    let plan = DnsPlan {
        namespaces: namespaces(snapshot),
        services: services.collect(),
        pods: pods(snapshot, &naming),
        own_search: own_search(snapshot),
        ..empty(context)
    };
    with_settings(plan, settings, context)
}

/// What settings say of the names of all Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Naming {
    /// Whether endpoints have names, and how those without a hostname are called.
    endpoints: EndpointNames,
    /// Labels without which an object is not there.
    labels: Option<LabelSelector>,
    /// Whether any server block answers names of topology zones.
    zonal: bool,
}

/// How endpoints without a hostname are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndpointNames {
    /// They have none.
    None,
    /// By their address.
    Addresses,
    /// By their Pod.
    Pods,
}

impl Naming {
    pub(crate) fn of(settings: &DnsSettings) -> Self {
        let first = settings.kubernetes();
        let has_names = first.is_none_or(|first| first.endpoint_names);
        let has_pod_names = first.is_some_and(|first| first.endpoint_pod_names);
        let mut sections = settings.blocks.iter().filter_map(|block| block.kubernetes.as_ref());
        Self {
            endpoints: match (has_names, has_pod_names) {
                (false, _) => EndpointNames::None,
                (true, true) => EndpointNames::Pods,
                (true, false) => EndpointNames::Addresses,
            },
            labels: first.and_then(|first| first.labels.clone()),
            zonal: sections.any(|kubernetes| kubernetes.zonal),
        }
    }

    /// Whether an object with these labels is there.
    pub(crate) fn means(&self, labels: &Labels) -> bool {
        self.labels.as_ref().is_none_or(|selector| selector.matches(labels))
    }

    fn means_packed(&self, labels: &PackedLabels) -> bool {
        self.labels.as_ref().is_none_or(|selector| selector.matches(&labels.to_labels()))
    }
}

/// The plan with what settings say of names.
pub(crate) fn with_settings(plan: DnsPlan, settings: DnsSettings, context: &NamesContext) -> DnsPlan {
    let kubernetes = settings.kubernetes();
    let domain = kubernetes.and_then(|kubernetes| kubernetes.zones.first().cloned());
    DnsPlan {
        cluster_domain: domain.unwrap_or_else(|| without_final_dot(&context.cluster_domain)),
        ttl_seconds: kubernetes.map_or(TTL_SECONDS, |kubernetes| kubernetes.ttl_seconds),
        settings: settings.into(),
        ..plan
    }
}

/// The plan without any name of the cluster's objects.
pub(crate) fn empty(context: &NamesContext) -> DnsPlan {
    DnsPlan {
        cluster_domain: without_final_dot(&context.cluster_domain),
        addresses: context.dns_addresses.clone(),
        namespaces: Shared::default(),
        services: SharedMap::new(),
        pods: SharedMap::new(),
        own_search: SharedMap::new(),
        node_search: context.search_domains.iter().map(|domain| without_final_dot(domain)).collect(),
        reverse_ranges: context.pod_cidrs.union(&context.service_cidrs).copied().collect(),
        upstreams: context.upstreams.clone(),
        settings: Shared::default(),
        ttl_seconds: TTL_SECONDS,
    }
}

fn without_final_dot(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// What DNS knows of a Service; nothing where it has no name yet.
pub(crate) fn service(service: &Service, slices: &[&EndpointSlice], naming: &Naming) -> Option<DnsService> {
    let mut kind = kind_of(service).filter(|_| naming.means_packed(&service.labels))?;
    let slices: Vec<&EndpointSlice> = match naming.endpoints {
        EndpointNames::None => Vec::new(),
        _ => slices.iter().copied().filter(|slice| naming.means_packed(&slice.labels)).collect(),
    };
    let endpoints = match &mut kind {
        DnsServiceKind::ExternalName { .. } => Vec::new(),
        DnsServiceKind::ClusterIp { .. } => endpoints(&slices, naming.endpoints),
        DnsServiceKind::Headless { zones } => {
            if naming.zonal {
                *zones = topology_zones(&slices);
            }
            endpoints(&slices, naming.endpoints)
        }
    };
    Some(DnsService { kind, endpoints })
}

/// Where ready endpoints are; those that no slice places are nowhere. Names are asked for in lower case, as CoreDNS has it.
fn topology_zones(slices: &[&EndpointSlice]) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let mut zones: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for endpoint in slices.iter().flat_map(|slice| &slice.endpoints).filter(|endpoint| endpoint.ready) {
        if let Some(zone) = &endpoint.zone {
            zones.entry(zone.to_ascii_lowercase()).or_default().insert(endpoint.address);
        }
    }
    zones
}

/// What the name answers; nothing yet for a Service that still waits for its address.
fn kind_of(service: &Service) -> Option<DnsServiceKind> {
    if service.kind == ServiceType::ExternalName {
        let target = without_final_dot(service.external_name.as_deref()?);
        return Some(DnsServiceKind::ExternalName { target });
    }
    if service.headless {
        return Some(DnsServiceKind::headless());
    }
    if service.cluster_ips.is_empty() {
        return None;
    }
    let ports = service.ports.iter().map(|port| DnsPort {
        name: port.name.clone(),
        protocol: port.protocol,
        port: port.port,
    });
    Some(DnsServiceKind::ClusterIp {
        addresses: service.cluster_ips.iter().copied().collect(),
        ports: ports.collect(),
    })
}

/// Ready endpoints, each address once per hostname, in order.
fn endpoints(slices: &[&EndpointSlice], names: EndpointNames) -> Vec<DnsEndpoint> {
    let mut endpoints: BTreeMap<(String, IpAddr), Vec<DnsPort>> = BTreeMap::new();
    for slice in slices {
        for endpoint in slice.endpoints.iter().filter(|endpoint| endpoint.ready) {
            let ports = endpoints.entry((hostname(endpoint, names), endpoint.address)).or_default();
            ports.extend(slice.ports.iter().filter_map(|port| {
                Some(DnsPort { name: port.name.clone(), protocol: port.protocol, port: port.port? })
            }));
        }
    }
    let endpoint = |((hostname, address), mut ports): ((String, IpAddr), Vec<DnsPort>)| {
        ports.sort();
        ports.dedup();
        DnsEndpoint { hostname, address, ports }
    };
    endpoints.into_iter().map(endpoint).collect()
}

/// The endpoint's own hostname, else its Pod's name where that is asked for and is a label, else its address with dashes, which
/// ends in none (CoreDNS, plugin kubernetes, `endpointHostname`).
fn hostname(endpoint: &Endpoint, names: EndpointNames) -> String {
    let is_asked_for = |name: &&String| names == EndpointNames::Pods && name.len() <= LONGEST_LABEL;
    let pod = endpoint.pod.as_ref().map(|pod| &pod.name).filter(is_asked_for);
    match endpoint.hostname.as_ref().or(pod) {
        Some(hostname) => hostname.to_ascii_lowercase(),
        None => {
            let label = dashed(endpoint.address);
            if label.ends_with('-') { label + "0" } else { label }
        }
    }
}

/// Namespaces that exist.
pub(crate) fn namespaces(snapshot: &Snapshot) -> Shared<BTreeSet<String>> {
    snapshot.namespaces.keys().cloned().collect::<BTreeSet<_>>().into()
}

/// Addresses of Pods that search otherwise than the cluster has it; of two with one address, the later by name counts.
fn own_search(snapshot: &Snapshot) -> SharedMap<IpAddr, ()> {
    let pods = snapshot.pods.values().filter(|pod| has_own_network(pod));
    let by_address = pods.flat_map(|pod| pod.addresses.iter().map(|address| (*address, pod.cluster_search)));
    let by_address: BTreeMap<IpAddr, bool> = by_address.collect();
    by_address
        .into_iter()
        .filter(|(_, cluster_search)| !cluster_search)
        .map(|(address, _)| (address, ()))
        .collect()
}

/// Of two Pods with one address, the later by name has it.
pub(crate) fn pods(snapshot: &Snapshot, naming: &Naming) -> SharedMap<IpAddr, String> {
    let pods = snapshot.pods.values().filter(|pod| has_own_network(pod));
    let with_address = pods.flat_map(|pod| pod.addresses.iter().map(move |address| (*address, pod)));
    let named = |(address, pod): (IpAddr, &Pod)| (address, pod.name.namespace.clone());
    if naming.labels.is_none() {
        return with_address.map(named).collect();
    }
    let last = with_address.collect::<BTreeMap<IpAddr, &Pod>>();
    last.into_iter().filter(|(_, pod)| naming.means(&pod.labels)).map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_called_by_hostname_pod_or_address() {
        let endpoint = |hostname: Option<&str>, pod: &str, address: &str| Endpoint {
            address: address.parse().expect("an address"),
            ready: true,
            serving: true,
            terminating: false,
            hostname: hostname.map(str::to_owned),
            node: None,
            zone: None,
            pod: Some(types::PodName::new("shop", pod)),
            hints: None,
        };
        let long = "p".repeat(64);
        for (own, pod, address, by_pod, by_address) in [
            (Some("Db-0"), "pod", "10.0.0.1", "db-0", "db-0"),
            (None, "pod", "10.0.0.1", "pod", "10-0-0-1"),
            (None, long.as_str(), "fd00::1", "fd00--1", "fd00--1"),
            (None, long.as_str(), "fd00::", "fd00--0", "fd00--0"),
        ] {
            let endpoint = endpoint(own, pod, address);
            assert_eq!(hostname(&endpoint, EndpointNames::Pods), by_pod);
            assert_eq!(hostname(&endpoint, EndpointNames::Addresses), by_address);
        }
    }
}
