//! Every name of the cluster domain: where it stands, and what it has.

mod builder;
mod pointers;
#[cfg(test)]
mod whole;
mod zonal;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use plan::{DnsBlock, DnsForward, DnsPlan, DnsService, DnsServiceKind, DnsSettings, PodNames, Upstream};
use types::{Prefix, ServiceName, Shared, SharedMap, dashed};

use crate::blocks::{Blocks, ClusterNames, ForwardId, Next};
use crate::name::{labels, suffix_start};
use crate::query_log::Logs;
use crate::reverse::{parse_reverse, reverse_zone_labels};
use crate::steps::Steps;
use crate::{Keep, Name, RecordData};
use builder::{Builder, address_data, below};
use pointers::Pointers;

/// Time to live of the schema version's record, in seconds: the specification's example, and CoreDNS.
const SCHEMA_VERSION_TTL: u32 = 28_800;
/// So many endpoints are looked through for each question.
const FEW: usize = 32;
/// The port upstream servers and this one listen on.
const DNS_PORT: u16 = 53;

/// Everything the cluster domain answers.
///
/// What a Service gives is worked out when somebody first asks for it, and is shared with the zones that follow: a cluster has
/// a hundred thousand names, of which clients ask for a few, and of which a change makes a few anew.
#[derive(Clone, Debug)]
pub struct Zone {
    pub(crate) origin: Name,
    pub(crate) serial: u32,
    pub(crate) plan: DnsPlan,
    /// The zone itself and its Namespaces.
    fixed: Shared<BTreeMap<Name, Node>>,
    /// Services that give any name, by their own.
    services: SharedMap<Name, ServiceNames>,
    pointers: Pointers,
    /// How many addresses of Pods there are in each Namespace.
    pods: SharedMap<String, usize>,
    /// A name that only has names below it.
    structure: Shared<Node>,
    blocks: Shared<Blocks>,
}

/// A server that a [`plan::DnsForward`] names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Server {
    /// Its address.
    pub address: SocketAddr,
    /// Over TLS, the name its certificate must be for.
    pub tls: Option<String>,
}

/// The names of one Service: made anew for each question where they are few, else kept once somebody has asked for one.
#[derive(Debug)]
struct ServiceNames {
    service: ServiceName,
    are_few: bool,
    names: OnceLock<BTreeMap<Name, Node>>,
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
    /// A headless Service with ready endpoints in this topology zone.
    InZone {
        /// The Service.
        service: ServiceName,
        /// The zone.
        zone: String,
    },
    /// A headless Service without ready endpoint in this topology zone.
    NoneInZone {
        /// The Service.
        service: ServiceName,
        /// The zone.
        zone: String,
        /// Zones that have some.
        others: Vec<String>,
    },
    /// A headless Service with ready endpoints, none of them in the topology zone that was preferred.
    OutOfZone {
        /// The Service.
        service: ServiceName,
        /// The zone.
        zone: String,
    },
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
    Here(Cow<'z, Node>),
    /// It would be here, and does not exist; `zone_labels` is how many labels its zone has.
    Missing { zone_labels: usize },
    /// Somebody else knows.
    Elsewhere,
}

impl Zone {
    /// The zone of a plan. Names that cannot be written in DNS are left out; the API does not let them in.
    #[must_use]
    pub fn build(plan: &DnsPlan) -> Self {
        let origin = Name::parse(&plan.cluster_domain)
            .or_else(|_| Name::parse("cluster.local"))
            .expect("the default cluster domain is a name");
        let empty = Self {
            fixed: fixed(&origin, plan).into(),
            origin: origin.clone(),
            serial: 1,
            plan: DnsPlan { services: SharedMap::new(), pods: SharedMap::new(), ..plan.clone() },
            services: SharedMap::new(),
            pointers: Pointers::default(),
            pods: SharedMap::new(),
            structure: Node { source: Source::Structure, records: Vec::new() }.into(),
            blocks: Blocks::default().into(),
        };
        let blocks = Blocks::of(&plan.settings, &empty.origin).into();
        Self { blocks, ..empty }.follow(plan)
    }

