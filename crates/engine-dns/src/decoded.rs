//! A whole response with all names written out, to be changed and written again.

use std::collections::BTreeMap;

use crate::answer::Limits;
use crate::message::{
    CLASS_IN, FLAG_AA, FLAG_CD, FLAG_QR, FLAG_RA, FLAG_RD, FLAG_TC, QUESTION, Query, parse_name, u16_at,
};
use crate::received::{Received, push_opt, set_opt_length};
use crate::reply::OPT_LENGTH;
use crate::{RecordData, RecordType};

/// How far a pointer reaches (RFC 1035 section 4.1.4).
const POINTER_END: usize = 0x4000;

/// A response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) is_authoritative: bool,
    pub(crate) is_truncated: bool,
    pub(crate) rcode: u16,
    /// Answer, authority and additional records; the OPT record is not among them.
    pub(crate) sections: [Vec<Item>; 3],
    /// Extended DNS Errors, as options.
    pub(crate) errors: Vec<Vec<u8>>,
}

/// A record of any type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its owner in lower-case wire form.
    pub(crate) owner: Vec<u8>,
    pub(crate) kind: RecordType,
    pub(crate) ttl: u32,
    pub(crate) data: Vec<Part>,
}

/// A piece of a record's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Bytes(Vec<u8>),
    /// A name in lower-case wire form.
    Name(Vec<u8>),
}

impl Decoded {
    /// Reads a response.
    pub(crate) fn read(packet: &[u8]) -> Option<Self> {
        let received = Received::parse(packet)?;
        let mut decoded = Self {
            is_authoritative: packet[2] & FLAG_AA != 0,
            is_truncated: received.is_truncated(),
            rcode: received.rcode(),
            errors: received.errors().map(<[u8]>::to_vec).collect(),
            ..Self::default()
        };
        for record in received.records() {
            let (owner, _) = parse_name(packet, record.owner)?;
            let ttl =
                u32::from(u16_at(packet, record.ttl)?) << 16 | u32::from(u16_at(packet, record.ttl + 2)?);
            let data = read_data(packet, record.kind, record.data, record.end)?;
            decoded.sections[record.section].push(Item { owner, kind: record.kind, ttl, data });
        }
        Some(decoded)
    }

    /// Writes it as the response to a query: answers that do not fit make it truncated, other records are left out.
    pub(crate) fn write(&self, query: &Query<'_>, limits: Limits, out: &mut Vec<u8>) {
        let packet = query.packet;
        out.clear();
        let authoritative = if self.is_authoritative { FLAG_AA } else { 0 };
        let truncated = if self.is_truncated { FLAG_TC } else { 0 };
        out.extend_from_slice(&packet[..2]);
        out.push(FLAG_QR | authoritative | truncated | packet[2] & FLAG_RD);
        out.push(FLAG_RA | packet[3] & FLAG_CD | (self.rcode & 0x0f) as u8);
        out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&packet[QUESTION..query.question_end]);
        let room = limits.size(query).saturating_sub(query.edns.map_or(0, |_| OPT_LENGTH));
        let mut names = Names::default();
        names.learn(query.name(), QUESTION);
        'all: for (section, items) in self.sections.iter().enumerate() {
            for item in items {
                let start = out.len();
                names.write_item(item, out);
                if out.len() > room {
                    out.truncate(start);
                    if section == 0 {
                        out[2] |= FLAG_TC;
                    }
                    break 'all;
                }
                let at = 6 + 2 * section;
                let count = u16_at(out, at).unwrap_or(0).saturating_add(1);
                out[at..at + 2].copy_from_slice(&count.to_be_bytes());
            }
        }
        if let Some(edns) = query.edns {
            self.write_edns(edns.dnssec_ok, room.saturating_sub(out.len()), out);
        }
    }

    fn write_edns(&self, dnssec_ok: bool, room: usize, out: &mut Vec<u8>) {
        let start = push_opt(dnssec_ok, out);
        out[start + 5] = (self.rcode >> 4) as u8;
        let mut length = 0;
        for option in self.errors.iter().filter(|option| option.len() <= room) {
            if length + option.len() <= room {
                length += option.len();
                out.extend_from_slice(option);
            }
        }
        set_opt_length(start, length, out);
    }
}

