//! Parsing of query packets.

use crate::RecordType;
use crate::name::{MAX_LABEL, MAX_NAME};

/// Length of a message's header (RFC 1035 section 4.1.1).
pub(crate) const HEADER: usize = 12;
/// Where the question's name starts.
pub(crate) const QUESTION: usize = HEADER;
/// Class `IN`.
pub(crate) const CLASS_IN: u16 = 1;
/// Class `ANY`, allowed in questions.
const CLASS_ANY: u16 = 255;

/// Third byte of the header: this is a response.
pub(crate) const FLAG_QR: u8 = 0x80;
/// Third byte: authoritative.
pub(crate) const FLAG_AA: u8 = 0x04;
/// Third byte: truncated.
pub(crate) const FLAG_TC: u8 = 0x02;
/// Third byte: recursion desired.
pub(crate) const FLAG_RD: u8 = 0x01;
/// Fourth byte: recursion available.
pub(crate) const FLAG_RA: u8 = 0x80;
/// Fourth byte: the records are authentic (RFC 4035 section 3.2.3); in a query, that the client wants to know (RFC 6840
/// section 5.7).
pub(crate) const FLAG_AD: u8 = 0x20;
/// Fourth byte: checking disabled (RFC 4035 section 3.2.2: copied into the response).
pub(crate) const FLAG_CD: u8 = 0x10;

/// Response codes (RFC 1035 section 4.1.1; 16 is RFC 6891 section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rcode {
    /// Fine, with or without data.
    NoError = 0,
    /// The query makes no sense.
    FormErr = 1,
    /// No answer could be had.
    ServFail = 2,
    /// The name does not exist.
    NxDomain = 3,
    /// An operation not done here.
    NotImp = 4,
    /// Not done for anyone.
    Refused = 5,
    /// An EDNS version not known here.
    BadVers = 16,
}

impl Rcode {
    /// Its number.
    pub(crate) fn number(self) -> u16 {
        self as u16
    }
}

/// A query packet, checked.
pub(crate) struct Query<'a> {
    /// The packet.
    pub(crate) packet: &'a [u8],
    /// The question's name, lower-case.
    name: NameBuffer,
    /// The question's type.
    pub(crate) kind: RecordType,
    /// Whether the class is one we answer.
    pub(crate) is_internet: bool,
    /// Where the question ends.
    pub(crate) question_end: usize,
    /// EDNS, when the client speaks it.
    pub(crate) edns: Option<Edns>,
}

/// What a client says with EDNS (RFC 6891).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edns {
    /// The largest UDP response it takes.
    pub(crate) payload: u16,
    /// Its version; only 0 is known.
    pub(crate) version: u8,
    /// DNSSEC OK, copied into the response.
    pub(crate) dnssec_ok: bool,
}

/// Why a packet is not a [`Query`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unanswerable {
    /// Too short for a header, or itself a response: silence, lest two servers talk for ever.
    Silent,
    /// Answered with the header and this code alone.
    Refused(Rcode),
}

struct NameBuffer {
    bytes: [u8; MAX_NAME],
    length: usize,
}

impl<'a> Query<'a> {
    /// Reads a packet.
    pub(crate) fn parse(packet: &'a [u8]) -> Result<Self, Unanswerable> {
        if packet.len() < HEADER || packet[2] & FLAG_QR != 0 {
            return Err(Unanswerable::Silent);
        }
        // Opcode 0 is QUERY.
        if packet[2] & 0x78 != 0 {
            return Err(Unanswerable::Refused(Rcode::NotImp));
        }
        Self::parse_body(packet).ok_or(Unanswerable::Refused(Rcode::FormErr))
    }

    fn parse_body(packet: &'a [u8]) -> Option<Self> {
        if u16_at(packet, 4)? != 1 {
            return None;
        }
        let (name, name_end) = parse_question_name(packet)?;
        let kind = RecordType(u16_at(packet, name_end)?);
        let class = u16_at(packet, name_end + 2)?;
        let question_end = name_end + 4;
        let edns = parse_edns(packet, question_end)?;
        let is_internet = class == CLASS_IN || class == CLASS_ANY;
        Some(Self { packet, name, kind, is_internet, question_end, edns })
    }

    /// The same query about another name and type.
    pub(crate) fn asking(&self, name: &[u8], kind: RecordType) -> Vec<u8> {
        let mut packet = Vec::with_capacity(HEADER + name.len() + 4 + 11);
        packet.extend_from_slice(&self.packet[..4]);
        packet.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        packet.extend_from_slice(name);
        packet.extend_from_slice(&kind.0.to_be_bytes());
        packet.extend_from_slice(&self.packet[self.question_end - 2..self.question_end]);
        if let Some(edns) = self.edns {
            crate::received::push_opt(edns.dnssec_ok, &mut packet);
        }
        packet
    }