    /// The zone of the next plan, which shares with this one what did not change.
    #[must_use]
    pub fn follow(&self, plan: &DnsPlan) -> Self {
        if (&plan.cluster_domain, &plan.addresses) != (&self.plan.cluster_domain, &self.plan.addresses) {
            return Self::build(plan).with_serial(self.serial);
        }
        let mut next = self.clone();
        if plan.namespaces != self.plan.namespaces {
            next.fixed = fixed(&self.origin, plan).into();
        }
        for change in plan.services.changes_since(&self.plan.services) {
            next.follow_service(change.key, change.old, change.new);
        }
        for change in plan.pods.changes_since(&self.plan.pods) {
            if let Some(namespace) = change.old {
                let left = next.pods.get(namespace).copied().unwrap_or_default().saturating_sub(1);
                match left {
                    0 => drop(next.pods.remove(namespace)),
                    left => drop(next.pods.insert(namespace.clone(), left)),
                }
            }
            if let Some(namespace) = change.new {
                let before = next.pods.get(namespace).copied().unwrap_or_default();
                next.pods.insert(namespace.clone(), before + 1);
            }
        }
        if plan.settings != self.plan.settings {
            next.blocks = Blocks::of(&plan.settings, &self.origin).into();
        }
        next.plan = plan.clone();
        next
    }

    fn follow_service(&mut self, name: &ServiceName, old: Option<&DnsService>, new: Option<&DnsService>) {
        self.pointers.follow(name, old, new);
        let Some(own) = below(&self.origin, &[&name.name, &name.namespace, "svc"]) else { return };
        match new.filter(|service| gives_names(service)) {
            Some(service) => {
                let (are_few, names) = (are_few(service), OnceLock::new());
                self.services.insert(own, ServiceNames { service: name.clone(), are_few, names });
            }
            None => drop(self.services.remove(&own)),
        }
    }

    /// The same zone with this serial in its SOA record.
    #[must_use]
    pub fn with_serial(self, serial: u32) -> Self {
        Self { serial, ..self }
    }

