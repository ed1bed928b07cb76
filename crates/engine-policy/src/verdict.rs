//! One connection against the policies of its two ends.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use plan::{Isolation, Peers, PodPolicy, PolicyPorts, PolicyRule, PolicyTable};
use types::{NamespacedName, PodName, Port, Protocol, Verdict};

/// A connection as policies see it: after the destination was translated to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Who opens it.
    pub source: IpAddr,
    /// Who is to answer.
    pub destination: IpAddr,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Destination port.
    pub port: Port,
}

/// Which end of a connection is asked, seen from the Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// The Pod opens the connection.
    Egress,
    /// The Pod is to answer it.
    Ingress,
}

/// What one end says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opinion {
    /// Which end.
    pub direction: Direction,
    /// The Pod at that end; `None` when the table knows none, and then nothing is limited.
    pub pod: Option<PodName>,
    /// Allowed with the reason, or denied with the policies that isolate.
    pub outcome: Result<Allowed, BTreeSet<NamespacedName>>,
}

/// Why one end lets a connection through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// No policy isolates the Pod in this direction, or there is no such Pod here.
    NotIsolated,
    /// This rule allows it.
    Rule(RuleRef),
    /// A Pod always reaches itself (semantics NP10).
    Itself,
    /// The node always reaches its own Pods (semantics NP10).
    FromNode,
}

/// One rule of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRef {
    /// The policy.
    pub policy: NamespacedName,
    /// Index in `spec.ingress` or `spec.egress`.
    pub index: usize,
}

/// What becomes of a connection, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Let through or not.
    pub verdict: Verdict,
    /// What each asked end says: egress of the source before ingress of the destination.
    pub opinions: Vec<Opinion>,
}

/// The verdict for a connection between two Pods whose policies may stand in different tables.
///
/// `source` and `destination` are the tables of the nodes at the two ends (the same table when both ends are on one
/// node); `None` for an end that is no Pod of a known node. Both ends must agree (semantics NP2). `node_addresses` are
/// the addresses of the destination's own node, from which its Pods are always reached.
#[must_use]
pub fn verdict(
    source: Option<&PolicyTable>,
    destination: Option<&PolicyTable>,
    connection: &Connection,
    node_addresses: &BTreeSet<IpAddr>,
) -> Decision {
    let egress = source.map(|table| opinion(table, connection, Direction::Egress, node_addresses));
    let ingress = destination.map(|table| opinion(table, connection, Direction::Ingress, node_addresses));
    decide(egress.into_iter().chain(ingress).collect())
}

/// The verdict of one end alone.
#[must_use]
pub fn verdict_of(
    table: &PolicyTable,
    connection: &Connection,
    direction: Direction,
    node_addresses: &BTreeSet<IpAddr>,
) -> Decision {
    decide(vec![opinion(table, connection, direction, node_addresses)])
}

fn decide(opinions: Vec<Opinion>) -> Decision {
    let denied = opinions.iter().any(|opinion| opinion.outcome.is_err());
    Decision { verdict: if denied { Verdict::Deny } else { Verdict::Accept }, opinions }
}

fn opinion(
    table: &PolicyTable,
    connection: &Connection,
    direction: Direction,
    node_addresses: &BTreeSet<IpAddr>,
) -> Opinion {
    let own = match direction {
        Direction::Egress => connection.source,
        Direction::Ingress => connection.destination,
    };
    let pod = table.pods.get(&own);
    let from_node = direction == Direction::Ingress && node_addresses.contains(&connection.source);
    let outcome = match pod.and_then(|pod| isolation(pod, direction)) {
        None => Ok(Allowed::NotIsolated),
        Some(_) if connection.source == connection.destination => Ok(Allowed::Itself),
        Some(_) if from_node => Ok(Allowed::FromNode),
        Some(isolation) => {
            match isolation.rules.iter().find(|rule| allows(table, rule, connection, direction)) {
                Some(rule) => Ok(Allowed::Rule(RuleRef { policy: rule.policy.clone(), index: rule.index })),
                None => Err(isolation.policies.clone()),
            }
        }
    };
    Opinion { direction, pod: pod.map(|pod| pod.pod.clone()), outcome }
}

fn isolation(pod: &PodPolicy, direction: Direction) -> Option<&Isolation> {
    match direction {
        Direction::Egress => pod.egress.as_ref(),
        Direction::Ingress => pod.ingress.as_ref(),
    }
}

fn allows(table: &PolicyTable, rule: &PolicyRule, connection: &Connection, direction: Direction) -> bool {
    let other = match direction {
        Direction::Egress => connection.destination,
        Direction::Ingress => connection.source,
    };
    let peer = match &rule.peers {
        Peers::Any => true,
        Peers::Set(index) => table.peer_sets.get(*index).is_some_and(|set| set.contains(other)),
    };
    let port = match &rule.ports {
        PolicyPorts::Any => true,
        PolicyPorts::Only(ranges) => {
            ranges.iter().any(|range| range.contains(connection.protocol, connection.port))
        }
    };
    peer && port
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
        })
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let destination = std::net::SocketAddr::new(self.destination, self.port.number());
        write!(f, "{} → {destination}/{}", self.source, self.protocol)
    }
}

impl fmt::Display for Opinion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { direction, pod, outcome } = self;
        let pod = pod.as_ref().map_or_else(|| "the other end".to_owned(), |pod| format!("Pod {pod}"));
        match outcome {
            Ok(Allowed::NotIsolated) => write!(f, "{direction} of {pod}: no NetworkPolicy isolates it"),
            Ok(Allowed::Itself) => write!(f, "{direction} of {pod}: a Pod always reaches itself"),
            Ok(Allowed::FromNode) => write!(f, "{direction} of {pod}: a node always reaches its own Pods"),
            Ok(Allowed::Rule(RuleRef { policy, index })) => {
                write!(f, "{direction} of {pod}: allowed by NetworkPolicy {policy} spec.{direction}[{index}]")
            }
            Err(policies) => {
                let names: Vec<String> = policies.iter().map(ToString::to_string).collect();
                let (noun, verb) = if names.len() == 1 {
                    ("NetworkPolicy", "isolates")
                } else {
                    ("NetworkPolicies", "isolate")
                };
                write!(f, "{direction} of {pod}: {noun} {} {verb} it and no rule allows", names.join(", "))
            }
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verdict)?;
        for opinion in &self.opinions {
            write!(f, "; {opinion}")?;
        }
        Ok(())
    }
}

impl Decision {
    /// The opinions that deny, in order.
    pub fn denials(&self) -> impl Iterator<Item = &Opinion> {
        self.opinions.iter().filter(|opinion| opinion.outcome.is_err())
    }
}

#[cfg(test)]
mod tests;
