//! Queries of the shape that nearly all have, and what their answers are looked up by.

use super::OPT_FLAGS;
use crate::answer::Limits;
use crate::message::{CLASS_IN, HEADER, QUESTION, u16_at};
use crate::name::{MAX_LABEL, MAX_NAME};
use crate::reply::OPT_LENGTH;

/// DNSSEC OK, in the first byte of an OPT record's flags.
pub(super) const OPT_DO: u8 = 0x80;
/// What a key has after the name.
const SUFFIX: usize = 5;
/// Makes letters small, and nothing that may stand in a name the same as something else that may, but in its lengths.
const SMALL: u64 = u64::from_ne_bytes([0x20; 8]);
/// Odd numbers without pattern, as wyhash multiplies with.
const FACTORS: [u64; 2] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db];

/// What is found in a query before its answer is looked up: one question of class IN, and at most an OPT record without options.
#[derive(Clone, Copy, Debug)]
pub struct Lookup {
    pub(super) hash: u64,
    pub(super) question_end: usize,
    /// Whether the client speaks EDNS.
    pub(super) has_edns: bool,
    pub(super) dnssec_ok: bool,
    /// The size that a response may have.
    size: u16,
}

/// What an answer depends on: the name regardless of the case of its letters, the type, the size that a response may have,
/// and whether there is EDNS.
#[derive(Clone, Copy)]
pub(super) struct Key<'k> {
    pub(super) name: &'k [u8],
    pub(super) suffix: [u8; SUFFIX],
}

impl Lookup {
    /// Reads a query; `None` for one that has another shape.
    pub(super) fn read(packet: &[u8], limits: Limits, seed: u64) -> Option<Self> {
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
        let (payload, dnssec_ok) = match header[11] {
            0 => (packet.len() == question_end).then_some((None, false))?,
            1 => opt(packet, question_end)?,
            _ => return None,
        };
        let size = u16::try_from(limits.size_for(payload)).unwrap_or(u16::MAX);
        let mut lookup = Self { hash: 0, question_end, has_edns: payload.is_some(), dnssec_ok, size };
        lookup.hash = lookup.key(packet).hash(seed);
        Some(lookup)
    }

    /// The key; the packet is the one that was read.
    pub(super) fn key<'k>(&self, packet: &'k [u8]) -> Key<'k> {
        let (name, kind) = packet[QUESTION..self.question_end - 2].split_at(self.question_end - QUESTION - 4);
        let [high, low] = self.size.to_be_bytes();
        Key { name, suffix: [kind[0], kind[1], high, low, u8::from(self.has_edns)] }
    }
}

/// The payload that the client takes, and whether it wants DNSSEC's records, of an OPT record that ends the packet.
fn opt(packet: &[u8], start: usize) -> Option<(Option<u16>, bool)> {
    let opt: &[u8; OPT_LENGTH] = packet.get(start..)?.try_into().ok()?;
    // Owned by the root, version 0, no options.
    let is_plain = opt[..3] == [0, 0, 41] && opt[6] == 0 && opt[9..] == [0, 0];
    is_plain.then(|| (Some(u16::from_be_bytes([opt[3], opt[4]])), opt[OPT_FLAGS] & OPT_DO != 0))
}

impl<'k> Key<'k> {
    /// As it is kept.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        // The lengths of labels are no letters.
        let mut bytes = self.name.to_ascii_lowercase();
        bytes.extend(self.suffix);
        bytes
    }

    /// How [`Self::to_bytes`] wrote it.
    pub(super) fn of_bytes(bytes: &'k [u8]) -> Option<Self> {
        let (name, suffix) = bytes.split_last_chunk()?;
        Some(Self { name, suffix: *suffix })
    }

    pub(super) fn is(self, other: Key<'_>) -> bool {
        self.suffix == other.suffix && self.name.eq_ignore_ascii_case(other.name)
    }

    /// A hash that somebody who does not know the seed cannot foresee well; if they could, they would only displace entries.
    pub(super) fn hash(self, seed: u64) -> u64 {
        let mut hash = seed ^ self.name.len() as u64;
        let (words, rest) = self.name.as_chunks::<8>();
        for word in words {
            hash = fold(hash ^ (u64::from_le_bytes(*word) | SMALL), FACTORS[0]);
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash = fold(hash ^ (u64::from_le_bytes(last) | SMALL), FACTORS[0]);
        let [a, b, c, d, e] = self.suffix;
        fold(hash ^ u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]), FACTORS[1])
    }
}

fn fold(number: u64, factor: u64) -> u64 {
    let product = u128::from(number) * u128::from(factor);
    (product >> 64) as u64 ^ product as u64
}