    /// The same zone on a node that has servers of its own to ask, whichever they are.
    pub(crate) fn with_node_servers(mut self) -> Self {
        if self.plan.upstreams.is_empty() {
            self.plan.upstreams.push(SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), DNS_PORT));
        }
        self
    }

    /// The cluster domain.
    #[must_use]
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// The servers of a forward, in order and each once. This server itself is left out of the node's own servers: it would
    /// ask for ever.
    #[must_use]
    pub fn servers(&self, id: ForwardId) -> Vec<Server> {
        let plain = |address: &SocketAddr| Server { address: *address, tls: None };
        let mut servers = Vec::new();
        for upstream in self.forward(id).map(|forward| forward.to.as_slice()).unwrap_or_default() {
            match upstream {
                Upstream::Node => servers.extend(self.servers_of_node().map(plain)),
                Upstream::Plain(address) => servers.push(plain(address)),
                Upstream::Tls { address, server_name } => {
                    let name = server_name.clone().unwrap_or_else(|| address.ip().to_string());
                    servers.push(Server { address: *address, tls: Some(name) });
                }
            }
        }
        let mut seen = BTreeSet::new();
        servers.retain(|server| seen.insert(server.clone()));
        servers
    }

    fn servers_of_node(&self) -> impl Iterator<Item = &SocketAddr> {
        let is_self =
            |server: &SocketAddr| server.port() == DNS_PORT && self.plan.addresses.contains(&server.ip());
        self.plan.upstreams.iter().filter(move |server| !is_self(server))
    }

    /// Whether a forward has any server; asked for every question, so no list of them is made.
    fn has_servers(&self, id: ForwardId) -> bool {
        let named = self.forward(id).map(|forward| forward.to.as_slice()).unwrap_or_default();
        named.iter().any(|upstream| *upstream != Upstream::Node || self.servers_of_node().next().is_some())
    }

    /// A forward, by its place.
    #[must_use]
    pub fn forward(&self, id: ForwardId) -> Option<&DnsForward> {
        self.block(id.block)?.forwards.get(id.forward)
    }

    /// A server block, by its place.
    #[must_use]
    pub fn block(&self, block: usize) -> Option<&DnsBlock> {
        self.plan.settings.blocks.get(block)
    }

    /// What [`ForwardId`]s are places in.
    #[must_use]
    pub fn settings(&self) -> &Shared<DnsSettings> {
        &self.plan.settings
    }

    /// The block that a name in lower-case wire form belongs to.
    pub(crate) fn block_of(&self, wire: &[u8]) -> Option<usize> {
        self.blocks.block_of(wire)
    }

    /// The forward that a name in lower-case wire form is asked of, when it has any server.
    pub(crate) fn forward_of(&self, wire: &[u8]) -> Option<ForwardId> {
        let id = self.blocks.forward_of(self.block_of(wire)?, wire)?;
        self.has_servers(id).then_some(id)
    }

    /// Time to live of one record.
    pub(crate) fn ttl_of(&self, data: &RecordData) -> u32 {
        if matches!(data, RecordData::Txt(_)) { SCHEMA_VERSION_TTL } else { self.plan.ttl_seconds }
    }

    /// Which queries of a block are written down.
    pub(crate) fn logs(&self, block: usize) -> Option<&Logs> {
        self.blocks.logs(block)
    }

    /// See [`Blocks::highest_logged_draw`].
    pub(crate) fn highest_logged_draw(&self) -> Option<u64> {
        self.blocks.highest_logged_draw()
    }

    /// What stands between a block's questions and their look-up.
    pub(crate) fn steps(&self, block: usize) -> Option<&Steps> {
        self.blocks.steps(block)
    }

    /// The forward of a block that a name in lower-case wire form is asked of, when it has any server.
    pub(crate) fn forward_in(&self, block: usize, wire: &[u8]) -> Option<ForwardId> {
        let id = self.blocks.forward_of(block, wire)?;
        self.has_servers(id).then_some(id)
    }

    /// The forwards that a name may be asked of after one of them.
    pub(crate) fn next_of(&self, id: ForwardId, wire: &[u8]) -> Box<[Next]> {
        self.blocks.next_of(id, wire, |id| self.has_servers(id))
    }

    /// Which replies of upstream servers are kept for clients that ask a block for a name in lower-case wire form.
    pub(crate) fn keep_in(&self, block: usize, wire: &[u8]) -> Option<Keep> {
        self.blocks.keep(block, wire)
    }

    /// Finds a name in lower-case wire form, as its own block has it.
    pub(crate) fn place(&self, wire: &[u8]) -> Place<'_> {
        self.place_in(self.block_of(wire), wire)
    }

    /// Finds a name in lower-case wire form, as this block has it; nobody here knows names of no block.
    pub(crate) fn place_in(&self, block: Option<usize>, wire: &[u8]) -> Place<'_> {
        let Some(names) = self.cluster_names(block) else { return Place::Elsewhere };
        let missing = |zone_labels: usize| match names.through.lets(wire) {
            true => Place::Elsewhere,
            false => Place::Missing { zone_labels },
        };
        if let Some(end) = suffix_start(wire, self.origin.as_wire()) {
            return match self.find_in(names, wire, end) {
                Some(node) => Place::Here(node),
                None => missing(self.origin.labels().count()),
            };
        }
        let zone = names.reverse.as_ref().map(|zones| zones.of_name(wire));
        let address = parse_reverse(wire).filter(|_| zone != Some(None));
        let pointer =
            |address| self.pointers.node(address, (&self.plan, &self.origin), |name| names.points_to(name));
        if let Some(node) = address.and_then(pointer) {
            return Place::Here(Cow::Owned(node));
        }
        match (zone, address) {
            (Some(Some(zone)), _) => missing(zone.labels().count()),
            (None, Some(address)) => match self.reverse_range(address) {
                Some(range) => missing(reverse_zone_labels(range)),
                None => Place::Elsewhere,
            },
            _ => Place::Elsewhere,
        }
    }

    fn reverse_range(&self, address: IpAddr) -> Option<Prefix> {
        self.plan.reverse_ranges.iter().find(|range| range.contains(address)).copied()
    }

    /// Finds a name of the cluster domain, of which `end` bytes stand before that.
    fn find_in(&self, names: &ClusterNames, wire: &[u8], end: usize) -> Option<Cow<'_, Node>> {
        if names.hides(&wire[..end]) {
            return None;
        }
        let pods = names.pods;
        if pods != PodNames::Verified && labels(&wire[..end]).last() == Some(b"pod") {
            return match (pods, labels(&wire[..end]).collect::<Vec<_>>().as_slice()) {
                (PodNames::Insecure, [address, namespace, _]) => {
                    insecure_pod(&self.plan, address, namespace).map(Cow::Owned)
                }
                (PodNames::Insecure, _) => self.fixed.get(wire).map(Cow::Borrowed),
                _ => None,
            };
        }
        match self.fixed.get(wire) {
            Some(node) => Some(Cow::Borrowed(node)),
            None => self.find(names, wire, end),
        }
    }

    /// Finds a name of a Service or a Pod, of which `end` bytes stand before the zone's own name.
    fn find(&self, names: &ClusterNames, wire: &[u8], end: usize) -> Option<Cow<'_, Node>> {
        // Where the last four labels begin, the last one last.
        let (mut starts, mut count, mut at) = ([0; 4], 0, 0);
        while at < end {
            starts = [starts[1], starts[2], starts[3], at];
            count += 1;
            at += 1 + usize::from(wire[at]);
        }
        let label = |start: usize| &wire[start + 1..start + 1 + usize::from(wire[start])];
        let [before, first, namespace, kind] = starts;
        match (label(kind), count) {
            (b"svc", 2) => {
                self.has_services(names, label(namespace)).then(|| Cow::Borrowed(&*self.structure))
            }
            (b"svc", 4..) if label(before) == zonal::ANCHOR.as_bytes() => {
                names.zonal.then(|| self.find_zonal(wire, first)).flatten()
            }
            (b"svc", 3..) => {
                let own = self.services.get(&wire[first..])?;
                if names.ignore_empty && self.is_empty(&own.service) {
                    return None;
                }
                own.find(wire, &self.plan, &self.origin)
            }
            (b"pod", 2) => {
                let namespace = std::str::from_utf8(label(namespace)).ok()?;
                self.pods.contains_key(namespace).then(|| Cow::Borrowed(&*self.structure))
            }
            (b"pod", 3) => self.pod(label(first), label(namespace)).map(Cow::Owned),
            _ => None,
        }
    }

    /// Whether a Service has a cluster address and no endpoint.
    pub(crate) fn is_empty(&self, service: &ServiceName) -> bool {
        self.plan.services.get(service).is_some_and(is_empty)
    }

    /// How a block answers the cluster's names.
    pub(crate) fn cluster_names(&self, block: Option<usize>) -> Option<&ClusterNames> {
        self.blocks.kubernetes(block?)
    }

    fn has_services(&self, names: &ClusterNames, namespace: &[u8]) -> bool {
        let Ok(namespace) = std::str::from_utf8(namespace) else { return false };
        let first = ServiceName::new(namespace, "");
        let services = self.plan.services.iter_from(&first);
        let mut services = services.take_while(|(name, _)| name.namespace == namespace);
        services.any(|(_, service)| gives_names(service) && !(names.ignore_empty && is_empty(service)))
    }

    fn pod(&self, hostname: &[u8], namespace: &[u8]) -> Option<Node> {
        let hostname = std::str::from_utf8(hostname).ok()?;
        let v4 = || hostname.replace('-', ".").parse().ok();
        let address: IpAddr = v4().or_else(|| hostname.replace('-', ":").parse().ok())?;
        let own = self.plan.pods.get(&address).filter(|own| own.as_bytes() == namespace)?;
        let node = || Node { source: Source::Pod(own.clone()), records: vec![address_data(address)] };
        (dashed(address) == hostname).then(node)
    }

    /// How many labels the zone has that an existing name belongs to.
    pub(crate) fn zone_labels(&self, wire: &[u8]) -> usize {
        if suffix_start(wire, self.origin.as_wire()).is_some() {
            return self.origin.labels().count();
        }
        let zones = self.block_of(wire).and_then(|block| self.blocks.kubernetes(block)?.reverse.as_ref());
        if let Some(zone) = zones.and_then(|zones| zones.of_name(wire)) {
            return zone.labels().count();
        }
        let range = parse_reverse(wire).and_then(|address| self.reverse_range(address));
        range.map_or_else(|| labels(wire).count(), reverse_zone_labels)
    }

    /// The zone's name server.
    pub(crate) fn name_server(&self) -> Name {
        below(&self.origin, &["ns", "dns"]).unwrap_or_else(|| self.origin.clone())
    }
}

