//! Names and records as plans give them: the zone itself, Namespaces, and each Service with all below it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use plan::{DnsEndpoint, DnsPlan, DnsPort, DnsService, DnsServiceKind};
use types::{Protocol, ServiceName};

use super::{Node, Source, is_target, zonal};
use crate::{Name, RecordData};

/// Version of the Kubernetes DNS specification that is served (its section 2.2).
const SCHEMA_VERSION: &str = "1.1.0";
/// Priority and total weight of SRV records as CoreDNS gives them; the specification leaves them open.
const SRV_PRIORITY: u16 = 0;
const SRV_WEIGHT: usize = 100;

pub(super) fn address_data(address: IpAddr) -> RecordData {
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

pub(super) fn below(origin: &Name, labels: &[&str]) -> Option<Name> {
    labels.iter().rev().try_fold(origin.clone(), |name, label| name.child(label))
}

/// Names with their records.
pub(super) struct Builder {
    origin: Name,
    /// The only name that is wanted, in lower-case wire form; none: all are.
    wanted: Option<Box<[u8]>>,
    nodes: BTreeMap<Name, Node>,
}

impl Builder {
    pub(super) fn new(origin: &Name) -> Self {
        Self { origin: origin.clone(), wanted: None, nodes: BTreeMap::new() }
    }

    /// Makes no other name than this one.
    pub(super) fn of_one(origin: &Name, wire: &[u8]) -> Self {
        Self { wanted: Some(wire.into()), ..Self::new(origin) }
    }

    /// Whether this name under the origin is wanted.
    fn wants(&self, labels: &[&str]) -> bool {
        let Some(wanted) = &self.wanted else { return true };
        let mut rest = &**wanted;
        for label in labels {
            let is_same = rest.split_first().is_some_and(|(length, tail)| {
                usize::from(*length) == label.len()
                    && tail.get(..label.len()).is_some_and(|own| own.eq_ignore_ascii_case(label.as_bytes()))
            });
            if !is_same {
                return false;
            }
            rest = &rest[1 + label.len()..];
        }
        rest == self.origin.as_wire()
    }

    /// The names, their records in order and each once.
    pub(super) fn finish(mut self) -> BTreeMap<Name, Node> {
        for node in self.nodes.values_mut() {
            node.records.sort_unstable();
            node.records.dedup();
            node.records.shrink_to_fit();
        }
        self.nodes
    }

    /// A Namespace, where there are Services and Pods or not.
    pub(super) fn add_namespace(&mut self, namespace: &str) {
        for kind in ["svc", "pod"] {
            self.node(&[namespace, kind], Source::Namespace(namespace.to_owned()));
        }
    }

    /// The node of this name under the origin; names above it come to exist as well.
    pub(super) fn node(&mut self, labels: &[&str], source: Source) -> Option<&mut Node> {
        for skip in (1..labels.len()).rev() {
            if !self.wants(&labels[skip..]) {
                continue;
            }
            let name = below(&self.origin, &labels[skip..])?;
            self.nodes.entry(name).or_insert(Node { source: Source::Structure, records: Vec::new() });
        }
        if !self.wants(labels) {
            return None;
        }
        let name = below(&self.origin, labels)?;
        let node = self.nodes.entry(name).or_insert(Node { source: Source::Structure, records: Vec::new() });
        if node.source == Source::Structure {
            node.source = source;
        }
        Some(node)
    }

    pub(super) fn add(&mut self, labels: &[&str], source: Source, data: RecordData) {
        if let Some(node) = self.node(labels, source) {
            node.records.push(data);
        }
    }

    pub(super) fn add_apex(&mut self, plan: &DnsPlan) {
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

    pub(super) fn add_service(&mut self, name: &ServiceName, service: &DnsService) {
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
            DnsServiceKind::Headless { zones } => {
                for endpoint in &service.endpoints {
                    let source = Source::Headless(name.clone());
                    self.add(&labels, source, address_data(endpoint.address));
                }
                let ports = service.endpoints.iter().flat_map(|endpoint| {
                    endpoint.ports.iter().map(move |port| (port, Some(endpoint.hostname.as_str())))
                });
                self.add_ports(name, ports);
                self.add_endpoints(name, &service.endpoints);
                for (zone, addresses) in zones {
                    let is_in = |endpoint: &&DnsEndpoint| addresses.contains(&endpoint.address);
                    self.add_zone(name, zone, service.endpoints.iter().filter(is_in));
                }
            }
            DnsServiceKind::ExternalName { target } => {
                if is_target(target)
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

    /// The endpoints in a topology zone. The names above this one are decided elsewhere ([`super::zonal`]).
    fn add_zone<'p>(
        &mut self,
        service: &ServiceName,
        zone: &str,
        endpoints: impl Iterator<Item = &'p DnsEndpoint>,
    ) {
        let own = [zonal::PIN, zonal::ANCHOR, &service.name, &service.namespace, "svc"];
        let labels: Vec<&str> = zone.split('.').chain(own).collect();
        if !self.wants(&labels) {
            return;
        }
        let (Some(name), Some(base)) = (below(&self.origin, &labels), below(&self.origin, &own[2..])) else {
            return;
        };
        let (mut records, mut targets) = (Vec::new(), BTreeSet::new());
        for endpoint in endpoints {
            records.push(address_data(endpoint.address));
            let target = base.child(&endpoint.hostname);
            targets
                .extend(endpoint.ports.iter().filter_map(|port| Some((port.port.number(), target.clone()?))));
        }
        records.extend(srv_data(targets));
        if !records.is_empty() {
            let source = Source::InZone { service: service.clone(), zone: zone.to_owned() };
            self.nodes.insert(name, Node { source, records });
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
}
