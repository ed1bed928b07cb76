//! The index of every name of the cluster domain, built once per plan.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use plan::{DnsEndpoint, DnsPlan, DnsPort, DnsService, DnsServiceKind};
use types::{Protocol, ServiceName};

use crate::name::{labels, suffix_start};
use crate::reverse::{parse_reverse, reverse_name, reverse_zone_labels};
use crate::{Name, RecordData};

/// Version of the Kubernetes DNS specification that is served (its section 2.2).
const SCHEMA_VERSION: &str = "1.1.0";
/// Time to live of the schema version's record, in seconds: the specification's example, and CoreDNS.
const SCHEMA_VERSION_TTL: u32 = 28_800;
/// Priority and total weight of SRV records as CoreDNS gives them; the specification leaves them open.
const SRV_PRIORITY: u16 = 0;
const SRV_WEIGHT: usize = 100;
/// The port upstream servers and this one listen on.
const DNS_PORT: u16 = 53;

/// Everything the cluster domain answers.
#[derive(Clone, Debug)]
pub struct Zone {
    pub(crate) origin: Name,
    pub(crate) serial: u32,
    pub(crate) plan: DnsPlan,
    nodes: BTreeMap<Name, Node>,
}

/// One existing name.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) source: Source,
    pub(crate) records: Vec<RecordData>,
}

/// Why a name exists: the object that gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The cluster domain itself.
    Zone,
    /// The zone's name server.
    NameServer,
    /// The version of the specification.
    Version,
    /// Only because there are names below it.
    Structure,
    /// A Namespace.
    Namespace(String),
    /// A Service with cluster addresses.
    ClusterIp(ServiceName),
    /// A headless Service with ready endpoints.
    Headless(ServiceName),
    /// A Service of type ExternalName.
    ExternalName(ServiceName),
    /// A named port of a Service.
    Port {
        /// The Service.
        service: ServiceName,
        /// The port's name.
        port: String,
    },
    /// A ready endpoint of a Service.
    Endpoint(ServiceName),
    /// A Pod, in this Namespace.
    Pod(String),
    /// A cluster address of a Service.
    ReverseService(ServiceName),
    /// The address of a ready endpoint of these Services.
    ReverseEndpoint(Vec<ServiceName>),
}

/// Where a name stands in relation to a zone.
pub(crate) enum Place<'z> {
    /// It exists.
    Here(&'z Node),
    /// It would be here, and does not exist; `zone_labels` is how many labels its zone has.
    Missing { zone_labels: usize },
    /// Somebody else knows.
    Elsewhere,
}

impl Zone {
    /// Indexes a plan. Names that cannot be written in DNS are left out; the API does not let them in.
    #[must_use]
    pub fn build(plan: &DnsPlan) -> Self {
        let origin = Name::parse(&plan.cluster_domain)
            .or_else(|_| Name::parse("cluster.local"))
            .expect("the default cluster domain is a name");
        let mut builder = Builder { origin: origin.clone(), nodes: BTreeMap::new() };
        builder.add_apex(plan);
        for namespace in &plan.namespaces {
            for kind in ["svc", "pod"] {
                let source = Source::Namespace(namespace.clone());
                builder.node(&[namespace, kind], source);
            }
        }
        for (name, service) in &plan.services {
            builder.add_service(name, service);
        }
        for (address, namespace) in &plan.pods {
            let hostname = dashed(*address);
            builder.add(
                &[&hostname, namespace, "pod"],
                Source::Pod(namespace.clone()),
                address_data(*address),
            );
        }
        builder.add_reverse_names(plan);
        for node in builder.nodes.values_mut() {
            node.records.sort_unstable();
            node.records.dedup();
        }
        Self { origin, serial: 1, plan: plan.clone(), nodes: builder.nodes }
    }

    /// The same zone with this serial in its SOA record.
    #[must_use]
    pub fn with_serial(self, serial: u32) -> Self {
        Self { serial, ..self }
    }

    /// The cluster domain.
    #[must_use]
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// Where other names are asked: the plan's upstreams without this server itself, which would ask for ever.
    pub fn upstreams(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let is_self =
            |server: &SocketAddr| server.port() == DNS_PORT && self.plan.addresses.contains(&server.ip());
        self.plan.upstreams.iter().copied().filter(move |server| !is_self(server))
    }

    /// Time to live of one record.
    pub(crate) fn ttl_of(&self, data: &RecordData) -> u32 {
        if matches!(data, RecordData::Txt(_)) { SCHEMA_VERSION_TTL } else { self.plan.ttl_seconds }
    }

