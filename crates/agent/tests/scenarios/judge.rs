//! One probe: what must become of it, and whether that is what became of its packets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fmt, thread};

use plan::NodePlan;
use testkit::{Client, Fate, Probe, ResolvedProbe, Seen, World, walk};
use types::{NodeName, PodName};

use crate::cluster::{Cluster, holds, is_on_underlay};
use crate::packets::{Answer, Draws};

/// How long silence must last to count, where silence is expected. All is on one machine.
const SILENCE: Duration = Duration::from_millis(300);
/// How long an answer may take where silence is not expected; a busy machine must not fail a test.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections at a time, where one thing and where several may happen.
const FEW: usize = 3;
const MANY: usize = 16;
/// How often `MANY` are made until all that may happen has happened. That one of three backends never comes up by
/// chance has odds below 1 : 10^16.
const ROUNDS: usize = 6;

/// Trials at a time.
const WORKERS: usize = 8;

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Pod(PodName),
    Node(NodeName),
    Outside,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(pod) => write!(f, "pod {pod}"),
            Self::Node(node) => write!(f, "node {node}"),
            Self::Outside => f.write_str("outside"),
        }
    }
}

/// A probe with everything that may become of it.
pub(crate) struct Trial<'a> {
    world: &'a World,
    entry: &'a NodePlan,
    pub(crate) probe: &'a Probe,
    pub(crate) resolved: ResolvedProbe,
    /// As a client sees them, who is not told which policy drops.
    pub(crate) fates: BTreeSet<Fate>,
}

impl<'a> Trial<'a> {
    /// Works out what must happen, which must be what the scenario states.
    pub(crate) fn new(world: &'a World, probe: &'a Probe) -> Result<Self, String> {
        let resolved = world.resolve(probe)?;
        let fates = walk(world, &resolved);
        if !probe.agrees_with(&fates) {
            return Err(format!("{probe}\n  the plans say {fates:?}"));
        }
        Self::unstated(world, probe)
    }

    /// Works out what must happen, whatever the probe states.
    pub(crate) fn unstated(world: &'a World, probe: &'a Probe) -> Result<Self, String> {
        let resolved = world.resolve(probe)?;
        let fates = walk(world, &resolved);
        let entry = &world.plans[&resolved.entry];
        Ok(Self {
            world,
            entry,
            probe,
            resolved,
            fates: fates.into_iter().map(Fate::without_reason).collect(),
        })
    }

