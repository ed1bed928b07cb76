//! The packets around forwarding: what to send to an upstream server and what to make of its reply.

use crate::answer::{Answer, Limits};
use crate::blocks::ForwardId;
use crate::message::{
    FLAG_QR, FLAG_RD, FLAG_TC, HEADER, QUESTION, Query, Rcode, parse_name, skip_name, u16_at,
};
use crate::reply::{Reply, Section};
use crate::{Name, RecordType};

/// A question for upstream servers, and what its reply is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Whom to ask.
    pub to: ForwardId,
    /// The query packet to send; who sends it chooses its ID.
    pub query: Vec<u8>,
    then: Then,
}

/// What the reply to an [`Ask`] is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Then {
    /// It is the client's response.
    Respond,
    /// It completes this response, which begins with the names of ExternalName Services.
    Complete(Vec<u8>),
}

impl Ask {
    pub(crate) fn whole(to: ForwardId, query: &[u8]) -> Self {
        Self { to, query: query.to_vec(), then: Then::Respond }
    }

    pub(crate) fn chase(to: ForwardId, target: &Name, kind: RecordType, begun: Vec<u8>) -> Self {
        Self { to, query: query_packet(target, kind, 0), then: Then::Complete(begun) }
    }
}

/// Goes on with a query once upstream servers have replied to what [`crate::answer()`] wanted to ask; without a usable
/// reply, the client gets SERVFAIL. A response is written to `out`, whose earlier content is lost.
///
/// The reply's ID does not matter, and its question's letters may be of any case.
pub fn resume(packet: &[u8], ask: Ask, reply: Option<&[u8]>, limits: Limits, out: &mut Vec<u8>) -> Answer {
    let Ok(query) = Query::parse(packet) else { return Answer::Drop };
    match ask.then {
        Then::Respond => match reply.filter(|reply| has_question_of(&query, reply)) {
            Some(reply) => pass_on(&query, reply, limits, out),
            None => Reply::start(&query, limits.size(&query), out).finish(Rcode::ServFail),
        },
        Then::Complete(begun) => {
            *out = begun;
            complete(&query, reply, limits, out);
        }
    }
    Answer::Respond
}

/// Whether the reply's question is the query's, so that the one can stand in the place of the other.
fn has_question_of(query: &Query<'_>, reply: &[u8]) -> bool {
    let question = &query.packet[QUESTION..query.question_end];
    reply.get(QUESTION..query.question_end).is_some_and(|other| other.eq_ignore_ascii_case(question))
}

/// Writes an upstream's reply as the client has to see it, or that it is too long for the client.
fn pass_on(query: &Query<'_>, reply: &[u8], limits: Limits, out: &mut Vec<u8>) {
    let size = limits.size(query);
    if reply.len() <= size {
        out.clear();
        out.extend_from_slice(reply);
        out[..2].copy_from_slice(&query.packet[..2]);
        out[QUESTION..query.question_end].copy_from_slice(&query.packet[QUESTION..query.question_end]);
        return;
    }
    let mut cut = Reply::start(query, size, out);
    cut.set_truncated();
    cut.finish(Rcode::NoError);
}

/// A copy of `packet` with another ID.
#[must_use]
pub fn with_id(packet: &[u8], id: u16) -> Vec<u8> {
    let mut copy = packet.to_vec();
    if let Some(bytes) = copy.get_mut(..2) {
        bytes.copy_from_slice(&id.to_be_bytes());
    }
    copy
}

/// Whether `reply` answers `query`: same ID and same question.
#[must_use]
pub fn is_reply_to(query: &[u8], reply: &[u8]) -> bool {
    let Some(end) = question_end(query) else { return false };
    reply.len() >= end
        && reply[..2] == query[..2]
        && reply[2] & FLAG_QR != 0
        && reply[4..6] == query[4..6]
        && reply[QUESTION..end].eq_ignore_ascii_case(&query[QUESTION..end])
}

/// Whether a message says that it was cut.
#[must_use]
pub fn is_truncated(message: &[u8]) -> bool {
    message.len() >= HEADER && message[2] & FLAG_TC != 0
}

/// A query for a name.
#[must_use]
pub fn query_packet(target: &Name, kind: RecordType, id: u16) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER + target.as_wire().len() + 4);
    packet.extend_from_slice(&id.to_be_bytes());
    packet.extend_from_slice(&[FLAG_RD, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    packet.extend_from_slice(target.as_wire());
    packet.extend_from_slice(&kind.0.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    packet
}

/// Completes the half answer in `out` with the upstream's records. Without a usable reply the client gets the
/// CNAME record and SERVFAIL, so that it tries again.
fn complete(query: &Query<'_>, reply: Option<&[u8]>, limits: Limits, out: &mut Vec<u8>) {
    let mut response = Reply::resume(query, limits.size(query), out);
    let reply = reply.filter(|reply| reply.len() >= HEADER);
    let rcode = match reply.map(|reply| reply[3] & 0x0f) {
        Some(0) => Rcode::NoError,
        Some(3) => Rcode::NxDomain,
        _ => Rcode::ServFail,
    };
    if let Some(reply) = reply
        && copy_answers(reply, &mut response).is_none()
    {
        response.set_truncated();
    }
    response.set_rcode(rcode);
    response.finish(rcode);
}

/// Copies the records that lead to an address or a text; `None` when one did not fit or could not be read.
fn copy_answers(reply: &[u8], response: &mut Reply<'_>) -> Option<()> {
    let mut at = question_end(reply)?;
    for _ in 0..u16_at(reply, 6)? {
        let (owner, fixed) = parse_name(reply, at)?;
        let kind = RecordType(u16_at(reply, fixed)?);
        let ttl = u32::from(u16_at(reply, fixed + 4)?) << 16 | u32::from(u16_at(reply, fixed + 6)?);
        let start = fixed + 10;
        let end = start + usize::from(u16_at(reply, fixed + 8)?);
        let data = reply.get(start..end)?;
        at = end;
        let has_fit = match kind {
            RecordType::A | RecordType::AAAA | RecordType::TXT => {
                response.add_with(Section::Answer, &owner, (kind, ttl), |reply| reply.write_bytes(data))
            }
            RecordType::CNAME => {
                let (target, _) = parse_name(reply, start)?;
                response.add_with(Section::Answer, &owner, (kind, ttl), |reply| reply.write_name(&target))
            }
            // Other data may hold compressed names; a client that wants it asks for the target itself.
            _ => true,
        };
        has_fit.then_some(())?;
    }
    Some(())
}

/// Where the only question of a message ends.
fn question_end(message: &[u8]) -> Option<usize> {
    if u16_at(message, 4)? != 1 {
        return None;
    }
    let end = skip_name(message, QUESTION)? + 4;
    (end <= message.len()).then_some(end)
}
