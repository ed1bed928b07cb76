//! The second runner: every probe as a packet through the rules of every node it meets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use plan::{Backend, NodePlan};
use ruleset::{ConntrackState, Origin, Packet, Ruleset, Trace};
use types::{NodeName, Port};

use crate::walk::{Fate, Seen, node_source};
use crate::world::{ResolvedProbe, World};

/// As many draws as make every backend of a small Service come up.
const DRAWS: u32 = 64;
/// A connection meets its client's node, a node it aims at, and the backend's node; more would be a loop.
const MOST_NODES: usize = 4;
/// Any unprivileged port; nothing looks at it.
const CLIENT_PORT: u16 = 40_000;

/// The rules of every node of a world.
#[derive(Clone, Debug)]
pub struct TracedWorld<'a> {
    world: &'a World,
    rules: BTreeMap<NodeName, Ruleset>,
}

/// What becomes of a packet that is on its way.
enum Step {
    Ends(Fate),
    GoesOn { node: NodeName, packet: Travelling },
}

/// A packet between two nodes.
#[derive(Clone, Copy)]
struct Travelling {
    source: SocketAddr,
    destination: SocketAddr,
    origin: Origin,
    seen: Seen,
}

impl<'a> TracedWorld<'a> {
    /// Renders every node's rules.
    #[must_use]
    pub fn new(world: &'a World) -> Self {
        let rules = world.plans.iter().map(|(node, plan)| (node.clone(), ruleset::render(plan)));
        Self { world, rules: rules.collect() }
    }

    /// The rules of one node.
    #[must_use]
    pub fn rules(&self, node: &NodeName) -> Option<&Ruleset> {
        self.rules.get(node)
    }

    /// Everything that may become of a probe; rules do not tell which NetworkPolicy drops.
    #[must_use]
    pub fn trace(&self, probe: &ResolvedProbe) -> BTreeSet<Fate> {
        (0..DRAWS).map(|draw| self.trace_one(probe, draw)).collect()
    }

    fn trace_one(&self, probe: &ResolvedProbe, draw: u32) -> Fate {
        if probe.source == probe.destination && self.world.home_of(probe.source).is_some() {
            // It never leaves the Pod's own loopback.
            let destination = SocketAddr::new(probe.destination, probe.port.number());
            return reached(destination, self.world.home_of(probe.destination), Seen::Client);
        }
        let at_home = self
            .world
            .plans
            .get(&probe.entry)
            .is_some_and(|plan| plan.services.node_addresses.contains(&probe.source));
        let mut node = probe.entry.clone();
        let mut packet = Travelling {
            source: SocketAddr::new(probe.source, CLIENT_PORT),
            destination: SocketAddr::new(probe.destination, probe.port.number()),
            origin: if at_home { Origin::Here } else { Origin::Link },
            seen: Seen::Client,
        };
        for _ in 0..MOST_NODES {
            match self.step(&node, packet, probe, draw) {
                Step::Ends(fate) => return fate,
                Step::GoesOn { node: next, packet: onward } => {
                    node = next;
                    packet = onward;
                }
            }
        }
        panic!("a packet of {probe:?} goes round in circles");
    }

    /// One node's rules.
    fn step(&self, node: &NodeName, packet: Travelling, probe: &ResolvedProbe, draw: u32) -> Step {
        let (Some(plan), Some(rules)) = (self.world.plans.get(node), self.rules.get(node)) else {
            return Step::Ends(Fate::Dropped);
        };
        let on_wire = Packet {
            source: packet.source,
            destination: packet.destination,
            protocol: probe.protocol.number(),
            origin: packet.origin,
            local: held_addresses(plan),
        };
        let trace: Trace = ruleset::trace(rules, &on_wire, ConntrackState::New, draw);
        match trace.fate {
            ruleset::Fate::Dropped => return Step::Ends(Fate::Dropped),
            ruleset::Fate::Refused(_) => return Step::Ends(Fate::Refused),
            ruleset::Fate::Accepted => {}
        }
        let destination = trace.destination.ip();
        let home = self.world.home_of(destination);
        let seen = if trace.masqueraded { Seen::Node } else { packet.seen };
        let next = home.or_else(|| self.node_with(destination)).filter(|next| next.node != *node);
        match next {
            // The node holds the address, and no program of anybody listens on it.
            None if plan.lb.announce.contains_key(&destination) => Step::Ends(Fate::Refused),
            None => Step::Ends(reached(trace.destination, home, seen)),
            Some(next) => {
                let is_nodes = trace.masqueraded || packet.origin == Origin::Here;
                let source = match is_nodes {
                    true => SocketAddr::new(node_source(plan, Some(next), destination), CLIENT_PORT),
                    false => packet.source,
                };
                let onward =
                    Travelling { source, destination: trace.destination, origin: Origin::Link, seen };
                Step::GoesOn { node: next.node.clone(), packet: onward }
            }
        }
    }

    fn node_with(&self, address: IpAddr) -> Option<&NodePlan> {
        let has = |plan: &&NodePlan| {
            plan.services.node_addresses.contains(&address) || plan.lb.announce.contains_key(&address)
        };
        self.world.plans.values().find(has)
    }
}

/// Addresses whose packets a node delivers to itself.
fn held_addresses(plan: &NodePlan) -> BTreeSet<IpAddr> {
    let mut addresses = plan.services.node_addresses.clone();
    addresses.extend(plan.podnet.local_addresses.keys());
    addresses.extend(plan.podnet.vxlan.iter().flat_map(|vxlan| &vxlan.addresses));
    addresses
}

fn reached(destination: SocketAddr, home: Option<&NodePlan>, source: Seen) -> Fate {
    let port = Port::new(destination.port()).expect("no probe and no backend has port 0");
    Fate::Reached {
        backend: Backend { address: destination.ip(), port },
        pod: home.and_then(|plan| plan.podnet.local_pods.get(&destination.ip()).cloned()),
        source,
    }
}
