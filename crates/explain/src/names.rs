//! The first hop: from what was typed to addresses.

use std::net::IpAddr;

use engine_dns::{NameError, Reason, RecordType, Search, SearchEnd, Zone, search};
use plan::{DnsServiceKind, NodePlan};
use types::{ObjectRef, Port, Protocol, ServiceName};

use crate::cluster::{Cluster, Source};
use crate::connect::Attempt;
use crate::explanation::{Conclusion, Hop, Stage};
use crate::policy;
use crate::question::Target;

/// Addresses, and the hops that led to them.
pub(crate) struct Found {
    pub(crate) hops: Vec<Hop>,
    pub(crate) addresses: Vec<IpAddr>,
}

/// No address, and why.
pub(crate) struct Lost {
    pub(crate) hops: Vec<Hop>,
    pub(crate) conclusion: Conclusion,
    pub(crate) why: String,
}

pub(crate) fn resolve(cluster: &Cluster, source: &Source, target: &Target) -> Result<Found, Lost> {
    match target {
        Target::Address(address) => Ok(Found { hops: Vec::new(), addresses: vec![*address] }),
        Target::Pod(pod) => match cluster.pod_address(pod) {
            Some((address, node)) => {
                let hop = Hop::pass(Stage::Name, format!("{address} on Node {node}"));
                let hop = hop.because(Some(ObjectRef::namespaced("Pod", pod)), "status.podIP");
                Ok(Found { hops: vec![hop], addresses: vec![address] })
            }
            None => Err(lost(Hop::stop(Stage::Name, format!("Pod {pod} does not run or has no address")))),
        },
        Target::Service(service) => service_address(cluster, service),
        Target::Name(name) => by_name(cluster, source, name),
        Target::Url(url) => match url.host.parse() {
            Ok(address) => Ok(Found { hops: Vec::new(), addresses: vec![address] }),
            Err(_) => by_name(cluster, source, &url.host)
                .or_else(|lost| entry_address(cluster, source, &url.host).ok_or(lost)),
        },
    }
}

fn lost(hop: Hop) -> Lost {
    Lost { why: hop.text.clone(), hops: vec![hop], conclusion: Conclusion::NoName }
}

fn any_plan<'a>(cluster: &'a Cluster, source: &Source) -> Option<&'a NodePlan> {
    let own = source.node.as_ref().and_then(|node| cluster.plans.get(node));
    own.or_else(|| cluster.plans.values().next())
}

fn service_address(cluster: &Cluster, service: &ServiceName) -> Result<Found, Lost> {
    let object = Some(ObjectRef::namespaced("Service", service));
    let known = cluster.plans.values().next().and_then(|plan| plan.dns.services.get(service));
    match known.map(|service| &service.kind) {
        Some(DnsServiceKind::ClusterIp { addresses, .. }) => {
            let listed: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            let hop = Hop::pass(Stage::Name, listed.join(", ")).because(object, "spec.clusterIPs");
            Ok(Found { hops: vec![hop], addresses: addresses.iter().copied().collect() })
        }
        Some(_) => {
            let text = format!("Service {service} has no address of its own; ask for its name instead");
            Err(lost(Hop::stop(Stage::Name, text).because(object, "spec.clusterIP")))
        }
        None => {
            let mut rules = cluster.plans.values().flat_map(|plan| plan.services.frontends.values());
            let text = match rules.any(|rule| Some(rule.owner_ref()) == object) {
                true => format!("Service {service} is hidden from DNS by the Corefile; ask with its address"),
                false => format!("Service {service} does not exist"),
            };
            Err(lost(Hop::stop(Stage::Name, text)))
        }
    }
}

fn by_name(cluster: &Cluster, source: &Source, name: &str) -> Result<Found, Lost> {
    if name.eq_ignore_ascii_case("localhost") {
        let hop = Hop::pass(Stage::Name, "localhost is the client itself, by its own /etc/hosts");
        return Ok(Found { hops: vec![hop], addresses: vec![IpAddr::from([127, 0, 0, 1])] });
    }
    let Some(plan) = any_plan(cluster, source) else {
        return Err(lost(Hop::stop(Stage::Name, "the cluster has no nodes")));
    };
    let mut hops = dns_access(cluster, source, plan)?;
    let zone = Zone::build(&plan.dns);
    let namespace = source.pod.as_ref().map_or("default", |pod| pod.namespace.as_str());
    // Only Pods have a search path.
    let asked =
        if source.pod.is_some() { name.to_owned() } else { format!("{}.", name.trim_end_matches('.')) };
    let (searched, addresses) = match search_both(&zone, &asked, namespace) {
        Ok(found) => found,
        Err(error) => return Err(lost(Hop::stop(Stage::Name, format!("`{name}` is no DNS name: {error}")))),
    };
    let hop = name_hop(name, &searched, &addresses);
    match searched.end {
        SearchEnd::Found => {
            hops.push(hop);
            Ok(Found { hops, addresses })
        }
        SearchEnd::Forwarded if name.contains('.') && meant(name, &searched).is_none() => {
            let why = format!(
                "{name} is no name of the cluster: the upstream servers are asked, and what they say is not known here"
            );
            hops.push(Hop::pass(Stage::Name, why.clone()));
            Err(Lost { hops, conclusion: Conclusion::LeavesCluster, why })
        }
        SearchEnd::Forwarded | SearchEnd::NotFound => {
            hops.push(Hop { verdict: crate::HopVerdict::Stop, ..hop });
            let why = hops.last().map(|hop| hop.text.clone()).unwrap_or_default();
            Err(Lost { hops, conclusion: Conclusion::NoName, why })
        }
    }
}

