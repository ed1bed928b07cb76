//! Answers that were given before and are given again: one look-up in a hash table instead of a walk through the zone.
//!
//! What an answer is, is not decided here: each is learnt from a response that [`crate::answer()`] wrote, and only of the plain
//! shapes: addresses of the name that was asked, or that there are none. Whoever keeps such a table begins it anew when
//! another zone is published. It grows to a limit and is then begun anew, so that invented names cost no more than that.

mod shape;
mod table;

use plan::SearchPath;

use crate::Zone;
use crate::answer::Limits;
use crate::message::{CLASS_IN, FLAG_AA, FLAG_CD, FLAG_QR, FLAG_RA, FLAG_RD, HEADER, QUESTION, u16_at};
use crate::name::{MAX_LABEL, MAX_NAME};
use crate::reply::OPT_LENGTH;
use shape::{Shape, shape};
use table::Table;

/// Where the flags stand in an OPT record without options, counted from its start (RFC 6891 section 6.1.2).
const OPT_FLAGS: usize = 7;
/// DNSSEC OK, in the first byte of these.
const OPT_DO: u8 = 0x80;

/// A table of answers.
#[derive(Debug)]
pub struct Prepared {
    table: Table,
    scope: Scope,
    /// Queries that drew no more than this may have to be written to the log.
    highest_logged_draw: Option<u64>,
}

/// Which answers of a zone are the same for all clients, and may be given unseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    All,
    /// That there is no such name here is the end for some clients, and for others only of the first step of their search path.
    Addresses,
    None,
}

/// A query of the shape that nearly all have: one question of class IN, and at most an OPT record without options.
struct Plain<'p> {
    packet: &'p [u8],
    question_end: usize,
    /// The payload that the client takes, when it speaks EDNS.
    payload: Option<u16>,
    dnssec_ok: bool,
}

/// What an answer depends on, as bytes: the name in lower case, the type, the size that a response may have, and whether
/// there is EDNS.
struct Key {
    bytes: [u8; MAX_NAME + 5],
    length: usize,
}

/// An answer in the table: what follows the question in its response.
struct Entry<'t> {
    shape: Shape,
    /// The response's third and fourth byte, without what is copied from the query.
    flags: [u8; 2],
    tail: &'t [u8],
}

impl Prepared {
    /// An empty table that holds up to about this many bytes of answers, once [`Self::begin`] has been called. The seed is to
    /// be random: who knows it can invent names that displace each other.
    #[must_use]
    pub fn new(max_bytes: usize, seed: u64) -> Self {
        Self { table: Table::new(max_bytes, seed), scope: Scope::None, highest_logged_draw: None }
    }

    /// Forgets all answers; from now on they are learnt from this zone, if there is any.
    pub fn begin(&mut self, zone: Option<&Zone>) {
        self.table.clear();
        self.scope = zone.map_or(Scope::None, scope);
        self.highest_logged_draw = zone.and_then(Zone::highest_logged_draw);
    }

    /// Writes the response to a query if it is known; it is the one that [`crate::answer()`] would write. Not for a query that
    /// the log may want: [`crate::query_record()`] tells.
    #[must_use]
    pub fn respond(&self, packet: &[u8], limits: Limits, out: &mut Vec<u8>) -> bool {
        if self.highest_logged_draw.is_some_and(|highest| limits.draw <= highest) {
            return false;
        }
        let Some(query) = Plain::read(packet) else { return false };
        let key = query.key(limits);
        let Some(entry) = self.table.get(key.as_bytes()).and_then(Entry::read) else { return false };
        entry.write(&query, limits.draw, out);
        true
    }

    /// Takes note of the response that [`crate::answer()`] wrote to a query with these limits, if it has a plain shape.
    pub fn learn(&mut self, packet: &[u8], limits: Limits, response: &[u8]) {
        let Some(query) = Plain::read(packet) else { return };
        let Some(shape) = shape(response, query.question_end, query.payload.is_some()) else { return };
        if self.scope == Scope::None || self.scope == Scope::Addresses && shape.records() == 0 {
            return;
        }
        let flags = [FLAG_QR | FLAG_AA, FLAG_RA | response[3] & 0x0f];
        let (mut head, mut tail) = (shape.to_bytes().to_vec(), response[query.question_end..].to_vec());
        head.extend(flags);
        tail[..shape.records()].rotate_right(shape.first(limits.draw));
        if let Some(opt) = shape.opt(&tail).filter(|_| query.dnssec_ok) {
            tail[opt + OPT_FLAGS] &= !OPT_DO;
        }
        self.table.insert(query.key(limits).as_bytes(), &[&head, &tail]);
    }
}