    /// Runs trials at once where they do not need different routes, and returns what went otherwise than stated.
    pub(crate) fn run_all(trials: &[Self], cluster: &Cluster) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut waiting: Vec<&Self> = trials.iter().collect();
        while !waiting.is_empty() {
            let mut routes: BTreeMap<IpAddr, &NodePlan> = BTreeMap::new();
            let fits = |trial: &&Self| {
                let Some((destination, entry)) = trial.route() else { return true };
                routes.entry(destination).or_insert(entry).node == entry.node
            };
            let (round, later): (Vec<&Self>, Vec<&Self>) = waiting.into_iter().partition(fits);
            cluster.route_outside(&routes);
            wrong.extend(at_once(&round, cluster));
            waiting = later;
        }
        wrong
    }

    /// The route that the outside needs.
    fn route(&self) -> Option<(IpAddr, &'a NodePlan)> {
        let destination = self.resolved.destination;
        let is_outside = matches!(self.probe.client, Client::Outside { .. });
        let is_on_link = is_on_underlay(destination) && holds(self.entry, destination);
        (is_outside && !is_on_link).then_some((destination, self.entry))
    }

    /// Sends packets until all that may happen has happened.
    fn run(&self, cluster: &Cluster) -> Result<(), String> {
        let (number, rounds) = if self.fates.len() == 1 { (FEW, 1) } else { (MANY, ROUNDS) };
        let draws = Draws {
            source: self.bound_to(),
            destination: SocketAddr::new(self.resolved.destination, self.resolved.port.number()),
            protocol: self.resolved.protocol,
            number,
            patience: if self.fates.contains(&Fate::Dropped) { SILENCE } else { PATIENCE },
        };
        let mut answers = BTreeSet::new();
        for _ in 0..rounds {
            answers.extend(draws.run(cluster.home(&self.probe.client)));
            match self.judge(&answers) {
                Verdict::AsStated => return Ok(()),
                Verdict::NotAllYet => {}
                Verdict::Wrong => break,
            }
        }
        let met: Vec<String> = answers.iter().map(|answer| format!("    {answer:?}")).collect();
        Err(format!(
            "{}\n  the packets met\n{}\n  the plans say {:?}",
            self.probe,
            met.join("\n"),
            self.fates
        ))
    }

    fn judge(&self, answers: &BTreeSet<Answer>) -> Verdict {
        if !answers.iter().all(|answer| self.fates.iter().any(|fate| self.fits(fate, answer))) {
            return Verdict::Wrong;
        }
        let has_happened = |fate: &Fate| answers.iter().any(|answer| self.fits(fate, answer));
        match self.is_remembered() || self.fates.iter().all(has_happened) {
            true => Verdict::AsStated,
            false => Verdict::NotAllYet,
        }
    }

    fn fits(&self, fate: &Fate, answer: &Answer) -> bool {
        match (fate, answer) {
            (Fate::Refused, Answer::Refused) | (Fate::Dropped, Answer::Silence) => true,
            (Fate::Reached { backend, pod, source }, Answer::Reached { place, end, seen }) => {
                *end == SocketAddr::new(backend.address, backend.port.number())
                    && *place == self.place(backend.address, pod.as_ref()).to_string()
                    && self.addresses_of(*source, backend.address).contains(seen)
            }
            _ => false,
        }
    }

    /// Who has the address; an address that every node has is answered by the client's own.
    fn place(&self, address: IpAddr, pod: Option<&PodName>) -> Place {
        let own = Some(self.entry).filter(|plan| holds(plan, address));
        let holder = own.or_else(|| self.world.plans.values().find(|plan| holds(plan, address)));
        match (pod, holder) {
            (Some(pod), _) => Place::Pod(pod.clone()),
            (None, Some(plan)) => Place::Node(plan.node.clone()),
            (None, None) => Place::Outside,
        }
    }

    /// Addresses that a server may see.
    fn addresses_of(&self, seen: Seen, server: IpAddr) -> BTreeSet<IpAddr> {
        match (seen, &self.probe.client) {
            // Who connects to an own address has that address.
            (Seen::Client, Client::Node(_)) if holds(self.entry, server) => [server].into(),
            (Seen::Client, Client::Node(_)) => own_addresses(self.entry),
            (Seen::Client, Client::Pod(_) | Client::Outside { .. }) => [self.resolved.source].into(),
            (Seen::Node, _) => self.world.plans.values().flat_map(own_addresses).collect(),
        }
    }

    /// The address a client says it comes from. A node's kernel chooses, because the tunnel has an address of its own.
    fn bound_to(&self) -> Option<IpAddr> {
        match self.probe.client {
            Client::Node(_) => None,
            Client::Pod(_) | Client::Outside { .. } => Some(self.resolved.source),
        }
    }

    /// Whether the same client is led to the same backend each time.
    fn is_remembered(&self) -> bool {
        let frontends = &self.entry.services.frontends;
        frontends.iter().any(|(frontend, rule)| {
            let is_aimed_at =
                frontend.port == self.resolved.port && frontend.protocol == self.resolved.protocol;
            is_aimed_at && rule.affinity_seconds.is_some()
        })
    }
}

/// Runs trials on a few threads: most of the time they wait.
fn at_once(trials: &[&Trial<'_>], cluster: &Cluster) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let trials = numbers.map_while(|number| trials.get(number));
        trials.filter_map(|trial| trial.run(cluster).err()).collect::<Vec<String>>()
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

enum Verdict {
    AsStated,
    NotAllYet,
    Wrong,
}

/// Addresses a node's own packets may carry.
fn own_addresses(plan: &NodePlan) -> BTreeSet<IpAddr> {
    let tunnel = plan.podnet.vxlan.iter().flat_map(|vxlan| vxlan.addresses.iter().copied());
    plan.services.node_addresses.iter().copied().chain(tunnel).collect()
}