/// The addresses of both families, as a resolver asks for them: for each name of the search path A and AAAA, and no
/// further name once one of them is answered.
fn search_both(zone: &Zone, asked: &str, namespace: &str) -> Result<(Search, Vec<IpAddr>), NameError> {
    let four = search(zone, asked, namespace, RecordType::A)?;
    let six = search(zone, asked, namespace, RecordType::AAAA)?;
    let depth = |searched: &Search| match searched.end {
        SearchEnd::Found => searched.attempts.len(),
        SearchEnd::Forwarded | SearchEnd::NotFound => usize::MAX,
    };
    let mut addresses = Vec::new();
    for searched in [&four, &six] {
        if depth(searched) == depth(&four).min(depth(&six)) {
            addresses.extend(searched.addresses());
        }
    }
    Ok((if depth(&six) < depth(&four) { six } else { four }, addresses))
}

fn name_hop(name: &str, searched: &Search, addresses: &[IpAddr]) -> Hop {
    let decisive = searched.decisive();
    let reasons = decisive.map(|resolution| resolution.reasons.as_slice()).unwrap_or_default();
    let told: Vec<_> = reasons.iter().map(ToString::to_string).collect();
    let asked = decisive.map(|resolution| resolution.name.to_string()).unwrap_or_default();
    let text = match searched.end {
        SearchEnd::Found => {
            let listed: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            format!("{name} is {asked}: {} ({})", listed.join(", "), told.join("; "))
        }
        SearchEnd::Forwarded | SearchEnd::NotFound => {
            format!("{name} has no address here: {}", cause(name, searched))
        }
    };
    let decider = if searched.end == SearchEnd::Found { reasons.last() } else { meant(name, searched) };
    Hop::pass(Stage::Name, text)
        .because(decider.and_then(Reason::object), decider.map(Reason::field).unwrap_or_default())
}

/// The reason that says most: that of the attempt a person meant, where the first label is the Service and the second,
/// if there is one, its Namespace.
fn meant<'a>(name: &str, searched: &'a Search) -> Option<&'a Reason> {
    let mut labels = name.split('.');
    let (first, second) = (labels.next(), labels.next());
    searched.attempts.iter().flat_map(|attempt| &attempt.reasons).find(|reason| match reason {
        Reason::NoService { service, .. } => Some(service.name.as_str()) == first,
        Reason::NoNamespace { namespace } => Some(namespace.as_str()) == second,
        Reason::NoReadyEndpoint(_) | Reason::NoPort { .. } | Reason::NoEndpoint { .. } => true,
        _ => false,
    })
}

fn cause(name: &str, searched: &Search) -> String {
    let first = searched.attempts.first().and_then(|attempt| attempt.reasons.last());
    meant(name, searched).or(first).map_or_else(|| "nobody knows it".to_owned(), ToString::to_string)
}

/// Whether the client's Pod may ask the DNS server at all.
fn dns_access(cluster: &Cluster, source: &Source, plan: &NodePlan) -> Result<Vec<Hop>, Lost> {
    let Some(server) = plan.dns.addresses.first().copied() else { return Ok(Vec::new()) };
    let port = Port::new(53).expect("a number above 0");
    let attempt = Attempt { address: server, port, protocol: Protocol::Udp };
    match policy::egress(cluster, source, attempt) {
        Some(hop) if hop.verdict == crate::HopVerdict::Stop => {
            let text = format!("the question to the DNS server {server} is denied: {}", hop.text);
            let hop = Hop { text: text.clone(), ..hop };
            Err(Lost { hops: vec![hop], conclusion: Conclusion::Denied, why: text })
        }
        _ => Ok(Vec::new()),
    }
}

/// Outside, a name that the cluster's DNS does not know is taken to lead to the HTTP entry: who asks about a URL from
/// there means the entry, and whether it serves the host is its own decision.
fn entry_address(cluster: &Cluster, source: &Source, host: &str) -> Option<Found> {
    if source.pod.is_some() {
        return None;
    }
    let plan = cluster.plans.values().find(|plan| !plan.gateway.addresses.is_empty())?;
    let address = *plan.gateway.addresses.first()?;
    let text = format!("{host} is no name of the cluster; taken to lead to the HTTP entry at {address}");
    Some(Found { hops: vec![Hop::pass(Stage::Name, text)], addresses: vec![address] })
}
