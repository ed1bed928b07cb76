//! What becomes of a connection, worked out from the plans of all nodes in the plainest way.
//!
//! The oracle of the scenario runners: the ruleset's trace and real packets must come to the same.

use std::collections::BTreeSet;
use std::net::IpAddr;

use engine_policy::{Connection, Decision, verdict};
use plan::{
    Backend, Frontend, FrontendAddress, FrontendRule, FrontendScope, NodePlan, Outcome, SourceAddress, Via,
};
use types::{IpFamily, NamespacedName, PodName, Protocol};

use crate::world::{ResolvedProbe, World};

/// One thing that may become of a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It arrives.
    Reached {
        /// Where.
        backend: Backend,
        /// The Pod there.
        pod: Option<PodName>,
        /// What that end sees as source.
        source: Seen,
    },
    /// Refused at once.
    Refused,
    /// Dropped, and nobody says so.
    Dropped,
    /// Dropped by NetworkPolicy.
    Denied(BTreeSet<NamespacedName>),
}

impl Fate {
    /// The same fate as a client or a rule sees it, who are not told which policy drops.
    #[must_use]
    pub fn without_reason(self) -> Self {
        match self {
            Self::Denied(_) => Self::Dropped,
            other => other,
        }
    }
}

/// What the reached end sees as source address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// The client's own address.
    Client,
    /// The address of the node that translated.
    Node,
}

/// Everything that may become of a probe: one fate per backend.
#[must_use]
pub fn walk(world: &World, probe: &ResolvedProbe) -> BTreeSet<Fate> {
    let Some(entry) = world.plans.get(&probe.entry) else { return BTreeSet::from([Fate::Dropped]) };
    match find_frontend(entry, probe.destination, probe.protocol, probe.port) {
        Some(rule) => through_service(world, entry, probe, rule),
        None => match other_node(world, entry, probe.destination) {
            Some(node) => at_other_node(world, entry, node, probe),
            None => BTreeSet::from([without_service(world, entry, probe)]),
        },
    }
}

/// Another node than the entry, that has this address.
fn other_node<'a>(world: &'a World, entry: &NodePlan, address: IpAddr) -> Option<&'a NodePlan> {
    let mut others = world.plans.values().filter(|plan| plan.node != entry.node);
    others.find(|plan| plan.services.node_addresses.contains(&address))
}

/// A NodePort of another node: the client's own node only sees that node's address, and asks its egress policy about
/// that; the other node translates.
fn at_other_node(world: &World, entry: &NodePlan, node: &NodePlan, probe: &ResolvedProbe) -> BTreeSet<Fate> {
    let leaving = Connection {
        source: probe.source,
        destination: probe.destination,
        protocol: probe.protocol,
        port: probe.port,
    };
    let denials = denials(&verdict(Some(&entry.policy), None, &leaving, &BTreeSet::new()));
    match denials.is_empty() {
        true => walk(world, &ResolvedProbe { entry: node.node.clone(), ..probe.clone() }),
        false => BTreeSet::from([Fate::Denied(denials)]),
    }
}

fn denials(decision: &Decision) -> BTreeSet<NamespacedName> {
    let denied = decision.denials().filter_map(|opinion| opinion.outcome.as_ref().err());
    denied.flatten().cloned().collect()
}

fn find_frontend(
    entry: &NodePlan,
    destination: IpAddr,
    protocol: Protocol,
    port: types::Port,
) -> Option<&FrontendRule> {
    let table = &entry.services;
    let vip = Frontend { address: FrontendAddress::Vip(destination), protocol, port };
    let node_port = Frontend { address: FrontendAddress::NodePort, protocol, port };
    let on_node = table.node_addresses.contains(&destination);
    table.frontends.get(&vip).or_else(|| table.frontends.get(&node_port).filter(|_| on_node))
}

fn through_service(
    world: &World,
    entry: &NodePlan,
    probe: &ResolvedProbe,
    rule: &FrontendRule,
) -> BTreeSet<Fate> {
    let let_in = rule
        .source_ranges
        .as_ref()
        .is_none_or(|ranges| ranges.iter().any(|range| range.contains(probe.source)));
    if !let_in {
        return BTreeSet::from([Fate::Dropped]);
    }
    let from_pod = entry.services.pod_cidrs.iter().any(|cidr| cidr.contains(probe.source));
    let from_here = entry.services.node_addresses.contains(&probe.source);
    let outcome = if from_pod || from_here { &rule.internal } else { &rule.external };
    match outcome {
        Outcome::Reject => BTreeSet::from([Fate::Refused]),
        Outcome::Drop => BTreeSet::from([Fate::Dropped]),
        Outcome::Forward { backends, source } => rule
            .scheduling
            .weights(backends)
            .into_keys()
            .map(|backend| {
                let hairpin = backend.address == probe.source;
                let seen = match source {
                    _ if hairpin => Seen::Node,
                    SourceAddress::Kept => Seen::Client,
                    SourceAddress::KeptForPods if from_pod => Seen::Client,
                    SourceAddress::KeptForPods | SourceAddress::Node => Seen::Node,
                };
                arrive(world, entry, probe, backend, seen)
            })
            .collect(),
    }
}