impl ServiceNames {
    fn find(&self, wire: &[u8], plan: &DnsPlan, origin: &Name) -> Option<Cow<'_, Node>> {
        if !self.are_few {
            return self.nodes(plan, origin).get(wire).map(Cow::Borrowed);
        }
        let mut builder = Builder::of_one(origin, wire);
        builder.add_service(&self.service, plan.services.get(&self.service)?);
        builder.finish().pop_first().map(|(_, node)| Cow::Owned(node))
    }

    fn nodes(&self, plan: &DnsPlan, origin: &Name) -> &BTreeMap<Name, Node> {
        self.names.get_or_init(|| {
            let mut builder = Builder::new(origin);
            if let Some(service) = plan.services.get(&self.service) {
                builder.add_service(&self.service, service);
            }
            builder.finish()
        })
    }
}

/// The zone itself and its Namespaces.
fn fixed(origin: &Name, plan: &DnsPlan) -> BTreeMap<Name, Node> {
    let mut builder = Builder::new(origin);
    builder.add_apex(plan);
    plan.namespaces.iter().for_each(|namespace| builder.add_namespace(namespace));
    builder.finish()
}

/// A Pod's name that is taken at its word: any address in a Namespace that exists (CoreDNS, plugin kubernetes, `findPods`).
fn insecure_pod(plan: &DnsPlan, hostname: &[u8], namespace: &[u8]) -> Option<Node> {
    let (hostname, namespace) = (std::str::from_utf8(hostname).ok()?, std::str::from_utf8(namespace).ok()?);
    plan.namespaces.contains(namespace).then_some(())?;
    let is_v4 = hostname.matches('-').count() == 3 && !hostname.contains("--");
    let separator = if is_v4 { "." } else { ":" };
    let address: IpAddr = hostname.replace('-', separator).parse().ok()?;
    Some(Node { source: Source::Pod(namespace.to_owned()), records: vec![address_data(address)] })
}