    /// Finds a name in lower-case wire form.
    pub(crate) fn place(&self, wire: &[u8]) -> Place<'_> {
        if let Some(node) = self.nodes.get(wire) {
            return Place::Here(node);
        }
        if suffix_start(wire, self.origin.as_wire()).is_some() {
            return Place::Missing { zone_labels: self.origin.labels().count() };
        }
        let Some(address) = parse_reverse(wire) else { return Place::Elsewhere };
        let range = self.plan.reverse_ranges.iter().find(|range| range.contains(address));
        match range {
            Some(range) => Place::Missing { zone_labels: reverse_zone_labels(*range) },
            None => Place::Elsewhere,
        }
    }

    /// How many labels the zone has that an existing name belongs to.
    pub(crate) fn zone_labels(&self, wire: &[u8]) -> usize {
        if suffix_start(wire, self.origin.as_wire()).is_some() {
            return self.origin.labels().count();
        }
        let range = parse_reverse(wire)
            .and_then(|address| self.plan.reverse_ranges.iter().find(|range| range.contains(address)));
        range.map_or_else(|| labels(wire).count(), |range| reverse_zone_labels(*range))
    }

    /// The zone's name server.
    pub(crate) fn name_server(&self) -> Name {
        below(&self.origin, &["ns", "dns"]).unwrap_or_else(|| self.origin.clone())
    }
}

/// An address as the first label of a Pod's or endpoint's name.
pub(crate) fn dashed(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}

fn address_data(address: IpAddr) -> RecordData {
    match address {
        IpAddr::V4(address) => RecordData::A(address),
        IpAddr::V6(address) => RecordData::Aaaa(address),
    }
}

/// SRV records of equal weight, as CoreDNS shares it out.
fn srv_data(targets: BTreeSet<(u16, Name)>) -> impl Iterator<Item = RecordData> {
    let weight = u16::try_from(SRV_WEIGHT / targets.len().max(1)).unwrap_or(u16::MAX).max(1);
    targets.into_iter().map(move |(port, target)| RecordData::Srv {
        priority: SRV_PRIORITY,
        weight,
        target,
        port,
    })
}

fn below(origin: &Name, labels: &[&str]) -> Option<Name> {
    labels.iter().rev().try_fold(origin.clone(), |name, label| name.child(label))
}

struct Builder {
    origin: Name,
    nodes: BTreeMap<Name, Node>,
}

impl Builder {
    /// The node of this name under the origin; names above it come to exist as well.
    fn node(&mut self, labels: &[&str], source: Source) -> Option<&mut Node> {
        for skip in (1..labels.len()).rev() {
            let name = below(&self.origin, &labels[skip..])?;
            self.nodes.entry(name).or_insert(Node { source: Source::Structure, records: Vec::new() });
        }
        let name = below(&self.origin, labels)?;
        let node = self.nodes.entry(name).or_insert(Node { source: Source::Structure, records: Vec::new() });
        if node.source == Source::Structure {
            node.source = source;
        }
        Some(node)
    }

    fn add(&mut self, labels: &[&str], source: Source, data: RecordData) {
        if let Some(node) = self.node(labels, source) {
            node.records.push(data);
        }
    }

    fn add_apex(&mut self, plan: &DnsPlan) {
        self.node(&["svc"], Source::Structure);
        self.node(&["pod"], Source::Structure);
        let mut apex = vec![RecordData::Soa];
        if let Some(server) = below(&self.origin, &["ns", "dns"]) {
            apex.push(RecordData::Ns(server));
        }
        self.nodes.insert(self.origin.clone(), Node { source: Source::Zone, records: apex });
        self.node(&["ns", "dns"], Source::NameServer);
        for address in &plan.addresses {
            self.add(&["ns", "dns"], Source::NameServer, address_data(*address));
        }
        self.add(&["dns-version"], Source::Version, RecordData::Txt(SCHEMA_VERSION));
    }

    fn add_service(&mut self, name: &ServiceName, service: &DnsService) {
        let labels = [name.name.as_str(), name.namespace.as_str(), "svc"];
        match &service.kind {
            DnsServiceKind::ClusterIp { addresses, ports } => {
                let source = Source::ClusterIp(name.clone());
                self.node(&labels, source.clone());
                for address in addresses {
                    self.add(&labels, source.clone(), address_data(*address));
                }
                self.add_ports(name, ports.iter().map(|port| (port, None)));
                self.add_endpoints(name, &service.endpoints);
            }
            DnsServiceKind::Headless => {
                for endpoint in &service.endpoints {
                    let source = Source::Headless(name.clone());
                    self.add(&labels, source, address_data(endpoint.address));
                }
                let ports = service.endpoints.iter().flat_map(|endpoint| {
                    endpoint.ports.iter().map(move |port| (port, Some(endpoint.hostname.as_str())))
                });
                self.add_ports(name, ports);
                self.add_endpoints(name, &service.endpoints);
            }
            DnsServiceKind::ExternalName { target } => {
                // CoreDNS serves no name for a target that is an address: a CNAME to it could never resolve.
                if target.parse::<IpAddr>().is_err()
                    && let Ok(target) = Name::parse(target)
                {
                    let source = Source::ExternalName(name.clone());
                    self.add(&labels, source, RecordData::Cname(target));
                }
            }
        }
    }

