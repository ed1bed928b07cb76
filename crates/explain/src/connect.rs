//! From an address to where the connection ends: Service, policy, route.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use plan::{
    Backend, Candidate, Choice, EndpointOrigin, Exclusion, Frontend, FrontendAddress, FrontendRule,
    FrontendScope, NodePlan, Outcome, Scheduling, Share, SourceAddress, Via,
};
use types::{IpFamily, NamespacedName, NetworkMode, NodeName, ObjectRef, POD_BRIDGE, Port, Protocol};

use crate::cluster::{Cluster, Source};
use crate::entry;
use crate::explanation::{Conclusion, Explanation, Hop, HopVerdict, Stage};
use crate::policy;
use crate::question::Url;

/// One connection attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) address: IpAddr,
    pub(crate) port: Port,
    pub(crate) protocol: Protocol,
}

/// Follows a connection from its first packet to its end.
pub(crate) fn follow(
    cluster: &Cluster,
    source: &Source,
    attempt: Attempt,
    url: Option<&Url>,
    explanation: &mut Explanation,
) {
    if attempt.address.is_loopback() {
        let text = format!(
            "{} is the client itself; whether it listens on {} is not known here",
            attempt.address, attempt.port
        );
        explanation.hops.push(Hop::pass(Stage::Route, text.clone()));
        return explanation.conclude(Conclusion::ReachesNode, text);
    }
    let Some(plan) = cluster.deciding_plan(source, attempt.address) else {
        return explanation.conclude(Conclusion::Dropped, "the cluster has no nodes".to_owned());
    };
    // A node's own address is decided by that node, whoever asks; the client's node sees it as it is.
    let plan = cluster.node_at(attempt.address).unwrap_or(plan);
    if let Some(hop) = tunnel_guard(cluster, source, attempt) {
        let why = hop.text.clone();
        explanation.hops.push(hop);
        return explanation.conclude(Conclusion::Dropped, why);
    }
    let mut way = Way { source, is_past_egress: false };
    let is_elsewhere = source.pod.is_some() && source.node.as_ref() != Some(&plan.node);
    if is_elsewhere && way.denies_egress(cluster, attempt, explanation) {
        return;
    }
    if let Some((frontend, rule)) = frontend(plan, attempt) {
        return service(cluster, &way, plan, (&frontend, rule), explanation);
    }
    if plan.services.local_vips.contains(&attempt.address) {
        if !way.denies_egress(cluster, attempt, explanation) {
            node_server(plan, attempt, explanation);
        }
        return;
    }
    if let Some(services) = plan.services.served_elsewhere.get(&attempt.address) {
        let names: Vec<String> = services.iter().map(ToString::to_string).collect();
        let text = format!("Service {} is served by another proxy; see its rules", names.join(", "));
        explanation.hops.push(Hop::pass(Stage::Service, text.clone()));
        return explanation.conclude(Conclusion::ReachesNode, text);
    }
    if plan.services.service_cidrs.iter().any(|range| range.contains(attempt.address)) {
        return unused_service_address(plan, attempt, explanation);
    }
    if cluster.plans.values().any(|plan| plan.lb.announce.contains_key(&attempt.address)) {
        if way.denies_egress(cluster, attempt, explanation) {
            return;
        }
        return unused_service_address(plan, attempt, explanation);
    }
    if let Some(entry_plan) = cluster.node_at(attempt.address) {
        if let Some(url) = url.filter(|_| entry::is_entry(&entry_plan.gateway, attempt)) {
            return entry::follow(cluster, entry_plan, url, explanation);
        }
        if way.denies_egress(cluster, attempt, explanation) {
            return;
        }
        let text = if entry::is_entry(&entry_plan.gateway, attempt) {
            let node = &entry_plan.node;
            format!(
                "{}:{} is the HTTP entry of Node {node}; ask with a URL to see what answers",
                attempt.address, attempt.port
            )
        } else {
            format!("{} is Node {}; no Service has this port", attempt.address, entry_plan.node)
        };
        explanation.hops.push(Hop::pass(Stage::Route, text.clone()));
        return explanation.conclude(Conclusion::ReachesNode, text);
    }
    let backend = Backend { address: attempt.address, port: attempt.port };
    let sending = source.address.and_then(|address| cluster.node_at(address));
    let seen = sending.and_then(|node| node_source(cluster, node, backend.address)).or(source.address);
    let ends = vec![reach(cluster, &way, seen, (&backend, attempt.protocol))];
    conclude(ends, explanation);
}

