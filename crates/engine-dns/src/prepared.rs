//! Answers that were given before and are given again: one look-up in a hash table instead of a walk through the zone.
//!
//! What an answer is, is not decided here: each is learnt from a response that [`crate::answer()`] wrote, and only of the plain
//! shapes: addresses of the name that was asked, or that there are none. Whoever keeps such a table begins it anew when
//! another zone is published. It grows to a limit and is then begun anew, so that invented names cost no more than that.

mod lookup;
mod shape;
mod table;

use plan::SearchPath;

use crate::Zone;
use crate::answer::Limits;
use crate::message::{FLAG_AA, FLAG_CD, FLAG_QR, FLAG_RA, FLAG_RD, QUESTION};
pub use lookup::Lookup;
use lookup::OPT_DO;
use shape::{Shape, shape};
use table::Table;

/// Where the flags stand in an OPT record without options, counted from its start (RFC 6891 section 6.1.2).
const OPT_FLAGS: usize = 7;

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

    /// Reads a query; `None` for one whose response is never in a table.
    #[must_use]
    pub fn read(&self, packet: &[u8], limits: Limits) -> Option<Lookup> {
        Lookup::read(packet, limits, self.table.seed())
    }

    /// Brings the answers to several queries near, so that the ways to memory are gone side by side and not one after the other.
    pub fn fetch(&self, lookups: &[Option<Lookup>]) {
        self.table.fetch(lookups.iter().flatten().map(|lookup| lookup.hash));
    }

    /// Writes the response to a query if it is known; it is the one that [`crate::answer()`] would write. The lookup is what
    /// [`Self::read`] made of this packet, with limits that differ at most in the draw. Not for a query that the log may want:
    /// [`crate::query_record()`] tells.
    #[must_use]
    pub fn respond(&self, lookup: &Lookup, packet: &[u8], draw: u64, out: &mut Vec<u8>) -> bool {
        if self.highest_logged_draw.is_some_and(|highest| draw <= highest) {
            return false;
        }
        let found = self.table.get(lookup.hash, lookup.key(packet));
        let Some(entry) = found.and_then(Entry::read) else { return false };
        entry.write(lookup, packet, draw, out);
        true
    }

    /// Takes note of the response that [`crate::answer()`] wrote to a query with these limits, if it has a plain shape.
    pub fn learn(&mut self, packet: &[u8], limits: Limits, response: &[u8]) {
        let Some(query) = self.read(packet, limits) else { return };
        let Some(shape) = shape(response, query.question_end, query.has_edns) else { return };
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
        self.table.insert(query.hash, query.key(packet), &[&head, &tail]);
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

impl<'t> Entry<'t> {
    fn read(bytes: &'t [u8]) -> Option<Self> {
        let (shape, rest) = bytes.split_first_chunk()?;
        let (flags, tail) = rest.split_first_chunk()?;
        Some(Self { shape: Shape::of_bytes(*shape), flags: *flags, tail })
    }

    fn write(&self, query: &Lookup, packet: &[u8], draw: u64, out: &mut Vec<u8>) {
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