    /// The question's name in lower-case wire form.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name.bytes[..self.name.length]
    }
}

/// The question's name. There is nothing before it that it could point to, so a pointer is an error.
fn parse_question_name(packet: &[u8]) -> Option<(NameBuffer, usize)> {
    let mut bytes = [0; MAX_NAME];
    let mut length = 0;
    loop {
        let label = usize::from(*packet.get(QUESTION + length)?);
        if label > MAX_LABEL || length + label + 1 > MAX_NAME {
            return None;
        }
        let source = packet.get(QUESTION + length..QUESTION + length + 1 + label)?;
        let target = &mut bytes[length..=length + label];
        target.copy_from_slice(source);
        target[1..].make_ascii_lowercase();
        length += label + 1;
        if label == 0 {
            return Some((NameBuffer { bytes, length }, QUESTION + length));
        }
    }
}

/// The OPT record after the question; the outer `None` is a malformed packet.
fn parse_edns(packet: &[u8], question_end: usize) -> Option<Option<Edns>> {
    let records =
        u32::from(u16_at(packet, 6)?) + u32::from(u16_at(packet, 8)?) + u32::from(u16_at(packet, 10)?);
    let mut at = question_end;
    let mut edns = None;
    for _ in 0..records {
        let is_root = *packet.get(at)? == 0;
        let fixed = skip_name(packet, at)?;
        let length = usize::from(u16_at(packet, fixed + 8)?);
        if RecordType(u16_at(packet, fixed)?) == RecordType::OPT {
            // RFC 6891 section 6.1.1: at most one, owned by the root.
            if edns.is_some() || !is_root {
                return None;
            }
            edns = Some(Edns {
                payload: u16_at(packet, fixed + 2)?,
                version: *packet.get(fixed + 5)?,
                dnssec_ok: *packet.get(fixed + 6)? & 0x80 != 0,
            });
        }
        at = fixed + 10 + length;
        if at > packet.len() {
            return None;
        }
    }
    Some(edns)
}

/// Where a possibly compressed name ends.
pub(crate) fn skip_name(packet: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let length = *packet.get(at)?;
        match length {
            0 => return Some(at + 1),
            1..=63 => at += 1 + usize::from(length),
            // A pointer ends the name (RFC 1035 section 4.1.4).
            0xc0.. => return packet.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
    }
}

/// A possibly compressed name as lower-case wire form, and where it ends; loops are errors.
pub(crate) fn parse_name(packet: &[u8], start: usize) -> Option<(Vec<u8>, usize)> {
    let end = skip_name(packet, start)?;
    let mut wire = Vec::with_capacity(64);
    let mut at = start;
    // Every pointer must lead further back than all before it, so this ends.
    let mut bound = start;
    loop {
        let length = *packet.get(at)?;
        match length {
            0 => {
                wire.push(0);
                return (wire.len() <= MAX_NAME).then_some((wire, end));
            }
            1..=63 => {
                let label = packet.get(at..at + 1 + usize::from(length))?;
                wire.push(length);
                wire.extend(label[1..].iter().map(u8::to_ascii_lowercase));
                if wire.len() > MAX_NAME {
                    return None;
                }
                at += label.len();
            }
            0xc0.. => {
                let target = usize::from(length & 0x3f) << 8 | usize::from(*packet.get(at + 1)?);
                if target >= bound {
                    return None;
                }
                bound = target;
                at = target;
            }
            _ => return None,
        }
    }
}

/// The big-endian number at `at`.
pub(crate) fn u16_at(packet: &[u8], at: usize) -> Option<u16> {
    let bytes = packet.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_loops_end() {
        let mut packet = vec![0; 12];
        packet.extend([0xc0, 12]);
        assert_eq!(parse_name(&packet, 12), None);
        packet.extend([0xc0, 16, 0xc0, 14]);
        assert_eq!(parse_name(&packet, 14), None);
        assert_eq!(parse_name(&packet, 16), None);
    }

    #[test]
    fn compressed_names_are_followed() {
        let packet = b"\x03Web\x04shop\x00\x03api\xc0\x04";
        assert_eq!(parse_name(packet, 10), Some((b"\x03api\x04shop\x00".to_vec(), 16)));
    }

    #[test]
    fn the_label_type_bits_01_and_10_are_errors() {
        assert_eq!(skip_name(&[0x40, 0], 0), None);
        assert_eq!(skip_name(&[0x80, 0], 0), None);
    }
}