/// A Pod's packets to the tunnel's port of a node, which its own node drops (`guard-tunnel` in `ruleset/src/fixed.nft`).
fn tunnel_guard(cluster: &Cluster, source: &Source, attempt: Attempt) -> Option<Hop> {
    let (pod, node) = (source.pod.as_ref()?, source.node.as_ref()?);
    let aim = SocketAddr::new(attempt.address, attempt.port.number());
    let is_tunnel =
        attempt.protocol == Protocol::Udp && cluster.plans.get(node)?.tunnel_ends().contains(&aim);
    let end = cluster.node_at(attempt.address).filter(|_| is_tunnel)?;
    let text = format!(
        "Node {node} drops what Pod {pod} sends to port {}/UDP of Node {}: the tunnel is the nodes' own",
        attempt.port, end.node
    );
    Some(Hop::stop(Stage::Route, text).because(Some(ObjectRef::cluster("Node", node.as_str())), ""))
}

/// A client, and how far its packets have come.
struct Way<'a> {
    source: &'a Source,
    /// Whether its own policies were asked already, about the address before translation on another node.
    is_past_egress: bool,
}

impl Way<'_> {
    /// Asks the client's own policies about an address, once; whether they end it here.
    fn denies_egress(&mut self, cluster: &Cluster, attempt: Attempt, explanation: &mut Explanation) -> bool {
        if self.is_past_egress {
            return false;
        }
        self.is_past_egress = true;
        let hop = policy::egress(cluster, self.source, attempt);
        let stops = hop.as_ref().is_some_and(|hop| hop.verdict == HopVerdict::Stop);
        explanation.hops.extend(hop);
        if stops {
            explanation.conclude(Conclusion::Denied, told_denial(explanation));
        }
        stops
    }
}

fn frontend(plan: &NodePlan, attempt: Attempt) -> Option<(Frontend, &FrontendRule)> {
    let mut addresses = vec![FrontendAddress::Vip(attempt.address)];
    if plan.services.node_addresses.contains(&attempt.address) {
        addresses.push(FrontendAddress::NodePort);
    }
    addresses.into_iter().find_map(|address| {
        let frontend = Frontend { address, protocol: attempt.protocol, port: attempt.port };
        plan.services.frontends.get(&frontend).map(|rule| (frontend, rule))
    })
}

fn node_server(plan: &NodePlan, attempt: Attempt, explanation: &mut Explanation) {
    let text = format!("{} is answered by the DNS server of Node {} itself", attempt.address, plan.node);
    explanation.hops.push(Hop::pass(Stage::Service, text.clone()));
    explanation.conclude(Conclusion::ReachesNode, text);
}

/// An address of the Service range that no Service has at this port.
fn unused_service_address(plan: &NodePlan, attempt: Attempt, explanation: &mut Explanation) {
    let frontends = plan.services.frontends.iter();
    let at_address: Vec<_> =
        frontends.filter(|(frontend, _)| frontend.address == FrontendAddress::Vip(attempt.address)).collect();
    let ports: Vec<_> =
        at_address.iter().map(|(frontend, _)| format!("{}/{}", frontend.port, frontend.protocol)).collect();
    let Some((_, rule)) = at_address.into_iter().next() else {
        let text = format!("{} is in the Service range, and no Service has it", attempt.address);
        explanation.hops.push(Hop::stop(Stage::Service, text.clone()));
        return explanation.conclude(Conclusion::Dropped, text);
    };
    let text = format!(
        "{} has no port {}/{}; it has {}",
        rule.owner_ref(),
        attempt.port,
        attempt.protocol,
        ports.join(", ")
    );
    let object = Some(rule.owner_ref());
    explanation.hops.push(Hop::stop(Stage::Service, text.clone()).because(object, "spec.ports"));
    explanation.conclude(Conclusion::Refused, text);
}