/// No frontend: a ClusterIP's other port is refused, an unknown address of the Service range dropped (semantics SD5).
fn without_service(world: &World, entry: &NodePlan, probe: &ResolvedProbe) -> Fate {
    let table = &entry.services;
    let backend = Backend { address: probe.destination, port: probe.port };
    let is_cluster_ip = table.frontends.iter().any(|(frontend, rule)| {
        rule.scope == FrontendScope::ClusterIp && frontend.address == FrontendAddress::Vip(probe.destination)
    });
    if is_cluster_ip {
        return Fate::Refused;
    }
    let is_others = table.local_vips.contains(&probe.destination)
        || table.served_elsewhere.contains_key(&probe.destination);
    if !is_others && table.service_cidrs.iter().any(|cidr| cidr.contains(probe.destination)) {
        return Fate::Dropped;
    }
    let fate = arrive(world, entry, probe, &backend, Seen::Client);
    let is_announced = world.plans.values().any(|plan| plan.lb.announce.contains_key(&probe.destination));
    match fate {
        // The node that holds a LoadBalancer address has no program listening on it.
        Fate::Reached { .. } if is_announced => Fate::Refused,
        fate => fate,
    }
}

/// Past address translation: the policies of both ends.
fn arrive(world: &World, entry: &NodePlan, probe: &ResolvedProbe, backend: &Backend, seen: Seen) -> Fate {
    let home = world.home_of(backend.address);
    let leaves_cluster = {
        let masquerade = &entry.podnet.masquerade;
        masquerade.translates(probe.source, backend.address)
            && !entry.podnet.local_addresses.contains_key(&backend.address)
    };
    let seen = if leaves_cluster { Seen::Node } else { seen };
    // A node judges what it forwards before it hides the client behind its own address.
    let is_here = home.is_some_and(|home| home.node == entry.node);
    // A node's own packets carry another address when they go through a tunnel.
    let from_here = entry.services.node_addresses.contains(&probe.source);
    let translated = match seen {
        Seen::Node if !is_here => node_source(entry, home, backend.address),
        Seen::Client if from_here && !is_here => node_source(entry, home, backend.address),
        Seen::Client | Seen::Node => probe.source,
    };
    let at_source = Connection {
        source: probe.source,
        destination: backend.address,
        protocol: probe.protocol,
        port: backend.port,
    };
    let at_destination = Connection { source: translated, ..at_source };
    let own_addresses = |plan: &NodePlan| {
        let mut addresses = plan.services.node_addresses.clone();
        addresses.extend(plan.podnet.vxlan.iter().flat_map(|vxlan| &vxlan.addresses));
        addresses
    };
    let egress = verdict(Some(&entry.policy), None, &at_source, &BTreeSet::new());
    let ingress = match home {
        Some(plan) => verdict(None, Some(&plan.policy), &at_destination, &own_addresses(plan)),
        None => verdict(None, None, &at_destination, &BTreeSet::new()),
    };
    let mut denied = denials(&egress);
    denied.extend(denials(&ingress));
    if !denied.is_empty() {
        return Fate::Denied(denied);
    }
    Fate::Reached {
        backend: backend.clone(),
        pod: home.and_then(|plan| plan.podnet.local_pods.get(&backend.address).cloned()),
        source: seen,
    }
}

/// The address a node's own packets carry: on the underlay, or the tunnel's when they go through it.
pub(crate) fn node_source(entry: &NodePlan, home: Option<&NodePlan>, destination: IpAddr) -> IpAddr {
    let family = IpFamily::of(destination);
    let peer = home.and_then(|home| entry.podnet.peers.get(&home.node));
    let via = peer.and_then(|peer| peer.path_to(destination)).map(|path| path.via);
    let is_tunnelled = matches!(via, Some(Via::Vxlan { .. }));
    let tunnel = entry.podnet.vxlan.as_ref().filter(|_| is_tunnelled);
    let own = entry.services.node_addresses.iter().copied().find(|own| IpFamily::of(*own) == family);
    tunnel.and_then(|vxlan| vxlan.address(family)).or(own).expect("a node has an address")
}
