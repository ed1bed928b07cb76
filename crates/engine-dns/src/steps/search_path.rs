//! The search path of a Pod, walked here: the first name of it that exists answers, behind an alias (CoreDNS,
//! `plugin/autopath`).
//!
//! A client in the course of a search gets what it would have found itself, whatever its resolver makes of names without
//! the wanted type: where a name exists without it, that is the answer, and where anything else than an answer or a denial
//! comes up, the first denial is, so that the client goes on by itself. A client that means the first name and no other gets
//! what it did not ask for; so nothing is searched for names that could be an endpoint's or a port's of an existing Service.

use std::net::IpAddr;

use types::ServiceName;

use crate::answer::{Answer, Asked, Limits};
use crate::decoded::{Decoded, Item, Part};
use crate::forward::Ask;
use crate::message::{Query, Rcode};
use crate::name::{labels, suffix_start};
use crate::{Name, RecordType, Zone};

/// A search under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Search {
    /// The denial of the first name, as the client would get it.
    first: Vec<u8>,
    /// The query for the name that others are asked about now.
    packet: Vec<u8>,
    /// What is known of the names after it.
    rest: Vec<Candidate>,
}

/// A name of the search path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    packet: Vec<u8>,
    answer: Answer,
    written: Vec<u8>,
}

/// What an answer means for a search.
enum Judgement {
    Found(Box<Decoded>),
    Missing,
    Unclear,
}

/// The names that a Pod's resolver asks for after this one, if it is the first of its search path.
pub(super) fn names(zone: &Zone, name: &[u8], client: IpAddr) -> Option<Vec<Name>> {
    let plan = &zone.plan;
    let namespace = plan.pods.get(&client).filter(|_| !plan.own_search.contains_key(&client))?;
    let origin = zone.origin();
    let services = origin.child("svc")?;
    let first = services.child(namespace)?;
    let end = suffix_start(name, first.as_wire()).filter(|end| *end > 0)?;
    let base = &name[..end];
    let last = labels(base).last().and_then(|label| std::str::from_utf8(label).ok())?;
    if plan.services.contains_key(&ServiceName::new(namespace.as_str(), last)) {
        return None;
    }
    let node = plan.node_search.iter().filter_map(|domain| Name::parse(domain).ok());
    let root = Name::parse(".").ok();
    let suffixes = [services, origin.clone()].into_iter().chain(node).chain(root);
    Some(suffixes.filter_map(|suffix| Name::joined(base, &suffix)).collect())
}

/// Answers a query with the first name that exists: its own, or one of these.
pub(super) fn begin(
    names: &[Name],
    asked: Asked<'_>,
    out: &mut Vec<u8>,
    answer_name: impl Fn(Asked<'_>, &mut Vec<u8>) -> Answer,
) -> Answer {
    let Asked { query, limits, .. } = asked;
    let first = answer_name(asked, out);
    let is_denied = first == Answer::Respond && out.get(3).is_some_and(|byte| is_denial(*byte));
    if !is_denied {
        return first;
    }
    let candidate = |name: &Name| {
        let packet = query.asking(name.as_wire(), query.kind);
        let mut written = Vec::new();
        let inner = Query::parse(&packet).ok()?;
        let inner = Asked { query: &inner, limits: limits.without_bounds(), ..asked };
        let answer = answer_name(inner, &mut written);
        Some(Candidate { packet, answer, written })
    };
    let candidates = names.iter().filter_map(candidate).collect();
    go_on(std::mem::take(out), candidates, (query, limits), out)
}

fn is_denial(flags: u8) -> bool {
    u16::from(flags & 0x0f) == Rcode::NxDomain.number()
}

/// Looks at names in order until one is found or has to be asked about.
fn go_on(
    first: Vec<u8>,
    candidates: Vec<Candidate>,
    (query, limits): (&Query<'_>, Limits),
    out: &mut Vec<u8>,
) -> Answer {
    let mut candidates = candidates.into_iter();
    while let Some(Candidate { packet, answer, written }) = candidates.next() {
        let judgement = match answer {
            Answer::Ask(ask) => {
                return Answer::Ask(ask.searching(Search { first, packet, rest: candidates.collect() }));
            }
            Answer::Respond => judge(&written),
            Answer::Drop => Judgement::Unclear,
        };
        match judgement {
            Judgement::Missing => {}
            Judgement::Found(decoded) => return found(*decoded, (query, limits), out),
            Judgement::Unclear => break,
        }
    }
    *out = first;
    Answer::Respond
}

fn judge(written: &[u8]) -> Judgement {
    match Decoded::read(written) {
        Some(decoded) if decoded.is_truncated => Judgement::Unclear,
        Some(decoded) if decoded.rcode == Rcode::NoError.number() => Judgement::Found(Box::new(decoded)),
        Some(decoded) if decoded.rcode == Rcode::NxDomain.number() => Judgement::Missing,
        _ => Judgement::Unclear,
    }
}

/// An answer under another name, behind an alias of that name.
fn found(mut decoded: Decoded, (query, limits): (&Query<'_>, Limits), out: &mut Vec<u8>) -> Answer {
    if let Some(record) = decoded.sections[0].first() {
        let data = vec![Part::Name(record.owner.clone())];
        let alias = Item { owner: query.name().to_vec(), kind: RecordType::CNAME, ttl: record.ttl, data };
        decoded.sections[0].insert(0, alias);
    }
    decoded.write(query, limits, out);
    Answer::Respond
}

impl Search {
    /// Goes on with the reply of upstream servers to the name that was asked about.
    pub(crate) fn resume(
        self,
        ask: Ask,
        reply: Option<&[u8]>,
        (query, limits): (&Query<'_>, Limits),
        out: &mut Vec<u8>,
    ) -> Answer {
        let mut written = Vec::new();
        let answer = crate::resume(&self.packet, ask, reply, limits.without_bounds(), &mut written);
        let mut candidates = vec![Candidate { packet: self.packet, answer, written }];
        candidates.extend(self.rest);
        go_on(self.first, candidates, (query, limits), out)
    }
}