fn service(
    cluster: &Cluster,
    way: &Way<'_>,
    plan: &NodePlan,
    (frontend, rule): (&Frontend, &FrontendRule),
    explanation: &mut Explanation,
) {
    let (object, field) = decider(rule);
    let source = way.source;
    let is_internal = is_internal(plan, source);
    if let Some(hop) = source_range_hop(source, rule) {
        let why = hop.text.clone();
        explanation.hops.push(hop);
        return explanation.conclude(Conclusion::Dropped, why);
    }
    let outcome = if is_internal { &rule.internal } else { &rule.external };
    let left_out = left_out(rule, is_internal);
    let what = match rule.scope {
        FrontendScope::HostPort => {
            format!("port {}/{} of Node {}", frontend.port, frontend.protocol, plan.node)
        }
        _ => frontend.to_string(),
    };
    let what = format!("{what} is {} of {}", scope(rule), rule.owner_ref());
    match outcome {
        Outcome::Forward { backends, source: seen } => {
            let chosen = rule.scheduling.weights(backends);
            let how = how_chosen(&rule.scheduling);
            let text = format!("{what}: one of {} backends, {how}{left_out}", chosen.len());
            explanation.hops.push(Hop::pass(Stage::Service, text).because(object, field));
            let ends = chosen
                .into_keys()
                .map(|backend| {
                    let seen = seen_source(cluster, source, plan, *seen, backend);
                    reach(cluster, way, seen, (backend, frontend.protocol))
                })
                .collect();
            conclude(ends, explanation);
        }
        Outcome::Reject => {
            let text = format!("{what}, which has no ready endpoint{left_out}: refused");
            let (object, field) = endpoint_decider(rule);
            explanation.hops.push(Hop::stop(Stage::Service, text.clone()).because(object, field));
            explanation.conclude(Conclusion::Refused, text);
        }
        Outcome::Drop => {
            let field = if is_internal { "spec.internalTrafficPolicy" } else { "spec.externalTrafficPolicy" };
            let text = format!("{what}, which has no endpoint on Node {}{left_out}: dropped", plan.node);
            let object = rule.owner_ref();
            explanation.hops.push(Hop::stop(Stage::Service, text.clone()).because(Some(object), field));
            explanation.conclude(Conclusion::Dropped, text);
        }
    }
}

/// Follows connections from a node's own process to each of some backends.
pub(crate) fn reach_all<'a>(
    cluster: &Cluster,
    source: &Source,
    plan: &NodePlan,
    backends: impl Iterator<Item = &'a Backend>,
    explanation: &mut Explanation,
) {
    let way = Way { source, is_past_egress: false };
    let ends = backends.map(|backend| {
        let seen = seen_source(cluster, source, plan, SourceAddress::Node, backend);
        reach(cluster, &way, seen, (backend, Protocol::Tcp))
    });
    conclude(ends.collect(), explanation);
}

fn is_internal(plan: &NodePlan, source: &Source) -> bool {
    match source.address {
        Some(address) => {
            plan.services.pod_cidrs.iter().any(|range| range.contains(address))
                || source.node.as_ref() == Some(&plan.node)
        }
        None => false,
    }
}

fn source_range_hop(source: &Source, rule: &FrontendRule) -> Option<Hop> {
    let ranges = rule.source_ranges.as_ref()?;
    let address = source.address?;
    if ranges.iter().any(|range| range.contains(address)) {
        return None;
    }
    let listed: Vec<_> = ranges.iter().map(ToString::to_string).collect();
    let text = format!("{address} is in none of the ranges {} that may come in", listed.join(", "));
    let object = rule.owner_ref();
    Some(Hop::stop(Stage::Service, text).because(Some(object), "spec.loadBalancerSourceRanges"))
}