    fn add_endpoints(&mut self, service: &ServiceName, endpoints: &[DnsEndpoint]) {
        for endpoint in endpoints {
            self.add(
                &[&endpoint.hostname, &service.name, &service.namespace, "svc"],
                Source::Endpoint(service.clone()),
                address_data(endpoint.address),
            );
        }
    }

    /// SRV records, of every named port and (as CoreDNS) of the Service's own name for all ports. A target is the
    /// Service, or the endpoint of this hostname.
    fn add_ports<'p>(
        &mut self,
        service: &ServiceName,
        ports: impl Iterator<Item = (&'p DnsPort, Option<&'p str>)>,
    ) {
        let own = [service.name.as_str(), service.namespace.as_str(), "svc"];
        let Some(base) = below(&self.origin, &own) else { return };
        let mut all = BTreeSet::new();
        let mut named: BTreeMap<(&str, Protocol), BTreeSet<(u16, Name)>> = BTreeMap::new();
        for (port, hostname) in ports {
            let target = hostname.map_or_else(|| Some(base.clone()), |hostname| base.child(hostname));
            let Some(target) = target else { continue };
            let entry = (port.port.number(), target);
            all.insert(entry.clone());
            if !port.name.is_empty() {
                named.entry((&port.name, port.protocol)).or_default().insert(entry);
            }
        }
        for data in srv_data(all) {
            self.add(&own, Source::ClusterIp(service.clone()), data);
        }
        for ((port, protocol), targets) in named {
            let source = Source::Port { service: service.clone(), port: port.to_owned() };
            let first = [format!("_{port}"), format!("_{}", protocol.to_string().to_lowercase())];
            for data in srv_data(targets) {
                let labels = [&first[0], &first[1], own[0], own[1], own[2]];
                self.add(&labels, source.clone(), data);
            }
        }
    }

    /// PTR records: exactly one for a cluster address, else one per Service that has the address as endpoint.
    fn add_reverse_names(&mut self, plan: &DnsPlan) {
        for (service, entry) in &plan.services {
            let DnsServiceKind::ClusterIp { addresses, .. } = &entry.kind else { continue };
            let Some(target) = below(&self.origin, &[&service.name, &service.namespace, "svc"]) else {
                continue;
            };
            for address in addresses {
                let source = Source::ReverseService(service.clone());
                let records = vec![RecordData::Ptr(target.clone())];
                self.nodes.entry(reverse_name(*address)).or_insert(Node { source, records });
            }
        }
        for (service, entry) in &plan.services {
            for endpoint in &entry.endpoints {
                self.add_reverse_endpoint(service, endpoint);
            }
        }
    }

    fn add_reverse_endpoint(&mut self, service: &ServiceName, endpoint: &DnsEndpoint) {
        let labels = [&endpoint.hostname, &service.name, &service.namespace, "svc"];
        let Some(target) = below(&self.origin, &labels) else { return };
        let node = self
            .nodes
            .entry(reverse_name(endpoint.address))
            .or_insert(Node { source: Source::ReverseEndpoint(Vec::new()), records: Vec::new() });
        if let Source::ReverseEndpoint(services) = &mut node.source
            && !services.contains(service)
        {
            services.push(service.clone());
            node.records.push(RecordData::Ptr(target));
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zone => f.write_str("the cluster domain"),
            Self::NameServer => f.write_str("the cluster's DNS server"),
            Self::Version => f.write_str("version of the Kubernetes DNS specification"),
            Self::Structure => f.write_str("a name that only has names below it"),
            Self::Namespace(name) => write!(f, "Namespace {name}"),
            Self::ClusterIp(service) => write!(f, "Service {service} spec.clusterIPs"),
            Self::Headless(service) => {
                write!(f, "Service {service} is headless: the addresses of its ready endpoints")
            }
            Self::ExternalName(service) => write!(f, "Service {service} spec.externalName"),
            Self::Port { service, port } => write!(f, "Service {service} port {port}"),
            Self::Endpoint(service) => write!(f, "a ready endpoint of Service {service}"),
            Self::Pod(namespace) => write!(f, "a Pod of Namespace {namespace} has this address"),
            Self::ReverseService(service) => write!(f, "Service {service} spec.clusterIPs"),
            Self::ReverseEndpoint(services) => {
                let names = services.iter().map(ToString::to_string).collect::<Vec<_>>();
                write!(f, "a ready endpoint of Service {}", names.join(", "))
            }
        }
    }
}
