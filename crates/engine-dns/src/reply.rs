//! Writing of response packets: sections, name compression, size limits.

use crate::extended_error::ExtendedError;
use crate::message::{
    CLASS_IN, Edns, FLAG_AA, FLAG_CD, FLAG_QR, FLAG_RA, FLAG_RD, FLAG_TC, HEADER, QUESTION, Query, Rcode,
    u16_at,
};
use crate::name::labels;
use crate::received::set_opt_length;
use crate::{Name, RecordData, RecordType, Zone};

/// The UDP payload we say we take (DNS flag day 2020).
pub(crate) const OUR_PAYLOAD: u16 = 1232;
/// Length of an OPT record without options.
pub(crate) const OPT_LENGTH: usize = 11;
/// Refresh, retry and expire of the SOA record, as CoreDNS gives them; nobody transfers this zone.
const SOA_TIMERS: [u32; 3] = [7200, 1800, 86400];

/// A section of a message that records are counted in, by the offset of its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Answer = 6,
    Authority = 8,
    Additional = 10,
}

/// A response packet in the making. The question stands at its start, and names are compressed against it.
pub(crate) struct Reply<'a> {
    out: &'a mut Vec<u8>,
    /// The question's name, lower-case.
    question: &'a [u8],
    edns: Option<Edns>,
    limit: usize,
}