impl Item {
    /// A record of one of our own types.
    pub(crate) fn new(owner: &[u8], ttl: u32, data: &RecordData) -> Option<Self> {
        let data_parts = match data {
            RecordData::A(address) => vec![Part::Bytes(address.octets().to_vec())],
            RecordData::Aaaa(address) => vec![Part::Bytes(address.octets().to_vec())],
            RecordData::Cname(name) | RecordData::Ptr(name) | RecordData::Ns(name) => {
                vec![Part::Name(name.as_wire().to_vec())]
            }
            RecordData::Srv { .. } | RecordData::Txt(_) | RecordData::Soa => return None,
        };
        Some(Self { owner: owner.to_vec(), kind: data.record_type(), ttl, data: data_parts })
    }

    /// The first name in its data.
    pub(crate) fn target_mut(&mut self) -> Option<&mut Vec<u8>> {
        self.data.iter_mut().find_map(|part| match part {
            Part::Name(name) => Some(name),
            Part::Bytes(_) => None,
        })
    }
}

/// A record's data, with the names of those types whose names can be compressed or that people rewrite.
fn read_data(packet: &[u8], kind: RecordType, start: usize, end: usize) -> Option<Vec<Part>> {
    let bytes = |from: usize, to: usize| packet.get(from..to).map(|bytes| Part::Bytes(bytes.to_vec()));
    let name = |at: usize| parse_name(packet, at).filter(|(_, next)| *next <= end);
    Some(match kind {
        RecordType::CNAME | RecordType::NS | RecordType::PTR | DNAME => vec![Part::Name(name(start)?.0)],
        MX => vec![bytes(start, start + 2)?, Part::Name(name(start + 2)?.0)],
        RecordType::SRV => vec![bytes(start, start + 6)?, Part::Name(name(start + 6)?.0)],
        RecordType::SOA => {
            let (server, next) = name(start)?;
            let (mailbox, next) = name(next)?;
            vec![Part::Name(server), Part::Name(mailbox), bytes(next, end)?]
        }
        NAPTR => {
            let mut at = start + 4;
            for _ in 0..3 {
                at += 1 + usize::from(*packet.get(at)?);
            }
            vec![bytes(start, at)?, Part::Name(name(at)?.0)]
        }
        _ => vec![bytes(start, end)?],
    })
}

const MX: RecordType = RecordType(15);
const NAPTR: RecordType = RecordType(35);
const DNAME: RecordType = RecordType(39);

/// Where names stand in a message, to point at.
#[derive(Default)]
struct Names(BTreeMap<Vec<u8>, u16>);

impl Names {
    /// Takes note of a name at `at` and of all its endings.
    fn learn(&mut self, name: &[u8], at: usize) {
        let mut start = 0;
        while name[start] != 0 && at + start < POINTER_END {
            self.0.entry(name[start..].to_vec()).or_insert((at + start) as u16);
            start += 1 + usize::from(name[start]);
        }
    }

    fn write_name(&mut self, name: &[u8], out: &mut Vec<u8>) {
        let at = out.len();
        let mut start = 0;
        while name[start] != 0 {
            if let Some(known) = self.0.get(&name[start..]) {
                out.extend_from_slice(&(0xc000 | known).to_be_bytes());
                self.learn_head(name, start, at);
                return;
            }
            let end = start + 1 + usize::from(name[start]);
            out.extend_from_slice(&name[start..end]);
            start = end;
        }
        out.push(0);
        self.learn(name, at);
    }

    /// Takes note of those endings that begin before `end`.
    fn learn_head(&mut self, name: &[u8], end: usize, at: usize) {
        let mut start = 0;
        while start < end && at + start < POINTER_END {
            self.0.entry(name[start..].to_vec()).or_insert((at + start) as u16);
            start += 1 + usize::from(name[start]);
        }
    }

    fn write_item(&mut self, item: &Item, out: &mut Vec<u8>) {
        self.write_name(&item.owner, out);
        out.extend_from_slice(&item.kind.0.to_be_bytes());
        out.extend_from_slice(&CLASS_IN.to_be_bytes());
        out.extend_from_slice(&item.ttl.to_be_bytes());
        let length_at = out.len();
        out.extend_from_slice(&[0, 0]);
        for part in &item.data {
            match part {
                Part::Bytes(bytes) => out.extend_from_slice(bytes),
                // RFC 3597 section 4: only names of the types of RFC 1035 are compressed.
                Part::Name(name) if is_compressible(item.kind) => self.write_name(name, out),
                Part::Name(name) => out.extend_from_slice(name),
            }
        }
        let length = u16::try_from(out.len() - length_at - 2).unwrap_or(u16::MAX);
        out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
    }
}

fn is_compressible(kind: RecordType) -> bool {
    matches!(kind, RecordType::CNAME | RecordType::NS | RecordType::PTR | RecordType::SOA | MX)
}
