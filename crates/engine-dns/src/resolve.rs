//! Answers for people: what a name resolves to, and the object that makes it so.

use std::fmt;

use plan::DnsServiceKind;
use types::{ObjectRef, ServiceName};

use crate::answer::{End, walk};
use crate::name::{labels, suffix_start};
use crate::reply::soa_owner;
use crate::reverse::parse_reverse;
use crate::{Name, NameError, Record, RecordData, RecordType, Source, Zone};

/// What of a Corefile has a say.
const SECTION: &str = "the section kubernetes of the Corefile";

/// What a name resolves to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The name that was asked.
    pub name: Name,
    /// The type that was asked.
    pub kind: RecordType,
    /// How the question ends.
    pub outcome: Outcome,
    /// The records of the answer, in order; the SOA record of a negative answer.
    pub records: Vec<Record>,
    /// Why, one reason per step: ExternalName Services on the way, then the end.
    pub reasons: Vec<Reason>,
}

/// How a question ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With records of the wanted type.
    Found,
    /// The name exists and has no record of the wanted type (NOERROR without answer).
    NoData,
    /// The name does not exist (NXDOMAIN).
    NxDomain,
    /// Others are asked.
    Forward,
}

/// The object that decides, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The name exists because of this.
    Exists(Source),
    /// No such Namespace.
    NoNamespace {
        /// Its name.
        namespace: String,
    },
    /// The Namespace's names are not answered.
    HiddenNamespace {
        /// Its name.
        namespace: String,
    },
    /// No such Service in the Namespace.
    NoService {
        /// What was asked for.
        service: ServiceName,
        /// The labels without which it would not be known.
        labels: Option<String>,
        /// Namespaces that have a Service of this name.
        elsewhere: Vec<String>,
    },
    /// A headless Service without ready endpoint has no name.
    NoReadyEndpoint(ServiceName),
    /// A Service with a cluster address and without ready endpoint is ignored.
    EmptyService(ServiceName),
    /// Endpoints have no names, and so headless Services have none.
    EndpointsNotNamed,
    /// Names of topology zones are those of headless Services.
    NotHeadless(ServiceName),
    /// Names of topology zones are not asked for.
    ZonesNotAnswered,
    /// The Service's `externalName` is an address or no name at all.
    UnusableExternalName {
        /// The Service.
        service: ServiceName,
        /// Its `spec.externalName`.
        target: String,
    },
    /// No port of this name.
    NoPort {
        /// The Service.
        service: ServiceName,
        /// First labels of the name.
        port: String,
    },
    /// No ready endpoint of this name.
    NoEndpoint {
        /// The Service.
        service: ServiceName,
        /// The endpoint's name.
        hostname: String,
    },
    /// No Pod with this address in the Namespace.
    NoPod {
        /// The Namespace.
        namespace: String,
        /// The address, with dashes.
        address: String,
    },
    /// An address of the cluster that nothing has.
    UnusedAddress(std::net::IpAddr),
    /// Not the form of any name of the cluster domain.
    NotOfThisForm,
    /// Outside the cluster domain.
    OutsideZone {
        /// The cluster domain.
        zone: Name,
    },
    /// ExternalName Services lead to each other.
    Circle,
}

/// Resolves an absolute name.
pub fn resolve(zone: &Zone, name: &str, kind: RecordType) -> Result<Resolution, NameError> {
    Ok(resolve_name(zone, Name::parse(name)?, kind))
}

pub(crate) fn resolve_name(zone: &Zone, name: Name, kind: RecordType) -> Resolution {
    let block = zone.block_of(name.as_wire()).unwrap_or(usize::MAX);
    resolve_in(zone, block, name, kind)
}

/// Resolves a name as this block has it.
pub(crate) fn resolve_in(zone: &Zone, block: usize, name: Name, kind: RecordType) -> Resolution {
    let walk = walk(zone, block, name.as_wire(), kind);
    let mut records = Vec::new();
    let mut reasons = Vec::new();
    let mut owner = name.clone();
    let record = |name: &Name, data: &RecordData| Record {
        name: name.clone(),
        ttl: zone.ttl_of(data),
        data: data.clone(),
    };
    for (node, target) in &walk.aliases {
        records.push(record(&owner, &RecordData::Cname((*target).clone())));
        reasons.push(Reason::Exists(node.source.clone()));
        owner = (*target).clone();
    }
    let outcome = match walk.end {
        End::Node(node) => {
            let wanted = node.records.iter().filter(|data| data.record_type() == kind);
            let before = records.len();
            records.extend(wanted.map(|data| record(&owner, data)));
            reasons.push(Reason::Exists(zone.source(&owner, &node)));
            if records.len() > before { Outcome::Found } else { Outcome::NoData }
        }
        End::Missing { .. } => {
            reasons.push(why_missing(zone, walk.block, &owner));
            Outcome::NxDomain
        }
        End::Elsewhere => {
            reasons.push(Reason::OutsideZone { zone: zone.origin().clone() });
            Outcome::Forward
        }
        End::Circle => {
            reasons.push(Reason::Circle);
            Outcome::NoData
        }
    };
    if matches!(outcome, Outcome::NoData | Outcome::NxDomain) {
        records.push(record(&soa_owner(zone, &name), &RecordData::Soa));
    }
    Resolution { name, kind, outcome, records, reasons }
}

