//! What upstream servers are asked, and what is made of their replies.

use crate::answer::{Answer, Limits};
use crate::asking::{own_query, question_end, upstream_query, with_options};
use crate::blocks::{ForwardId, Next};
use crate::extended_error::NOBODY;
use crate::message::{HEADER, QUESTION, Query, Rcode, parse_name, u16_at};
use crate::received::Received;
use crate::reply::{Reply, Section};
use crate::steps::{self, Search, Undo};
use crate::{Keep, Name, RecordType};

/// A question for upstream servers, and what its reply is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Whom to ask.
    pub to: ForwardId,
    /// The query packet to send; who sends it chooses its ID. Equal questions have equal packets.
    pub query: Vec<u8>,
    /// Which replies to it are kept; `None`: those kept have no say.
    pub keep: Option<Keep>,
    /// Who is asked the same if the reply is not wanted.
    next: Box<[Next]>,
    then: Then,
}

/// What the reply to an [`Ask`] is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Then {
    /// It is the client's response.
    Respond,
    /// It completes this response, which begins with the names of ExternalName Services.
    Complete(Vec<u8>),
    /// It goes on with another query in the client's place, whose answer is changed back.
    Undo { packet: Vec<u8>, then: Box<Then>, undo: Vec<Undo> },
    /// It is about one of the names of a Pod's search path.
    Search(Box<(Then, Search)>),
}

impl Ask {
    pub(crate) fn whole(to: ForwardId, query: &Query<'_>, keep: Option<Keep>) -> Self {
        Self { to, query: upstream_query(query), keep, next: Box::default(), then: Then::Respond }
    }

    pub(crate) fn chase(
        to: ForwardId,
        (target, kind): (&Name, RecordType),
        keep: Option<Keep>,
        begun: Vec<u8>,
    ) -> Self {
        Self { to, query: own_query(target, kind), keep, next: Box::default(), then: Then::Complete(begun) }
    }

    /// The same question, of a client that asked for another name: it is that name which decides what is kept, as with CoreDNS,
    /// unless the question is about the target of an alias or a name of the search path, which clients never ask for.
    pub(crate) fn kept_as(self, keep: Option<Keep>) -> Self {
        if self.then.is_of_client() { Self { keep, ..self } } else { self }
    }

    /// The same question, with these EDNS options.
    pub(crate) fn with_options(self, options: &[u8]) -> Self {
        Self { query: with_options(self.query, options), ..self }
    }

    /// The same question, of which others are asked when the reply is not wanted.
    pub(crate) fn or_else(self, next: Box<[Next]>) -> Self {
        Self { next, ..self }
    }

    /// Who is asked instead of taking this reply.
    fn next_for(&self, reply: Option<&[u8]>) -> Option<Self> {
        let (next, rest) = self.next.split_first()?;
        let is_unwanted = reply.is_some_and(|reply| next.unwanted.has(reply));
        is_unwanted.then(|| Self { to: next.to, next: rest.into(), ..self.clone() })
    }

    /// The same question, asked because of `packet`, a query in the place of the client's.
    pub(crate) fn undone_by(self, packet: Vec<u8>, undo: Vec<Undo>) -> Self {
        Self { then: Then::Undo { packet, then: Box::new(self.then), undo }, ..self }
    }

    /// The same question, as a step of a search.
    pub(crate) fn searching(self, search: Search) -> Self {
        Self { then: Then::Search(Box::new((self.then, search))), ..self }
    }
}

impl Then {
    /// Whether the reply is about the name that the client asked for, or what rewrites made of it.
    fn is_of_client(&self) -> bool {
        match self {
            Self::Respond => true,
            Self::Undo { then, .. } => then.is_of_client(),
            Self::Complete(_) | Self::Search(_) => false,
        }
    }
}

/// Goes on with a query once upstream servers have replied to what [`crate::answer()`] wanted to ask; without a usable
/// reply, the client gets SERVFAIL. A response is written to `out`, whose earlier content is lost.
///
/// The reply's ID does not matter, and its question's letters may be of any case.
pub fn resume(packet: &[u8], ask: Ask, reply: Option<&[u8]>, limits: Limits, out: &mut Vec<u8>) -> Answer {
    let Ok(query) = Query::parse(packet) else { return Answer::Drop };
    if let Some(next) = ask.next_for(reply) {
        return Answer::Ask(next);
    }
    match ask.then {
        Then::Respond => match reply.and_then(Received::parse).filter(|reply| is_passed_on(&query, reply)) {
            Some(reply) => reply.write(&query, limits, out),
            None => return steps::fail(&query, limits, &NOBODY, out),
        },
        Then::Complete(begun) => {
            *out = begun;
            complete(&query, reply, limits, out);
        }
        Then::Undo { packet: inner, then, undo } => {
            let ask = Ask { then: *then, ..ask };
            let mut written = Vec::new();
            return match resume(&inner, ask, reply, limits.without_bounds(), &mut written) {
                Answer::Respond => steps::finish(&undo, &written, (&query, limits), out),
                Answer::Ask(next) => Answer::Ask(next.undone_by(inner, undo)),
                Answer::Drop => Answer::Drop,
            };
        }
        Then::Search(search) => {
            let (then, search) = *search;
            return search.resume(Ask { then, ..ask }, reply, (&query, limits), out);
        }
    }
    Answer::Respond
}

/// Whether the reply's question is the query's, so that the one can stand in the place of the other. Response codes beyond
/// 15 are about EDNS between the server and us.
fn is_passed_on(query: &Query<'_>, reply: &Received<'_>) -> bool {
    let question = &query.packet[QUESTION..query.question_end];
    reply.rcode() < 16 && reply.bytes[QUESTION..reply.question_end].eq_ignore_ascii_case(question)
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
    response.finish_with(rcode, (rcode == Rcode::ServFail).then_some(&NOBODY));
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