fn scope(rule: &FrontendRule) -> &'static str {
    match rule.scope {
        FrontendScope::ClusterIp => "the cluster address",
        FrontendScope::NodePort => "a node port",
        FrontendScope::LoadBalancer => "the load balancer address",
        FrontendScope::ExternalIp => "an external address",
        FrontendScope::HostPort => "a host port",
    }
}

/// How one of several backends is chosen, and how uneven the choice is.
fn how_chosen(scheduling: &Scheduling) -> String {
    let how = match scheduling.by {
        Choice::Random => "at random",
        Choice::SourceHash => "by the client's address",
    };
    let share = |share: &Share| format!("{} for {}", share.weight, share.group);
    match scheduling.shares.as_slice() {
        [] => how.to_owned(),
        shares => format!("{how}, with weights {}", shares.iter().map(share).collect::<Vec<_>>().join(", ")),
    }
}

/// What makes a frontend lead to its backends.
fn decider(rule: &FrontendRule) -> (Option<ObjectRef>, &'static str) {
    let of_owner = |field| (Some(rule.owner_ref()), field);
    match rule.scope {
        FrontendScope::ClusterIp => endpoint_decider(rule),
        FrontendScope::NodePort => of_owner("spec.ports[].nodePort"),
        FrontendScope::LoadBalancer => of_owner("status.loadBalancer"),
        FrontendScope::ExternalIp => of_owner("spec.externalIPs"),
        FrontendScope::HostPort => of_owner("spec.containers[].ports[].hostPort"),
    }
}

/// What decides which endpoints there are; of several EndpointSlices kept by hand, the first stands for all.
fn endpoint_decider(rule: &FrontendRule) -> (Option<ObjectRef>, &'static str) {
    if let EndpointOrigin::Slices(names) = &rule.endpoints
        && let Some(name) = names.first()
    {
        let slice = NamespacedName::new(rule.owner.namespace.as_str(), name.as_str());
        return (Some(ObjectRef::namespaced("EndpointSlice", &slice)), "endpoints");
    }
    // Without a selector and without a slice, it is the missing selector that leaves it empty.
    (Some(rule.owner_ref()), "spec.selector")
}

/// Endpoints that exist and are not used, each with its reason.
fn left_out(rule: &FrontendRule, is_internal: bool) -> String {
    let told: Vec<_> = rule
        .candidates
        .iter()
        .filter_map(|candidate| {
            let excluded =
                if is_internal { candidate.excluded_internal } else { candidate.excluded_external };
            Some(format!("{} ({})", candidate_name(candidate), exclusion(excluded?)))
        })
        .collect();
    if told.is_empty() { String::new() } else { format!("; not {}", told.join(", ")) }
}

fn candidate_name(candidate: &Candidate) -> String {
    candidate.pod.as_ref().map_or_else(|| candidate.backend.to_string(), |pod| format!("Pod {pod}"))
}

fn exclusion(exclusion: Exclusion) -> &'static str {
    match exclusion {
        Exclusion::NotReady => "not ready",
        Exclusion::Terminating => "terminating",
        Exclusion::OtherNode => "on another node",
        Exclusion::OtherZone => "in another zone",
    }
}

/// The source address that policy at the backend sees. On the translating node itself policy looks before the
/// translation, so there it is still the client's.
fn seen_source(
    cluster: &Cluster,
    source: &Source,
    plan: &NodePlan,
    seen: SourceAddress,
    backend: &Backend,
) -> Option<IpAddr> {
    let is_pod = source
        .address
        .is_some_and(|address| plan.services.pod_cidrs.iter().any(|range| range.contains(address)));
    let is_kept = match seen {
        // A Pod that reaches itself sees the translating node.
        _ if source.address == Some(backend.address) => false,
        SourceAddress::Kept => true,
        SourceAddress::KeptForPods => is_pod,
        SourceAddress::Node => false,
    };
    let is_here = cluster.pod_at(backend.address).is_some_and(|(_, node)| *node == plan.node);
    if is_kept || is_here {
        return source.address;
    }
    node_source(cluster, plan, backend.address)
}