/// Why a name of ours does not exist in this block, by the grammar of the specification.
pub(crate) fn why_missing(zone: &Zone, block: Option<usize>, name: &Name) -> Reason {
    let Some(end) = suffix_start(name.as_wire(), zone.origin().as_wire()) else {
        let address = parse_reverse(name.as_wire());
        return address.map_or(Reason::NotOfThisForm, Reason::UnusedAddress);
    };
    let names = zone.cluster_names(block);
    let mut relative = name.as_wire()[..end].to_vec();
    relative.push(0);
    let parts =
        labels(&relative).map(|label| String::from_utf8_lossy(label).into_owned()).collect::<Vec<_>>();
    match parts.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [.., namespace, "svc" | "pod"] if !zone.plan.namespaces.contains(*namespace) => {
            Reason::NoNamespace { namespace: (*namespace).to_owned() }
        }
        [.., namespace, "svc" | "pod"] if !names.is_none_or(|names| names.exposes(namespace)) => {
            Reason::HiddenNamespace { namespace: (*namespace).to_owned() }
        }
        [address, namespace, "pod"] => {
            Reason::NoPod { namespace: (*namespace).to_owned(), address: (*address).to_owned() }
        }
        [_, .., "pin" | "prefer", "_zone", service, namespace, "svc"] => {
            why_no_zone(zone, ServiceName::new(*namespace, *service))
        }
        [rest @ .., service, namespace, "svc"] if rest.len() <= 2 => {
            let service = ServiceName::new(*namespace, *service);
            match names.is_some_and(|names| names.ignore_empty) && zone.is_empty(&service) {
                true => Reason::EmptyService(service),
                false => why_no_service_name(zone, service, rest),
            }
        }
        _ => Reason::NotOfThisForm,
    }
}

/// Why there is no name of a topology zone.
fn why_no_zone(zone: &Zone, service: ServiceName) -> Reason {
    match zone.plan.services.get(&service).map(|entry| &entry.kind) {
        None => no_service(zone, service),
        Some(DnsServiceKind::Headless { .. }) => Reason::ZonesNotAnswered,
        Some(_) => Reason::NotHeadless(service),
    }
}

fn no_service(zone: &Zone, service: ServiceName) -> Reason {
    let same_name = zone.plan.services.keys().filter(|other| other.name == service.name);
    let elsewhere = same_name.map(|other| other.namespace.clone()).collect();
    let labels = zone.plan.settings.kubernetes().and_then(|section| section.labels.as_ref());
    Reason::NoService { service, labels: labels.map(ToString::to_string), elsewhere }
}

fn why_no_service_name(zone: &Zone, service: ServiceName, rest: &[&str]) -> Reason {
    let Some(entry) = zone.plan.services.get(&service) else { return no_service(zone, service) };
    let has_endpoint_names = zone.plan.settings.kubernetes().is_none_or(|section| section.endpoint_names);
    match (&entry.kind, rest) {
        (DnsServiceKind::Headless { .. }, _) | (DnsServiceKind::ClusterIp { .. }, [_])
            if !has_endpoint_names =>
        {
            Reason::EndpointsNotNamed
        }
        (DnsServiceKind::Headless { .. }, _) if entry.endpoints.is_empty() => {
            Reason::NoReadyEndpoint(service)
        }
        (DnsServiceKind::ExternalName { target }, []) => {
            Reason::UnusableExternalName { service, target: target.clone() }
        }
        (_, [hostname]) => Reason::NoEndpoint { service, hostname: (*hostname).to_owned() },
        (_, labels) => Reason::NoPort { service, port: labels.join(".") },
    }
}

impl Resolution {
    /// The last reason: why the question ends as it does.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        self.reasons.last()
    }

    /// Whether the name got as far as an existing Namespace.
    pub(crate) fn has_namespace(&self) -> bool {
        let fails_before = |reason: &Reason| {
            matches!(reason, Reason::NoNamespace { .. } | Reason::NotOfThisForm | Reason::OutsideZone { .. })
        };
        self.reason().is_some_and(|reason| !fails_before(reason))
    }
}