/// Whether a Service's names are made anew for each question: most clusters have far more of them than anybody asks for, and
/// what is asked for often is answered elsewhere. An alias is kept, as walks refer to it.
fn are_few(service: &DnsService) -> bool {
    !matches!(service.kind, DnsServiceKind::ExternalName { .. }) && service.endpoints.len() <= FEW
}

fn is_empty(service: &DnsService) -> bool {
    matches!(service.kind, DnsServiceKind::ClusterIp { .. }) && service.endpoints.is_empty()
}

/// Whether any name exists because of a Service.
fn gives_names(service: &DnsService) -> bool {
    match &service.kind {
        DnsServiceKind::ClusterIp { .. } => true,
        DnsServiceKind::Headless { .. } => !service.endpoints.is_empty(),
        DnsServiceKind::ExternalName { target } => is_target(target),
    }
}

/// Whether a name can be an alias for this. CoreDNS serves no name for a target that is an address: a CNAME to it could never
/// resolve.
fn is_target(target: &str) -> bool {
    target.parse::<IpAddr>().is_err() && Name::parse(target).is_ok()
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
            Self::InZone { service, zone } => {
                write!(
                    f,
                    "Service {service} is headless: the addresses of its ready endpoints in zone {zone}"
                )
            }
            Self::NoneInZone { service, zone, others } => {
                write!(f, "no ready endpoint of Service {service} is in zone {zone}")?;
                match others.is_empty() {
                    true => f.write_str(", nor in any other"),
                    false => write!(f, "; there are some in {}", others.join(", ")),
                }
            }
            Self::OutOfZone { service, zone } => {
                write!(f, "no ready endpoint of Service {service} is in zone {zone}: the addresses of all")
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

#[cfg(test)]
mod tests;