/// The address that a node's own packets to an address carry: the tunnel's when they go through it.
fn node_source(cluster: &Cluster, plan: &NodePlan, address: IpAddr) -> Option<IpAddr> {
    let family = IpFamily::of(address);
    let peer = cluster.pod_at(address).and_then(|(_, node)| plan.podnet.peers.get(node));
    let path = peer.and_then(|peer| peer.path_to(address));
    let is_tunnelled = path.is_some_and(|path| matches!(path.via, Via::Vxlan { .. }));
    let tunnel = plan.podnet.vxlan.as_ref().filter(|_| is_tunnelled);
    let own = plan.services.node_addresses.iter().copied().find(|own| IpFamily::of(*own) == family);
    tunnel.and_then(|vxlan| vxlan.address(family)).or(own)
}

/// How the way to one backend ends.
struct End {
    backend: String,
    hops: Vec<Hop>,
    kind: EndKind,
}

enum EndKind {
    Reached,
    Denied,
    Left,
}

/// Policy on both sides, and the route between them.
fn reach(
    cluster: &Cluster,
    way: &Way<'_>,
    seen: Option<IpAddr>,
    (backend, protocol): (&Backend, Protocol),
) -> End {
    let attempt = Attempt { address: backend.address, port: backend.port, protocol };
    let source = way.source;
    if let Some(hop) = tunnel_guard(cluster, source, attempt) {
        let backend = format!("{backend} ({})", cluster.describe(backend.address));
        return End { backend, hops: vec![hop], kind: EndKind::Denied };
    }
    let egress = if way.is_past_egress { None } else { policy::egress(cluster, source, attempt) };
    let mut hops: Vec<_> = egress.into_iter().collect();
    let mut kind = EndKind::Reached;
    if !hops.iter().any(|hop| hop.verdict == HopVerdict::Stop) {
        hops.extend(policy::ingress(cluster, source, seen, attempt));
    }
    if hops.iter().any(|hop| hop.verdict == HopVerdict::Stop) {
        kind = EndKind::Denied;
    } else if let Some(hop) = route(cluster, source, backend.address) {
        if hop.verdict == HopVerdict::Stop {
            kind = EndKind::Denied;
        }
        hops.push(hop);
        hops.extend(narrowness(cluster, source, backend.address));
    } else {
        let plan = source.node.as_ref().and_then(|node| cluster.plans.get(node));
        // What is no Pod has its node's address anyhow, and where a client outside enters is not known.
        let is_kept = source.pod.is_some()
            && plan
                .zip(source.address)
                .is_some_and(|(plan, address)| !plan.podnet.masquerade.translates(address, backend.address));
        let whose =
            if is_kept { "their own address, which is not masqueraded" } else { "the node's address" };
        let text = format!("{} is outside the cluster; packets leave with {whose}", backend.address);
        hops.push(Hop::pass(Stage::Route, text));
        kind = EndKind::Left;
    }
    End { backend: format!("{backend} ({})", cluster.describe(backend.address)), hops, kind }
}

/// How packets get to an address of the cluster; `None` for others.
fn route(cluster: &Cluster, source: &Source, address: IpAddr) -> Option<Hop> {
    let there = cluster.pod_at(address).map(|(_, node)| node.clone());
    let there: NodeName = there.or_else(|| cluster.node_at(address).map(|plan| plan.node.clone()))?;
    let Some(here) = &source.node else {
        return Some(Hop::pass(Stage::Route, format!("to Node {there}")));
    };
    let bridge_here = source.pod.is_some().then(|| bridge(cluster, here)).flatten();
    let bridge_there = cluster.pod_at(address).and_then(|(_, node)| bridge(cluster, node));
    if *here == there {
        let through = bridge_here
            .or(bridge_there)
            .map(|link| format!(", which joins new Pods by its bridge {link}"))
            .unwrap_or_default();
        return Some(Hop::pass(Stage::Route, format!("on Node {here} itself{through}")));
    }
    let podnet = &cluster.plans.get(here)?.podnet;
    let peer = podnet.peers.get(&there);
    let how = match peer.and_then(|peer| Some((peer, peer.path_to(address)?.via))) {
        Some((peer, Via::Vxlan { .. })) => format!("through VXLAN to {}", peer.underlay),
        Some((_, Via::Direct { nexthop })) => format!("by a direct route through {nexthop}"),
        // Nodes reach each other's own addresses by the network between them.
        None if cluster.node_at(address).is_some() => format!("by the network of the nodes to {address}"),
        None => return Some(Hop::stop(Stage::Route, format!("Node {here} has no route to Node {there}"))),
    };
    let ways = [
        Some(how),
        bridge_here.map(|link| format!("Node {here} joins new Pods by its bridge {link}")),
        bridge_there.map(|link| format!("Node {there} joins new Pods by its bridge {link}")),
    ];
    let how = ways.into_iter().flatten().collect::<Vec<_>>().join(", ");
    Some(
        Hop::pass(Stage::Route, format!("from Node {here} to Node {there}, {how}"))
            .because(Some(ObjectRef::cluster("Node", there.as_str())), "spec.podCIDR"),
    )
}