impl Reason {
    /// The object that decides, when it is one.
    #[must_use]
    pub fn object(&self) -> Option<ObjectRef> {
        let service = |name: &ServiceName| Some(ObjectRef::namespaced("Service", name));
        match self {
            Self::Exists(source) => source.object(),
            Self::NoNamespace { namespace }
            | Self::HiddenNamespace { namespace }
            | Self::NoPod { namespace, .. } => Some(ObjectRef::cluster("Namespace", namespace)),
            Self::NoService { service: name, .. }
            | Self::NoReadyEndpoint(name)
            | Self::NotHeadless(name)
            | Self::EmptyService(name)
            | Self::UnusableExternalName { service: name, .. }
            | Self::NoPort { service: name, .. }
            | Self::NoEndpoint { service: name, .. } => service(name),
            Self::UnusedAddress(_)
            | Self::ZonesNotAnswered
            | Self::EndpointsNotNamed
            | Self::NotOfThisForm
            | Self::OutsideZone { .. }
            | Self::Circle => None,
        }
    }

    /// The field of the object that decides; empty when it is the whole object.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Exists(Source::ClusterIp(_) | Source::ReverseService(_)) => "spec.clusterIPs",
            Self::Exists(Source::ExternalName(_)) | Self::UnusableExternalName { .. } => "spec.externalName",
            Self::Exists(Source::Port { .. }) | Self::NoPort { .. } => "spec.ports",
            Self::Exists(Source::Headless(_)) | Self::NoReadyEndpoint(_) | Self::NotHeadless(_) => {
                "spec.clusterIP"
            }
            _ => "",
        }
    }
}

impl Source {
    /// The object that gives the name, when it is one.
    #[must_use]
    pub fn object(&self) -> Option<ObjectRef> {
        match self {
            Self::ClusterIp(name)
            | Self::Headless(name)
            | Self::InZone { service: name, .. }
            | Self::NoneInZone { service: name, .. }
            | Self::OutOfZone { service: name, .. }
            | Self::ExternalName(name)
            | Self::Port { service: name, .. }
            | Self::Endpoint(name)
            | Self::ReverseService(name) => Some(ObjectRef::namespaced("Service", name)),
            Self::ReverseEndpoint(names) => names.first().map(|name| ObjectRef::namespaced("Service", name)),
            Self::Namespace(name) | Self::Pod(name) => Some(ObjectRef::cluster("Namespace", name)),
            Self::Zone | Self::NameServer | Self::Version | Self::Structure => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(source) => write!(f, "{source}"),
            Self::NoNamespace { namespace } => write!(f, "Namespace {namespace} does not exist"),
            Self::HiddenNamespace { namespace } => {
                write!(f, "names of Namespace {namespace} are not answered: {SECTION} says of which they are")
            }
            Self::EmptyService(service) => {
                write!(
                    f,
                    "Service {service} has no ready endpoint, and {SECTION} says `ignore empty_service`"
                )
            }
            Self::EndpointsNotNamed => {
                write!(f, "endpoints and headless Services have no names: {SECTION} says `noendpoints`")
            }
            Self::NoService { service, labels, elsewhere } => {
                let (name, namespace) = (&service.name, &service.namespace);
                write!(f, "Service {name} does not exist in Namespace {namespace}")?;
                if let Some(labels) = labels {
                    write!(f, " with labels {labels}, as {SECTION} wants them")?;
                }
                match elsewhere.as_slice() {
                    [] => Ok(()),
                    [first, ..] => {
                        let places = elsewhere.join(", ");
                        write!(f, "; there is one in {places}: ask for {name}.{first}")
                    }
                }
            }
            Self::NoReadyEndpoint(service) => {
                write!(
                    f,
                    "Service {service} is headless and has no ready endpoint, so its name does not exist"
                )
            }
            Self::NotHeadless(service) => {
                write!(
                    f,
                    "Service {service} is not headless, and only headless Services have names of a zone"
                )
            }
            Self::ZonesNotAnswered => {
                write!(f, "names of a zone are not answered: {SECTION} does not say `zonal`")
            }
            Self::UnusableExternalName { service, target } => {
                write!(f, "Service {service} spec.externalName `{target}` is an address, not a name")
            }
            Self::NoPort { service, port } => {
                write!(f, "Service {service} has no port {port} (the form is _name._protocol)")
            }
            Self::NoEndpoint { service, hostname } => {
                write!(f, "Service {service} has no ready endpoint named {hostname}")
            }
            Self::NoPod { namespace, address } => {
                write!(f, "no Pod of Namespace {namespace} has the address {address}")
            }
            Self::UnusedAddress(address) => {
                write!(f, "{address} is in the cluster's ranges, and no Service or endpoint has it")
            }
            Self::NotOfThisForm => f.write_str("not the form of any name of the cluster domain"),
            Self::OutsideZone { zone } => write!(f, "not in {zone}: asked of the upstream servers"),
            Self::Circle => f.write_str("ExternalName Services lead to each other"),
        }
    }
}