fn scope(zone: &Zone) -> Scope {
    let blocks = &zone.plan.settings.blocks;
    if blocks.iter().any(|block| !block.access.is_empty()) {
        Scope::None
    } else if blocks.iter().any(|block| block.search_path == SearchPath::Server) {
        Scope::Addresses
    } else {
        Scope::All
    }
}

impl<'p> Plain<'p> {
    fn read(packet: &'p [u8]) -> Option<Self> {
        let header = packet.get(..HEADER)?;
        // Neither a response nor another operation than QUERY; one question, and nothing in the next two sections.
        if header[2] & 0xf8 != 0 || header[4..10] != [0, 1, 0, 0, 0, 0] || header[10] != 0 {
            return None;
        }
        let mut at = QUESTION;
        loop {
            let label = usize::from(*packet.get(at)?);
            if label > MAX_LABEL {
                return None;
            }
            at += label + 1;
            if label == 0 {
                break;
            }
        }
        let question_end = at + 4;
        if at - QUESTION > MAX_NAME || u16_at(packet, at + 2)? != CLASS_IN {
            return None;
        }
        let mut query = Self { packet, question_end, payload: None, dnssec_ok: false };
        match header[11] {
            0 => (packet.len() == question_end).then_some(query),
            1 => {
                let opt: &[u8; OPT_LENGTH] = packet.get(question_end..)?.try_into().ok()?;
                // Owned by the root, version 0, no options.
                if opt[..3] != [0, 0, 41] || opt[6] != 0 || opt[9..] != [0, 0] {
                    return None;
                }
                query.payload = Some(u16::from_be_bytes([opt[3], opt[4]]));
                query.dnssec_ok = opt[OPT_FLAGS] & OPT_DO != 0;
                Some(query)
            }
            _ => None,
        }
    }

    fn key(&self, limits: Limits) -> Key {
        let mut bytes = [0; MAX_NAME + 5];
        // Without the class.
        let question = &self.packet[QUESTION..self.question_end - 2];
        let length = question.len() + 3;
        bytes[..question.len()].copy_from_slice(question);
        // The lengths of labels are no letters.
        bytes[..question.len() - 2].make_ascii_lowercase();
        let size = u16::try_from(limits.size_for(self.payload)).unwrap_or(u16::MAX);
        bytes[question.len()..length - 1].copy_from_slice(&size.to_be_bytes());
        bytes[length - 1] = u8::from(self.payload.is_some());
        Key { bytes, length }
    }
}

impl Key {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl<'t> Entry<'t> {
    fn read(bytes: &'t [u8]) -> Option<Self> {
        let (shape, rest) = bytes.split_first_chunk()?;
        let (flags, tail) = rest.split_first_chunk()?;
        Some(Self { shape: Shape::of_bytes(*shape), flags: *flags, tail })
    }

    fn write(&self, query: &Plain<'_>, draw: u64, out: &mut Vec<u8>) {
        let packet = query.packet;
        let (answers, authorities, additionals) = self.shape.counts();
        let [third, fourth] = self.flags;
        out.clear();
        out.reserve(query.question_end + self.tail.len());
        out.extend_from_slice(&[
            packet[0],
            packet[1],
            third | packet[2] & FLAG_RD,
            fourth | packet[3] & FLAG_CD,
        ]);
        let [high, low] = answers.to_be_bytes();
        out.extend_from_slice(&[0, 1, high, low, 0, authorities, 0, additionals]);
        out.extend_from_slice(&packet[QUESTION..query.question_end]);
        let (records, rest) = self.tail.split_at(self.shape.records());
        let (last, first) = records.split_at(self.shape.first(draw));
        out.extend_from_slice(first);
        out.extend_from_slice(last);
        out.extend_from_slice(rest);
        if query.dnssec_ok
            && let Some(opt) = self.shape.opt(self.tail)
        {
            out[query.question_end + opt + OPT_FLAGS] |= OPT_DO;
        }
    }
}

#[cfg(test)]
mod tests;
