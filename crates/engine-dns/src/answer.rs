//! From a query packet to a response packet.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::extended_error::{self, ExtendedError};
use crate::forward::Ask;
use crate::message::{Query, Rcode, Unanswerable};
use crate::reply::{Reply, Section, bare};
use crate::resolve::why_missing;
use crate::steps;
use crate::zone::{Node, Place, Source};
use crate::{Name, RecordData, RecordType, Zone};

/// How many names of ExternalName Services may lead to each other; more is a circle.
const MAX_CHAIN: usize = 8;
/// The UDP response every client takes (RFC 1035 section 2.3.4).
const SMALLEST_PAYLOAD: u16 = 512;

/// How large a response may be, and which record comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How the query came.
    pub transport: Transport,
    /// Who asks, where that is known: rules for clients and the search path of Pods depend on it.
    pub client: Option<IpAddr>,
    /// The largest UDP response to send, whatever the client says it takes.
    pub udp_payload: u16,
    /// A random number: records of one name and type start at a random place, so that clients spread.
    pub draw: u64,
}

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram: the response is truncated where it does not fit.
    Udp,
    /// On a connection.
    Tcp,
}

/// What to do with a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Send the response that was written.
    Respond,
    /// Ask upstream servers this, and call [`crate::resume()`] with their reply.
    Ask(Ask),
    /// Say nothing.
    Drop,
}

/// A question, and where it is looked up.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) zone: &'a Zone,
    /// The block that its name is in.
    pub(crate) block: usize,
    pub(crate) query: &'a Query<'a>,
    /// What a response is limited to.
    pub(crate) limits: Limits,
    /// EDNS options that others are asked with.
    pub(crate) options: &'a [u8],
}

/// Where a question leads, through CNAME records of the zone.
pub(crate) struct Walk<'z> {
    /// The ExternalName Services on the way, in order.
    pub(crate) aliases: Vec<(&'z Node, &'z Name)>,
    /// Where it ended.
    pub(crate) end: End<'z>,
    /// The server block that the last name belongs to.
    pub(crate) block: Option<usize>,
}

/// Where a [`Walk`] ended.
pub(crate) enum End<'z> {
    /// At an existing name, which may have no record of the wanted type.
    Node(Cow<'z, Node>),
    /// At a name that would be here and does not exist; its zone has so many labels.
    Missing { zone_labels: usize },
    /// At a name that others know.
    Elsewhere,
    /// Nowhere: ExternalName Services lead to each other.
    Circle,
}

/// Answers a query packet. A response is written to `out`, whose earlier content is lost.
pub fn answer(zone: &Zone, packet: &[u8], limits: Limits, out: &mut Vec<u8>) -> Answer {
    let query = match Query::parse(packet) {
        Ok(query) => query,
        Err(Unanswerable::Silent) => return Answer::Drop,
        Err(Unanswerable::Refused(rcode)) => {
            bare(packet, rcode, out);
            return Answer::Respond;
        }
    };
    if let Some(rcode) = refusal(&query) {
        Reply::start(&query, limits.size(&query), out).finish(rcode);
        return Answer::Respond;
    }
    let Some(block) = zone.block_of(query.name()) else {
        Reply::start(&query, limits.size(&query), out).finish(Rcode::Refused);
        return Answer::Respond;
    };
    let asked = Asked { zone, block, query: &query, limits, options: &[] };
    match zone.steps(block) {
        Some(steps) => steps.answer(asked, out),
        None => look_up(asked, out),
    }
}

/// Answers a query with the cluster's names, or asks others, as its block says.
pub(crate) fn look_up(asked: Asked<'_>, out: &mut Vec<u8>) -> Answer {
    let walk = walk(asked.zone, asked.block, asked.query.name(), asked.query.kind);
    if walk.aliases.is_empty() && matches!(walk.end, End::Elsewhere) {
        return ask_others(asked, out);
    }
    respond(asked, &walk, out)
}

/// Writes a response without records, for a query that cannot be answered; `Drop` when there is nobody to tell.
pub fn fail(packet: &[u8], rcode: Rcode, out: &mut Vec<u8>) -> Answer {
    match Query::parse(packet) {
        Ok(query) => {
            let error = (rcode == Rcode::ServFail).then_some(&extended_error::UNSYNCED);
            Reply::start(&query, usize::from(SMALLEST_PAYLOAD), out).finish_with(rcode, error);
        }
        Err(Unanswerable::Silent) => return Answer::Drop,
        Err(Unanswerable::Refused(rcode)) => bare(packet, rcode, out),
    }
    Answer::Respond
}

/// Why a well-formed query is not looked up.
fn refusal(query: &Query<'_>) -> Option<Rcode> {
    if query.edns.is_some_and(|edns| edns.version > 0) {
        return Some(Rcode::BadVers);
    }
    let is_transfer = query.kind == RecordType::AXFR || query.kind == RecordType::IXFR;
    (is_transfer || !query.is_internet).then_some(Rcode::Refused)
}

/// Follows a name through the zone: first as this block has it, then as the blocks of the names that it leads to have them.
pub(crate) fn walk<'z>(zone: &'z Zone, block: usize, name: &[u8], kind: RecordType) -> Walk<'z> {
    let mut aliases = Vec::new();
    let mut block = Some(block);
    let mut place = zone.place_in(block, name);
    let end = loop {
        let node = match place {
            Place::Here(node) => node,
            Place::Missing { zone_labels } => break End::Missing { zone_labels },
            Place::Elsewhere => break End::Elsewhere,
        };
        // Only names of Services lead elsewhere, and the zone holds these.
        let alias = match node {
            Cow::Borrowed(node) => alias(node, kind).map(|target| (node, target)),
            Cow::Owned(_) => None,
        };
        let Some((node, target)) = alias else { break End::Node(node) };
        if aliases.len() == MAX_CHAIN {
            break End::Circle;
        }
        aliases.push((node, target));
        block = zone.block_of(target.as_wire());
        place = zone.place_in(block, target.as_wire());
    };
    Walk { aliases, end, block }
}

