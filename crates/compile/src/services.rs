//! Service addresses and ports, and where each leads from this node.

pub(crate) mod claims;
pub(crate) mod scheduling;
pub(crate) mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{EndpointSlice, Pod, Service, Snapshot, TrafficPolicy};
use plan::{
    Backend, EndpointOrigin, Frontend, FrontendAddress, FrontendRule, FrontendScope, Outcome, ServiceTable,
    SourceAddress,
};
use types::{IpFamily, PodName, Port, Prefix, Protocol, Shared, SharedMap};

use crate::NodeContext;
use crate::endpoints::{self, Choice, Place, PortEndpoint, PortKey, SlicesByService};
use crate::findings::Findings;
use crate::pods::PodDirectory;
use crate::{health_checks, host_ports, underlay};
use claims::Claim;

/// What decides where a Service leads, besides the Service and its slices: where this node is, and what Pods there are.
pub(crate) struct Ground<'a> {
    place: Place<'a>,
    node_addresses: &'a BTreeSet<IpAddr>,
    /// Whose labels weights may mean.
    pods: &'a SharedMap<PodName, Pod>,
}

impl<'a> Ground<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, context: &'a NodeContext, table: &'a ServiceTable) -> Self {
        let node = snapshot.nodes.get(&context.node);
        let place = Place { node: &context.node, zone: node.and_then(|node| node.zone.as_deref()) };
        Self { place, node_addresses: &table.node_addresses, pods: &snapshot.pods }
    }
}

/// The table without anything of Services.
pub(crate) fn empty(snapshot: &Snapshot, context: &NodeContext) -> ServiceTable {
    let node = snapshot.nodes.get(&context.node);
    let mut node_addresses: BTreeSet<IpAddr> = underlay::all(snapshot, context).into_iter().collect();
    node_addresses.extend(node.iter().flat_map(|node| &node.addresses));
    ServiceTable {
        frontends: SharedMap::new(),
        node_addresses,
        pod_cidrs: node.iter().flat_map(|node| &node.pod_cidrs).copied().collect(),
        service_cidrs: context.service_cidrs.clone(),
        local_vips: context.dns_addresses.clone(),
        served_elsewhere: SharedMap::new(),
        health_checks: BTreeMap::new(),
    }
}

/// Takes note of the ClusterIPs of a Service that another proxy serves.
pub(crate) fn leave_elsewhere(table: &mut ServiceTable, service: &Service) {
    for address in claims::served_elsewhere(service) {
        let mut services = table.served_elsewhere.get(&address).cloned().unwrap_or_default();
        services.insert(service.name.clone());
        table.served_elsewhere.insert(address, services);
    }
}

/// Forgets them.
pub(crate) fn forget_elsewhere(table: &mut ServiceTable, service: &Service) {
    for address in claims::served_elsewhere(service) {
        let mut services = table.served_elsewhere.get(&address).cloned().unwrap_or_default();
        services.remove(&service.name);
        match services.is_empty() {
            true => drop(table.served_elsewhere.remove(&address)),
            false => drop(table.served_elsewhere.insert(address, services)),
        }
    }
}

pub(crate) fn compile(
    snapshot: &Snapshot,
    slices: SlicesByService<'_>,
    context: &NodeContext,
    pods: &PodDirectory<'_>,
    findings: &mut Findings,
) -> ServiceTable {
    let mut table = empty(snapshot, context);
    snapshot.services.values().for_each(|service| leave_elsewhere(&mut table, service));
    let claims = claims::granted(snapshot, &context.dns_addresses, findings);
    targets::check(snapshot, findings);
    let tcp_port = |port| Some(&claims.get(&node_port(port))?.service.name);
    table.health_checks =
        health_checks::compile(health_checks::wishing(snapshot), tcp_port, slices, &context.node, findings);
    let ground = Ground::new(snapshot, context, &table);
    let rule = |(frontend, claim): (&Frontend, &Claim<'_>)| {
        (*frontend, rule(*frontend, claim, &slices.of(&claim.service.name), &ground))
    };
    let rules = claims.iter().map(rule);
    let mut frontends: SharedMap<Frontend, FrontendRule> = rules.collect();
    host_ports::compile(pods, context, &table.node_addresses, &mut frontends, findings);
    table.frontends = frontends;
    table
}

/// The frontend of a NodePort of TCP.
pub(crate) fn node_port(port: Port) -> Frontend {
    Frontend { address: FrontendAddress::NodePort, protocol: Protocol::Tcp, port }
}

/// The findings alone, for the cluster loop.
pub(crate) fn check(snapshot: &Snapshot, local_vips: &BTreeSet<IpAddr>, findings: &mut Findings) {
    let claims = claims::granted(snapshot, local_vips, findings);
    targets::check(snapshot, findings);
    let tcp_port = |port| Some(&claims.get(&node_port(port))?.service.name);
    health_checks::check(snapshot, tcp_port, findings);
}

