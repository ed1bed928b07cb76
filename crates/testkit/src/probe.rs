//! One line of a scenario that says who connects to what, and what becomes of it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use types::{NamespacedName, NodeName, PodName, Port, PortProto, ServiceName};

use crate::walk::{Fate, Seen};

/// `CLIENT → TARGET OUTCOME`, such as `pod shop/web → 10.96.0.20:80/TCP reaches shop/echo-1 or shop/echo-2, source kept`.
///
/// Clients: `pod NS/NAME`, `node NAME`, `outside ADDRESS [via NODE]`. Targets: `ADDRESS:PORT/PROTO`,
/// `pod NS/NAME:PORT/PROTO`, `service NS/NAME:PORT/PROTO`, `lb NS/NAME:PORT/PROTO`, `node NAME:PORT/PROTO`. Outcomes,
/// joined by ` or `: `reaches END` (a Pod, or address:port), `refused`, `dropped`, `denied by NS/POLICY`; at the end may
/// stand `, source kept` or `, source node`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Who connects.
    pub client: Client,
    /// To what.
    pub target: Target,
    /// Port and protocol.
    pub port: PortProto,
    /// Everything that may happen, and nothing else may.
    pub outcomes: BTreeSet<Outcome>,
    /// What the reached end sees as source, if that matters.
    pub source: Option<Seen>,
    line: String,
}

/// Who connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// A Pod.
    Pod(PodName),
    /// A node itself.
    Node(NodeName),
    /// Somebody outside the cluster.
    Outside {
        /// The client's address.
        address: IpAddr,
        /// The node its packets arrive at, where the target does not decide it.
        via: Option<NodeName>,
    },
}

/// What is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// This address.
    Address(IpAddr),
    /// The Pod's address.
    Pod(PodName),
    /// The Service's first ClusterIP.
    Service(ServiceName),
    /// The Service's first LoadBalancer address.
    LoadBalancer(ServiceName),
    /// The node's address.
    Node(NodeName),
}

/// One thing that may happen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// This end answers.
    Reaches(String),
    /// The client hears "connection refused".
    Refused,
    /// The client hears nothing.
    Dropped,
    /// The client hears nothing, because of this NetworkPolicy.
    DeniedBy(NamespacedName),
}

/// Why a line is no probe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{line}`: {message}")]
pub struct ProbeError {
    /// The line.
    pub line: String,
    /// What is missing.
    pub message: &'static str,
}

impl Probe {
    /// Reads one line.
    ///
    /// # Errors
    /// The line is not of the form above.
    pub fn parse(line: &str) -> Result<Self, ProbeError> {
        parse(line).map_err(|message| ProbeError { line: line.to_owned(), message })
    }

    /// Whether what may happen is what was stated.
    #[must_use]
    pub fn agrees_with(&self, fates: &BTreeSet<Fate>) -> bool {
        let outcomes: BTreeSet<Outcome> = fates.iter().flat_map(Fate::outcomes).collect();
        let seen_as_stated = fates.iter().all(|fate| match (fate, self.source) {
            (Fate::Reached { source, .. }, Some(stated)) => *source == stated,
            _ => true,
        });
        outcomes == self.outcomes && seen_as_stated
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

fn parse(line: &str) -> Result<Probe, &'static str> {
    let (client, rest) = line.split_once('→').ok_or("there is no → in it")?;
    let mut words = rest.split_whitespace();
    let first = words.next().ok_or("there is no target")?;
    let (target, port) = match first {
        "pod" | "service" | "lb" | "node" => {
            let (name, port) = parse_end(words.next().ok_or("the target has no name")?)?;
            (parse_named(first, name)?, port)
        }
        address => {
            let (address, port) = parse_end(address)?;
            (Target::Address(parse_address(address)?), port)
        }
    };
    let outcome = words.collect::<Vec<_>>().join(" ");
    let (outcomes, source) = match outcome.rsplit_once(", source ") {
        Some((outcomes, "kept")) => (outcomes, Some(Seen::Client)),
        Some((outcomes, "node")) => (outcomes, Some(Seen::Node)),
        Some(_) => return Err("the source is either kept or node"),
        None => (outcome.as_str(), None),
    };
    let outcomes = parse_outcomes(outcomes)?;
    Ok(Probe { client: parse_client(client)?, target, port, outcomes, source, line: line.to_owned() })
}

fn parse_client(text: &str) -> Result<Client, &'static str> {
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["pod", name] => Ok(Client::Pod(parse_name(name)?)),
        ["node", name] => Ok(Client::Node(NodeName::from(*name))),
        ["outside", address] => Ok(Client::Outside { address: parse_address(address)?, via: None }),
        ["outside", address, "via", node] => {
            Ok(Client::Outside { address: parse_address(address)?, via: Some(NodeName::from(*node)) })
        }
        _ => Err("the client is `pod NS/NAME`, `node NAME` or `outside ADDRESS [via NODE]`"),
    }
}