fn alias(node: &Node, kind: RecordType) -> Option<&Name> {
    node.records.iter().find_map(|record| match record {
        RecordData::Cname(target) if kind != RecordType::CNAME => Some(target),
        _ => None,
    })
}

fn respond(asked: Asked<'_>, walk: &Walk<'_>, out: &mut Vec<u8>) -> Answer {
    let Asked { zone, query, limits, options, .. } = asked;
    let mut reply = Reply::start(query, limits.size(query), out);
    reply.set_authoritative();
    let mut owner = query.name();
    let mut rcode = Rcode::NoError;
    let mut error = None;
    for (node, target) in &walk.aliases {
        for record in &node.records {
            if !reply.add(Section::Answer, owner, record, zone) {
                reply.set_truncated();
            }
        }
        owner = target.as_wire();
    }
    match &walk.end {
        End::Node(node) => {
            if !add_records(zone, &mut reply, owner, (node, query.kind), limits.draw) {
                let zone_labels = zone.zone_labels(query.name());
                reply.add_soa(Section::Authority, zone_labels, zone);
                if matches!(node.source, Source::NoneInZone { .. }) {
                    error = query.edns.map(|_| ExtendedError::other(node.source.to_string()));
                }
            }
        }
        End::Missing { zone_labels } => {
            rcode = Rcode::NxDomain;
            let why = || {
                ExtendedError::other(
                    why_missing(zone, walk.block, &Name::from_checked_wire(owner)).to_string(),
                )
            };
            error = query.edns.map(|_| why());
            // An alias may lead from the cluster domain to a reverse name; the SOA is the question's zone.
            let labels = if walk.aliases.is_empty() { *zone_labels } else { zone.zone_labels(query.name()) };
            reply.add_soa(Section::Authority, labels, zone);
        }
        End::Elsewhere => {
            if let Some((_, target)) = walk.aliases.last()
                && let Some(to) = zone.forward_of(target.as_wire())
            {
                reply.pause();
                let keep = zone.keep_in(to.block, target.as_wire());
                let ask = Ask::chase(to, (target, query.kind), keep, std::mem::take(out));
                return Answer::Ask(ask.with_options(options).or_else(zone.next_of(to, target.as_wire())));
            }
        }
        End::Circle => {}
    }
    reply.finish_with(rcode, error.as_ref());
    Answer::Respond
}

/// The query is for others to answer as it is.
fn ask_others(asked: Asked<'_>, out: &mut Vec<u8>) -> Answer {
    let Asked { zone, block, query, limits, options } = asked;
    match zone.forward_in(block, query.name()) {
        Some(to) => {
            let ask = Ask::whole(to, query, zone.keep_in(block, query.name()));
            Answer::Ask(ask.with_options(options).or_else(zone.next_of(to, query.name())))
        }
        None => steps::fail(query, limits, &extended_error::NO_FORWARD, out),
    }
}

/// Adds a name's records of the wanted type and what helps to use them; `false` when there is none.
fn add_records(
    zone: &Zone,
    reply: &mut Reply<'_>,
    owner: &[u8],
    (node, kind): (&Node, RecordType),
    draw: u64,
) -> bool {
    let wanted = || node.records.iter().filter(move |record| record.record_type() == kind);
    let number = wanted().count();
    if number == 0 {
        return false;
    }
    let first = usize::try_from(draw % number as u64).unwrap_or(0);
    for record in wanted().skip(first).chain(wanted().take(first)) {
        if !reply.add(Section::Answer, owner, record, zone) {
            reply.set_truncated();
            return true;
        }
    }
    // The names that a zone's records point to may have addresses in other zones.
    let within = matches!(node.source, Source::InZone { .. }).then_some(&*node.records);
    add_glue(zone, reply, wanted(), within);
    true
}

/// Adds the addresses of the names that records point to, as far as they fit; without them nothing is truncated
/// (RFC 2181 section 9). Where only some addresses, in order, are meant, those.
fn add_glue<'z>(
    zone: &'z Zone,
    reply: &mut Reply<'_>,
    records: impl Iterator<Item = &'z RecordData>,
    within: Option<&[RecordData]>,
) {
    let mut last = None;
    for record in records {
        let (RecordData::Srv { target, .. } | RecordData::Ns(target)) = record else { continue };
        // Records of one endpoint's several ports follow each other.
        if last == Some(target) {
            continue;
        }
        last = Some(target);
        let Place::Here(node) = zone.place(target.as_wire()) else { continue };
        for data in &node.records {
            let is_address = matches!(data, RecordData::A(_) | RecordData::Aaaa(_));
            let is_meant = within.is_none_or(|within| within.binary_search(data).is_ok());
            if is_address && is_meant && !reply.add(Section::Additional, target.as_wire(), data, zone) {
                return;
            }
        }
    }
}

impl Limits {
    /// The largest response to `query`.
    pub(crate) fn size(self, query: &Query<'_>) -> usize {
        self.size_for(query.edns.map(|edns| edns.payload))
    }

    /// The largest response to a client that takes this much, if it says so.
    pub(crate) fn size_for(self, payload: Option<u16>) -> usize {
        match self.transport {
            Transport::Tcp => usize::from(u16::MAX),
            Transport::Udp => {
                let asked = payload.unwrap_or(SMALLEST_PAYLOAD);
                usize::from(asked.min(self.udp_payload).max(SMALLEST_PAYLOAD))
            }
        }
    }
}