/// What becomes of traffic to a frontend that this claim has, by a Service with these slices.
pub(crate) fn rule(
    frontend: Frontend,
    claim: &Claim<'_>,
    slices: &[&EndpointSlice],
    ground: &Ground<'_>,
) -> FrontendRule {
    let Claim { service, port, scope, .. } = *claim;
    let key = PortKey { name: &port.name, protocol: port.protocol };
    let mut programmed = slices.to_vec();
    programmed.retain(|slice| !slice.headless);
    let endpoints = match frontend.address {
        FrontendAddress::Vip(vip) => endpoints::of_port(&programmed, IpFamily::of(vip), key),
        FrontendAddress::NodePort => {
            let families = endpoints::families(&service.cluster_ips).into_iter();
            families.flat_map(|family| endpoints::of_port(&programmed, family, key)).collect()
        }
    };
    let route = Route::of(scope, service);
    let internal = Chosen::new(&endpoints, route.internal.0, ground.place);
    let external = match route.external.0 == internal.policy {
        true => internal.clone(),
        false => Chosen::new(&endpoints, route.external.0, ground.place),
    };
    FrontendRule {
        owner: service.name.clone(),
        port_name: port.name.clone(),
        scope,
        internal: internal.outcome(&endpoints, route.internal.1),
        external: external.outcome(&endpoints, route.external.1),
        affinity_seconds: service.affinity_seconds,
        scheduling: scheduling::of(service, &endpoints, ground.pods),
        source_ranges: source_ranges(frontend, claim, ground.node_addresses),
        endpoints: origin(service, slices),
        candidates: endpoints::candidates(&endpoints, &internal.choice, &external.choice),
    }
}

fn origin(service: &Service, slices: &[&EndpointSlice]) -> EndpointOrigin {
    match service.selector {
        Some(_) => EndpointOrigin::Selector,
        None => EndpointOrigin::Slices(slices.iter().map(|slice| slice.name.name.clone()).collect()),
    }
}

/// Which endpoints and which source address each kind of client gets: the flow matrix of semantics SD1.
struct Route {
    internal: (TrafficPolicy, SourceAddress),
    external: (TrafficPolicy, SourceAddress),
}

impl Route {
    fn of(scope: FrontendScope, service: &Service) -> Self {
        use SourceAddress::{Kept, KeptForPods, Node};
        use TrafficPolicy::{Cluster, Local};
        match (scope, service.internal_policy, service.external_policy) {
            (FrontendScope::ClusterIp, policy, _) => {
                Self { internal: (policy, KeptForPods), external: (policy, Node) }
            }
            (_, _, Cluster) => Self { internal: (Cluster, Node), external: (Cluster, Node) },
            (_, _, Local) => Self { internal: (Cluster, KeptForPods), external: (Local, Kept) },
        }
    }
}

/// Endpoints chosen under one traffic policy.
#[derive(Clone)]
struct Chosen {
    policy: TrafficPolicy,
    choice: Choice,
    usable: Shared<BTreeSet<Backend>>,
}

impl Chosen {
    fn new(endpoints: &[PortEndpoint<'_>], policy: TrafficPolicy, place: Place<'_>) -> Self {
        let choice = match policy {
            TrafficPolicy::Cluster => endpoints::choose_cluster(endpoints, place),
            TrafficPolicy::Local => endpoints::choose_local(endpoints, place),
        };
        let usable = choice.usable(endpoints).into();
        Self { policy, choice, usable }
    }

    /// Refused when there is nothing anywhere (SD3), silent when there is something elsewhere only (SD4).
    fn outcome(&self, endpoints: &[PortEndpoint<'_>], source: SourceAddress) -> Outcome {
        match (self.usable.is_empty(), self.policy) {
            (false, _) => Outcome::Forward { backends: self.usable.clone(), source },
            (true, TrafficPolicy::Local) if endpoints.iter().any(PortEndpoint::is_usable) => Outcome::Drop,
            (true, _) => Outcome::Reject,
        }
    }
}

/// `loadBalancerSourceRanges` of the address's family; none of that family lets every client in, as upstream.
///
/// Where a range covers this node, the LoadBalancer address itself is let in too: a node that talks to the address
/// it holds uses that address as source (semantics SD6).
fn source_ranges(
    frontend: Frontend,
    claim: &Claim<'_>,
    node_addresses: &BTreeSet<IpAddr>,
) -> Option<BTreeSet<Prefix>> {
    let (FrontendScope::LoadBalancer, FrontendAddress::Vip(vip)) = (claim.scope, frontend.address) else {
        return None;
    };
    let all = &claim.service.load_balancer.as_ref()?.source_ranges;
    let family = IpFamily::of(vip);
    let mut ranges: BTreeSet<Prefix> = all.iter().copied().filter(|range| range.family() == family).collect();
    if ranges.is_empty() {
        return None;
    }
    if node_addresses.iter().any(|address| ranges.iter().any(|range| range.contains(*address))) {
        ranges.insert(Prefix::host(vip));
    }
    Some(ranges)
}
