//! One question for people: each step that has a say, with the line of the Corefile or the object that decides, and the answer.
//!
//! The steps decide here with the functions that answer queries, and the response is the one that a client gets.

use std::net::IpAddr;

use plan::Upstream;
use types::ObjectRef;

use crate::answer::{Answer, Limits, Transport, answer};
use crate::resolve::resolve_in;
use crate::search::candidates;
use crate::steps::{self, Step};
use crate::{Name, NameError, Outcome, RecordType, Response, Zone, query_packet};

/// What becomes of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The name that is asked.
    pub name: Name,
    /// The type.
    pub kind: RecordType,
    /// Who has a say, in order.
    pub hops: Vec<TraceHop>,
    /// How it ends.
    pub end: TraceEnd,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceHop {
    /// The line that decides, such as `Corefile:7`; empty where none does.
    pub at: String,
    /// The object that decides.
    pub object: Option<ObjectRef>,
    /// What happens, for a person.
    pub text: String,
}

/// How a question ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceEnd {
    /// With this response.
    Answered(Response),
    /// These servers are asked, and what they say is not known here.
    Asked(Vec<String>),
    /// Nothing is said.
    Silence,
}

impl Trace {
    /// Whether there is an answer, or somebody to ask.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        match &self.end {
            TraceEnd::Answered(response) => !response.answers.is_empty(),
            TraceEnd::Asked(_) => true,
            TraceEnd::Silence => false,
        }
    }

    /// Whether a client would go on with the next name of its search path.
    fn is_denied(&self) -> bool {
        matches!(&self.end, TraceEnd::Answered(response) if response.answers.is_empty())
    }
}

/// Follows a name as a client has it: a Pod of a Namespace asks for the names of its search path, one after the other up to the
/// one that ends the search; anybody else for the name itself.
///
/// # Errors
/// The name is none.
pub fn trace(
    zone: &Zone,
    name: &str,
    kind: RecordType,
    client: Option<(IpAddr, &str)>,
) -> Result<Vec<Trace>, NameError> {
    let zone = &zone.clone().with_node_servers();
    let names = match client {
        Some((_, namespace)) => candidates(zone, name, namespace)?,
        None => vec![Name::parse(name)?],
    };
    let mut traces = Vec::new();
    for name in names {
        let next = follow(zone, name, kind, client.map(|(address, _)| address));
        let goes_on = next.is_denied();
        traces.push(next);
        if !goes_on {
            break;
        }
    }
    Ok(traces)
}

fn follow(zone: &Zone, name: Name, kind: RecordType, client: Option<IpAddr>) -> Trace {
    let limits = Limits { transport: Transport::Tcp, client, udp_payload: u16::MAX, draw: 0 };
    let mut out = Vec::new();
    let end = match answer(zone, &query_packet(&name, kind, 0), limits, &mut out) {
        Answer::Respond => Response::read(&out).map_or(TraceEnd::Silence, TraceEnd::Answered),
        Answer::Drop => TraceEnd::Silence,
        Answer::Ask(ask) => {
            let servers = zone.forward(ask.to).map(|forward| forward.to.as_slice()).unwrap_or_default();
            TraceEnd::Asked(servers.iter().map(upstream).collect())
        }
    };
    Trace { hops: hops(zone, &name, kind, client), name, kind, end }
}

fn upstream(upstream: &Upstream) -> String {
    match upstream {
        Upstream::Node => "the node's own servers".to_owned(),
        Upstream::Plain(address) => address.to_string(),
        Upstream::Tls { address, server_name } => {
            let name = server_name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            format!("tls://{address}{name}")
        }
    }
}

fn hops(zone: &Zone, name: &Name, kind: RecordType, client: Option<IpAddr>) -> Vec<TraceHop> {
    let said = |at: &str, text: String| TraceHop { at: at.to_owned(), object: None, text };
    let Some(block) = zone.block_of(name.as_wire()) else {
        return vec![said("", format!("no server block is for {name}"))];
    };
    let at = zone.block(block).map(|block| block.at.as_str()).unwrap_or_default();
    let mut hops = Vec::new();
    if !at.is_empty() {
        hops.push(said(at, "the server block with the longest zone of this name".to_owned()));
    }
    let mut asked = (name.clone(), kind);
    for Step { at, text, then } in steps::of_question(zone, block, name, kind, client) {
        hops.push(said(&at, text));
        match then {
            steps::Then::Ends => return hops,
            steps::Then::Asks(name, kind) => asked = (name, kind),
            steps::Then::GoesOn => {}
        }
    }
    let resolution = resolve_in(zone, block, asked.0, asked.1);
    let at = zone.block(block).and_then(|block| block.kubernetes.as_ref());
    let at = at.map(|kubernetes| kubernetes.at.as_str()).unwrap_or_default();
    hops.extend(resolution.reasons.iter().map(|reason| TraceHop {
        at: at.to_owned(),
        object: reason.object(),
        text: reason.to_string(),
    }));
    if resolution.outcome == Outcome::Forward && zone.forward_in(block, resolution.name.as_wire()).is_none() {
        hops.push(said("", "the server block has no forward for this name".to_owned()));
    }
    hops
}
