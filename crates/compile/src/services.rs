//! Service addresses and ports, and where each leads from this node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{
    EndpointSlice, IpMode, Pod, Service, ServicePort, ServiceType, Snapshot, TargetPort, TrafficPolicy,
};
use plan::{
    Backend, EndpointOrigin, Frontend, FrontendAddress, FrontendRule, FrontendScope, Outcome, ServiceTable,
    SourceAddress,
};
use types::{IpFamily, LabelSelector, Labels, ObjectRef, Prefix};

use crate::NodeContext;
use crate::endpoints::{self, Choice, Place, PortEndpoint, PortKey, SlicesByService};
use crate::findings::{Findings, error, warning};
use crate::{health_checks, host_ports, underlay};

pub(crate) fn compile(
    snapshot: &Snapshot,
    slices: &SlicesByService<'_>,
    context: &NodeContext,
    findings: &mut Findings,
) -> ServiceTable {
    let node = snapshot.nodes.get(&context.node);
    let place = Place { node: &context.node, zone: node.and_then(|node| node.zone.as_deref()) };
    let mut node_addresses: BTreeSet<IpAddr> = underlay::all(snapshot, context).into_iter().collect();
    node_addresses.extend(node.iter().flat_map(|node| &node.addresses));
    let claims = claims(snapshot, &context.dns_addresses, findings);
    check_targets(snapshot, findings);
    let health_checks = health_checks::compile(snapshot, slices, &context.node, findings);
    let mut frontends = claims
        .into_iter()
        .map(|(frontend, claim)| (frontend, rule(frontend, &claim, slices, place, &node_addresses)))
        .collect();
    host_ports::compile(snapshot, context, &node_addresses, &mut frontends, findings);
    ServiceTable {
        frontends,
        node_addresses,
        pod_cidrs: node.iter().flat_map(|node| &node.pod_cidrs).copied().collect(),
        service_cidrs: context.service_cidrs.clone(),
        local_vips: context.dns_addresses.clone(),
        health_checks,
    }
}

/// The findings alone, for the cluster loop.
pub(crate) fn check(snapshot: &Snapshot, local_vips: &BTreeSet<IpAddr>, findings: &mut Findings) {
    claims(snapshot, local_vips, findings);
    check_targets(snapshot, findings);
    health_checks::check(snapshot, findings);
}

/// A Service port that wants a frontend.
#[derive(Clone, Copy)]
struct Claim<'a> {
    service: &'a Service,
    port: &'a ServicePort,
    scope: FrontendScope,
}

/// Every frontend and the one Service port that has it.
///
/// Of two that want the same, a ClusterIP beats any other scope, and then the lower namespace and name wins.
fn claims<'a>(
    snapshot: &'a Snapshot,
    local_vips: &BTreeSet<IpAddr>,
    findings: &mut Findings,
) -> BTreeMap<Frontend, Claim<'a>> {
    let programmed = || snapshot.services.values().filter(|service| is_programmed(service));
    let mut claims: BTreeMap<Frontend, Claim<'a>> = BTreeMap::new();
    let cluster_ips = programmed().flat_map(|service| claims_of(service, cluster_ip_wishes(service)));
    let others = programmed().flat_map(|service| claims_of(service, other_wishes(service)));
    for (frontend, claim, field) in cluster_ips.chain(others) {
        if let FrontendAddress::Vip(address) = frontend.address
            && local_vips.contains(&address)
        {
            // The Service that stands for the cluster DNS: nodes answer its address themselves.
            continue;
        }
        match claims.get(&frontend) {
            None => {
                claims.insert(frontend, claim);
            }
            Some(owner) => {
                let object = ObjectRef::namespaced("Service", &claim.service.name);
                let message = format!("{frontend} already belongs to Service {}", owner.service.name);
                let reason = match claim.scope {
                    FrontendScope::NodePort => "NodePortConflict",
                    _ => "AddressConflict",
                };
                findings.insert(error(object, field, reason, message));
            }
        }
    }
    claims
}

/// Headless, ExternalName and other proxies' Services have no frontend (semantics SD18).
pub(crate) fn is_programmed(service: &Service) -> bool {
    !service.headless && service.kind != ServiceType::ExternalName && !service.proxied_elsewhere
}

/// An address (or NodePort) a Service wants for all its ports, and the field that says so.
type Wish = (FrontendAddress, FrontendScope, &'static str);

fn cluster_ip_wishes(service: &Service) -> Vec<Wish> {
    let vips = service.cluster_ips.iter();
    vips.map(|vip| (FrontendAddress::Vip(*vip), FrontendScope::ClusterIp, "spec.clusterIPs")).collect()
}

fn other_wishes(service: &Service) -> Vec<Wish> {
    let mut wishes: Vec<Wish> = service
        .external_ips
        .iter()
        .map(|vip| (FrontendAddress::Vip(*vip), FrontendScope::ExternalIp, "spec.externalIPs"))
        .collect();
    if service.load_balancer.is_some() {
        // An address in mode Proxy is taken by a proxy in front, also for traffic from inside (semantics SD7).
        let vips = service.status.iter().filter(|ingress| ingress.mode == IpMode::Vip);
        wishes.extend(vips.map(|ingress| {
            let vip = FrontendAddress::Vip(ingress.address);
            (vip, FrontendScope::LoadBalancer, "status.loadBalancer.ingress")
        }));
    }
    wishes.push((FrontendAddress::NodePort, FrontendScope::NodePort, "spec.ports[].nodePort"));
    wishes
}

fn claims_of<'a>(
    service: &'a Service,
    wishes: Vec<Wish>,
) -> impl Iterator<Item = (Frontend, Claim<'a>, &'static str)> {
    let per_port = move |(address, scope, field): Wish| {
        service.ports.iter().filter_map(move |port| {
            let number = match address {
                FrontendAddress::Vip(_) => port.port,
                FrontendAddress::NodePort => port.node_port?,
            };
            let frontend = Frontend { address, protocol: port.protocol, port: number };
            Some((frontend, Claim { service, port, scope }, field))
        })
    };
    wishes.into_iter().flat_map(per_port)
}