fn parse_named(kind: &str, name: &str) -> Result<Target, &'static str> {
    Ok(match kind {
        "pod" => Target::Pod(parse_name(name)?),
        "service" => Target::Service(parse_name(name)?),
        "lb" => Target::LoadBalancer(parse_name(name)?),
        _ => Target::Node(NodeName::from(name)),
    })
}

fn parse_name(text: &str) -> Result<NamespacedName, &'static str> {
    let (namespace, name) = text.split_once('/').ok_or("a name is written namespace/name")?;
    Ok(NamespacedName::new(namespace, name))
}

fn parse_address(text: &str) -> Result<IpAddr, &'static str> {
    text.trim_start_matches('[').trim_end_matches(']').parse().map_err(|_| "that is no IP address")
}

/// `NAME:PORT/PROTO` into the name and the port.
fn parse_end(text: &str) -> Result<(&str, PortProto), &'static str> {
    let form = "a target ends in :PORT/PROTO";
    let (rest, protocol) = text.rsplit_once('/').ok_or(form)?;
    let (name, port) = rest.rsplit_once(':').ok_or(form)?;
    let number: i64 = port.parse().map_err(|_| form)?;
    let port = Port::try_from(number).map_err(|_| "that is no port")?;
    Ok((name, PortProto { port, protocol: protocol.parse().map_err(|_| "that is no protocol")? }))
}

fn parse_outcomes(text: &str) -> Result<BTreeSet<Outcome>, &'static str> {
    let mut outcomes = BTreeSet::new();
    let mut verb = "";
    for part in text.split(" or ") {
        let words: Vec<&str> = part.split_whitespace().collect();
        let outcome = match words.as_slice() {
            ["refused"] => Outcome::Refused,
            ["dropped"] => Outcome::Dropped,
            ["reaches", end] => {
                verb = "reaches";
                Outcome::Reaches((*end).to_owned())
            }
            ["denied", "by", policy] => {
                verb = "denied";
                Outcome::DeniedBy(parse_name(policy)?)
            }
            [name] if verb == "reaches" => Outcome::Reaches((*name).to_owned()),
            [name] if verb == "denied" => Outcome::DeniedBy(parse_name(name)?),
            _ => return Err("the outcome is `reaches END`, `refused`, `dropped` or `denied by NS/POLICY`"),
        };
        outcomes.insert(outcome);
    }
    Ok(outcomes)
}

impl Fate {
    /// The outcomes this fate is told by.
    fn outcomes(&self) -> Vec<Outcome> {
        match self {
            Self::Reached { pod: Some(pod), .. } => vec![Outcome::Reaches(pod.to_string())],
            Self::Reached { backend, .. } => {
                let socket = SocketAddr::new(backend.address, backend.port.number());
                vec![Outcome::Reaches(socket.to_string())]
            }
            Self::Refused => vec![Outcome::Refused],
            Self::Dropped => vec![Outcome::Dropped],
            Self::Denied(policies) => policies.iter().cloned().map(Outcome::DeniedBy).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_read() {
        let probe =
            Probe::parse("pod shop/web → 10.96.0.20:80/TCP reaches shop/a or shop/b, source kept").unwrap();
        assert_eq!(probe.client, Client::Pod(PodName::new("shop", "web")));
        assert_eq!(probe.port.to_string(), "80/TCP");
        assert_eq!(probe.outcomes.len(), 2);
        assert_eq!(probe.source, Some(Seen::Client));
        let probe = Probe::parse("outside 203.0.113.9 via node-a → lb shop/web:80/TCP refused").unwrap();
        assert_eq!(probe.target, Target::LoadBalancer(ServiceName::new("shop", "web")));
        assert!(Probe::parse("pod shop/web → node node-a:30080/TCP denied by shop/p").is_ok());
    }

    #[test]
    fn what_is_no_probe_is_told() {
        for line in [
            "pod shop/web 10.96.0.20:80/TCP refused",
            "pod web → 10.96.0.20:80/TCP refused",
            "pod shop/web → 10.96.0.20:80 refused",
            "pod shop/web → 10.96.0.20:80/TCP explodes",
        ] {
            assert!(Probe::parse(line).is_err(), "{line}");
        }
    }
}