impl<'a> Reply<'a> {
    /// Starts an empty response to `query` in `out`, which grows to at most `limit` bytes.
    pub(crate) fn start(query: &'a Query<'_>, limit: usize, out: &'a mut Vec<u8>) -> Self {
        out.clear();
        let packet = query.packet;
        let kept = [packet[2] & FLAG_RD, packet[3] & FLAG_CD];
        out.extend_from_slice(&[packet[0], packet[1], FLAG_QR | kept[0], FLAG_RA | kept[1]]);
        out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&packet[QUESTION..query.question_end]);
        Self { out, question: query.name(), edns: query.edns, limit }
    }

    /// Takes up a response that [`Self::start`] began and [`Self::pause`] left.
    pub(crate) fn resume(query: &'a Query<'_>, limit: usize, out: &'a mut Vec<u8>) -> Self {
        Self { out, question: query.name(), edns: query.edns, limit }
    }

    pub(crate) fn set_authoritative(&mut self) {
        self.out[2] |= FLAG_AA;
    }

    pub(crate) fn set_truncated(&mut self) {
        self.out[2] |= FLAG_TC;
    }

    pub(crate) fn set_rcode(&mut self, rcode: Rcode) {
        self.out[3] = self.out[3] & 0xf0 | (rcode.number() & 0x0f) as u8;
    }

    /// Adds EDNS if the client speaks it, with the upper bits of the response code. Room was kept for it.
    pub(crate) fn finish(self, rcode: Rcode) {
        self.finish_with(rcode, None);
    }

    /// As [`Self::finish`], and says why, if the client speaks EDNS and there is room.
    pub(crate) fn finish_with(self, rcode: Rcode, error: Option<&ExtendedError>) {
        let Self { out, edns, limit, .. } = self;
        out[3] = out[3] & 0xf0 | (rcode.number() & 0x0f) as u8;
        if let Some(edns) = edns {
            out.extend_from_slice(&[0]);
            out.extend_from_slice(&RecordType::OPT.0.to_be_bytes());
            out.extend_from_slice(&OUR_PAYLOAD.to_be_bytes());
            let flags = if edns.dnssec_ok { 0x80 } else { 0 };
            out.extend_from_slice(&[(rcode.number() >> 4) as u8, 0, flags, 0, 0, 0]);
            count(out, Section::Additional);
            let option = error.map(ExtendedError::to_option).unwrap_or_default();
            if out.len() + option.len() <= limit {
                set_opt_length(out.len() - OPT_LENGTH, option.len(), out);
                out.extend_from_slice(&option);
            }
        }
    }

    /// Leaves the response open for [`Self::resume`].
    pub(crate) fn pause(self) {}

    /// Adds a record; `false`, and nothing added, when it does not fit.
    pub(crate) fn add(&mut self, section: Section, owner: &[u8], data: &RecordData, zone: &Zone) -> bool {
        self.add_with(section, owner, (data.record_type(), zone.ttl_of(data)), |reply| {
            reply.write_data(data, zone);
        })
    }

    /// Adds the zone's SOA record under the last `zone_labels` labels of the question's name.
    pub(crate) fn add_soa(&mut self, section: Section, zone_labels: usize, zone: &Zone) -> bool {
        let question = self.question;
        let skipped = labels(question).count().saturating_sub(zone_labels);
        let start: usize = labels(question).take(skipped).map(|label| label.len() + 1).sum();
        self.add(section, &question[start..], &RecordData::Soa, zone)
    }

    /// Adds a record whose data `write` writes; `false`, and nothing added, when it does not fit.
    pub(crate) fn add_with(
        &mut self,
        section: Section,
        owner: &[u8],
        (kind, ttl): (RecordType, u32),
        write: impl FnOnce(&mut Self),
    ) -> bool {
        let start = self.out.len();
        self.write_name(owner);
        self.out.extend_from_slice(&kind.0.to_be_bytes());
        self.out.extend_from_slice(&CLASS_IN.to_be_bytes());
        self.out.extend_from_slice(&ttl.to_be_bytes());
        let length_at = self.out.len();
        self.out.extend_from_slice(&[0, 0]);
        write(self);
        let length = self.out.len() - length_at - 2;
        let reserve = if self.edns.is_some() { OPT_LENGTH } else { 0 };
        let fits = self.out.len() + reserve <= self.limit;
        let Some(length) = u16::try_from(length).ok().filter(|_| fits) else {
            self.out.truncate(start);
            return false;
        };
        self.out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        count(self.out, section);
        true
    }

    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Writes a name in wire form, its longest suffix shared with the question as a pointer.
    pub(crate) fn write_name(&mut self, wire: &[u8]) {
        let mut start = 0;
        while wire[start] != 0 {
            if let Some(at) = self.question_offset(&wire[start..]) {
                self.out.extend_from_slice(&(0xc000 | at).to_be_bytes());
                return;
            }
            let end = start + 1 + usize::from(wire[start]);
            self.out.extend_from_slice(&wire[start..end]);
            start = end;
        }
        self.out.push(0);
    }

    /// Where in the packet the question's name ends in exactly `suffix`.
    fn question_offset(&self, suffix: &[u8]) -> Option<u16> {
        let start = crate::name::suffix_start(self.question, suffix)?;
        u16::try_from(QUESTION + start).ok()
    }

    fn write_data(&mut self, data: &RecordData, zone: &Zone) {
        match data {
            RecordData::A(address) => self.write_bytes(&address.octets()),
            RecordData::Aaaa(address) => self.write_bytes(&address.octets()),
            RecordData::Cname(name) | RecordData::Ptr(name) | RecordData::Ns(name) => {
                self.write_name(name.as_wire());
            }
            RecordData::Srv { priority, weight, target, port } => {
                for number in [priority, weight, port] {
                    self.write_bytes(&number.to_be_bytes());
                }
                // RFC 2782: the target is never compressed.
                self.write_bytes(target.as_wire());
            }
            RecordData::Txt(text) => {
                let length = u8::try_from(text.len()).expect("a text record has at most 255 bytes");
                self.write_bytes(&[length]);
                self.write_bytes(text.as_bytes());
            }
            RecordData::Soa => self.write_soa(zone),
        }
    }

    fn write_soa(&mut self, zone: &Zone) {
        self.write_name(zone.name_server().as_wire());
        let mailbox = zone.origin.child("hostmaster");
        self.write_name(mailbox.as_ref().unwrap_or(&zone.origin).as_wire());
        self.write_bytes(&zone.serial.to_be_bytes());
        for seconds in SOA_TIMERS {
            self.write_bytes(&seconds.to_be_bytes());
        }
        self.write_bytes(&zone.plan.ttl_seconds.to_be_bytes());
    }
}

/// Counts one more record in a section. A message of 64 KiB holds fewer than 65536 records.
fn count(out: &mut [u8], section: Section) {
    let at = section as usize;
    let number = u16_at(out, at).unwrap_or(0).saturating_add(1);
    out[at..at + 2].copy_from_slice(&number.to_be_bytes());
}

/// A response of a header alone, for packets whose question could not be read.
pub(crate) fn bare(packet: &[u8], rcode: Rcode, out: &mut Vec<u8>) {
    out.clear();
    let opcode_and_rd = packet[2] & 0x79;
    let code = (rcode.number() & 0x0f) as u8;
    out.extend_from_slice(&[packet[0], packet[1], FLAG_QR | opcode_and_rd, FLAG_RA | code]);
    out.resize(HEADER, 0);
}

/// The zone's name in a record list for people.
pub(crate) fn soa_owner(zone: &Zone, name: &Name) -> Name {
    let keep = zone.zone_labels(name.as_wire());
    let skipped = name.labels().count().saturating_sub(keep);
    let start: usize = name.labels().take(skipped).map(|label| label.len() + 1).sum();
    Name::from_checked_wire(&name.as_wire()[start..])
}