fn rule(
    frontend: Frontend,
    claim: &Claim<'_>,
    slices: &SlicesByService<'_>,
    place: Place<'_>,
    node_addresses: &BTreeSet<IpAddr>,
) -> FrontendRule {
    let Claim { service, port, scope } = *claim;
    let families = match frontend.address {
        FrontendAddress::Vip(vip) => BTreeSet::from([IpFamily::of(vip)]),
        FrontendAddress::NodePort => endpoints::families(&service.cluster_ips),
    };
    let key = PortKey { name: &port.name, protocol: port.protocol };
    let slices = slices.of(&service.name);
    let programmed: Vec<_> = slices.iter().filter(|slice| !slice.headless).copied().collect();
    let endpoints: Vec<_> =
        families.into_iter().flat_map(|family| endpoints::of_port(&programmed, family, key)).collect();
    let route = Route::of(scope, service);
    let internal = Chosen::new(&endpoints, route.internal.0, place);
    let external = Chosen::new(&endpoints, route.external.0, place);
    FrontendRule {
        owner: service.name.clone(),
        port_name: port.name.clone(),
        scope,
        internal: internal.outcome(&endpoints, route.internal.1),
        external: external.outcome(&endpoints, route.external.1),
        affinity_seconds: service.affinity_seconds,
        source_ranges: source_ranges(frontend, claim, node_addresses),
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
struct Chosen {
    policy: TrafficPolicy,
    choice: Choice,
}

impl Chosen {
    fn new(endpoints: &[PortEndpoint<'_>], policy: TrafficPolicy, place: Place<'_>) -> Self {
        let choice = match policy {
            TrafficPolicy::Cluster => endpoints::choose_cluster(endpoints, place),
            TrafficPolicy::Local => endpoints::choose_local(endpoints, place),
        };
        Self { policy, choice }
    }

    /// Refused when there is nothing anywhere (SD3), silent when there is something elsewhere only (SD4).
    fn outcome(&self, endpoints: &[PortEndpoint<'_>], source: SourceAddress) -> Outcome {
        let backends: BTreeSet<Backend> = self.choice.usable.clone();
        let any_usable = endpoints.iter().any(PortEndpoint::is_usable);
        match (backends.is_empty(), self.policy) {
            (false, _) => Outcome::Forward { backends, source },
            (true, TrafficPolicy::Local) if any_usable => Outcome::Drop,
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

/// Selectors that select nothing and port names that no selected Pod has.
fn check_targets(snapshot: &Snapshot, findings: &mut Findings) {
    let pods = PodsByLabel::new(snapshot);
    for service in snapshot.services.values() {
        let Some(labels) = service.selector.as_ref().filter(|_| service.kind != ServiceType::ExternalName)
        else {
            continue;
        };
        let object = || ObjectRef::namespaced("Service", &service.name);
        let selected = pods.select(&service.name.namespace, labels);
        if selected.is_empty() {
            let selector = LabelSelector::from_map(labels);
            let message = format!("no Pod in Namespace {} has labels {selector}", service.name.namespace);
            findings.insert(warning(object(), "spec.selector", "SelectsNoPod", message));
            continue;
        }
        for (index, port) in service.ports.iter().enumerate() {
            let TargetPort::Name(name) = &port.target else { continue };
            if selected.iter().all(|pod| pod.named_port(name, port.protocol).is_none()) {
                let field = format!("spec.ports[{index}].targetPort");
                let message = format!(
                    "no selected Pod has a container port named `{name}` with protocol {}",
                    port.protocol
                );
                findings.insert(error(object(), field, "TargetPortNotFound", message));
            }
        }
    }
}

/// Pods by Namespace and each of their labels, so that 10 000 Services need not look at every Pod each.
struct PodsByLabel<'a>(BTreeMap<(&'a str, &'a str, &'a str), Vec<&'a Pod>>);

impl<'a> PodsByLabel<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let mut index: BTreeMap<_, Vec<&Pod>> = BTreeMap::new();
        for pod in snapshot.pods.values().filter(|pod| !pod.finished) {
            for (key, value) in &pod.labels {
                index.entry((&*pod.name.namespace, &**key, &**value)).or_default().push(pod);
            }
        }
        Self(index)
    }

    /// The Pods with all of these labels, of which there is at least one.
    fn select(&self, namespace: &str, labels: &Labels) -> Vec<&'a Pod> {
        let mut labels = labels.iter();
        let Some((key, value)) = labels.next() else { return Vec::new() };
        let candidates = self.0.get(&(namespace, &**key, &**value)).map(Vec::as_slice).unwrap_or_default();
        let has_rest = |pod: &&&Pod| labels.clone().all(|(key, value)| pod.labels.get(key) == Some(value));
        candidates.iter().filter(has_rest).copied().collect()
    }
}