/// The bridge that a node joins new Pods by. Which way a Pod that runs was joined is not known here.
fn bridge(cluster: &Cluster, node: &NodeName) -> Option<&'static str> {
    let mode = cluster.plans.get(node)?.podnet.link.mode;
    (mode == NetworkMode::Bridge).then_some(POD_BRIDGE)
}

/// What probing has shown to be wrong with the way to an address, or with the way back.
fn narrowness(cluster: &Cluster, source: &Source, address: IpAddr) -> Option<Hop> {
    let here = source.node.as_ref()?;
    let there = cluster.pod_at(address).map(|(_, node)| node)?;
    let failing = |from: &NodeName, to: &NodeName| cluster.plans.get(from)?.podnet.peers.get(to)?.failing;
    let worst =
        [failing(here, there), failing(there, here)].into_iter().flatten().min_by_key(|path| path.passes)?;
    let between = format!("between Node {here} and Node {there}");
    let text = match worst.passes {
        Some(passes) => format!(
            "connects, but packets above {passes} bytes are lost {between}, and Pods send up to {}",
            worst.sends
        ),
        None => format!("probes are not answered {between}: likely nothing gets there"),
    };
    Some(Hop::warn(Stage::Route, text))
}

/// Sums up the ways to all backends: equal hops are told once.
fn conclude(ends: Vec<End>, explanation: &mut Explanation) {
    let mut told: Vec<Hop> = Vec::new();
    let (mut reached, mut denied, mut left) = (BTreeSet::new(), BTreeSet::new(), false);
    for end in ends {
        for hop in end.hops {
            if !told.contains(&hop) {
                told.push(hop);
            }
        }
        match end.kind {
            EndKind::Reached => reached.insert(end.backend),
            EndKind::Denied => denied.insert(end.backend),
            EndKind::Left => {
                left = true;
                reached.insert(end.backend)
            }
        };
    }
    explanation.hops.extend(told);
    if reached.is_empty() {
        return explanation.conclude(Conclusion::Denied, told_denial(explanation));
    }
    if denied.is_empty() {
        if left {
            let all: Vec<_> = reached.into_iter().collect();
            return explanation.conclude(Conclusion::LeavesCluster, format!("reaches {}", all.join(", ")));
        }
        let summary = format!("reaches {}", one_of(&reached));
        return explanation.conclude(Conclusion::Reaches { backends: reached }, summary);
    }
    let summary = format!("reaches {} but is denied at {}", one_of(&reached), one_of(&denied));
    explanation.conclude(Conclusion::ReachesSome { backends: reached, denied }, summary);
}

/// The only backend by name, several by their number: the conclusion lists them.
fn one_of(backends: &BTreeSet<String>) -> String {
    match backends.first() {
        Some(only) if backends.len() == 1 => only.clone(),
        _ => format!("one of {} backends", backends.len()),
    }
}

/// The sentence of the hop that stopped it.
fn told_denial(explanation: &Explanation) -> String {
    let stop = explanation.hops.iter().find(|hop| hop.verdict == HopVerdict::Stop);
    stop.map_or_else(|| "denied".to_owned(), |hop| format!("denied, no answer: {}", hop.text))
}
