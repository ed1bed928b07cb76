//! Replies of upstream servers: read once, and written again as a client has to see them.

use std::ops::Range;

use crate::RecordType;
use crate::answer::Limits;
use crate::asking::question_end;
use crate::message::{
    FLAG_AA, FLAG_AD, FLAG_CD, FLAG_QR, FLAG_RA, FLAG_RD, FLAG_TC, QUESTION, Query, skip_name, u16_at,
};
use crate::reply::{OPT_LENGTH, OUR_PAYLOAD};

/// The EDNS option of Extended DNS Errors (RFC 8914 section 2).
const EXTENDED_ERROR: u16 = 15;

/// A reply, checked to the end of its last record.
#[derive(Clone, Debug)]
pub(crate) struct Received<'a> {
    /// The message; what follows its last record is none of it.
    pub(crate) bytes: &'a [u8],
    pub(crate) question_end: usize,
    /// Where the additional section begins.
    additional: usize,
    /// Where its records end, without the OPT record and what follows that.
    pub(crate) end: usize,
    /// How many records there are up to there, by section.
    counts: [u16; 3],
    /// What EDNS says.
    edns: Option<Extension>,
}

#[derive(Clone, Debug)]
struct Extension {
    /// The upper bits of the response code.
    upper_rcode: u8,
    options: Range<usize>,
}

/// One record of a reply, by where its parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordAt {
    /// 0: answer, 1: authority, 2: additional.
    pub(crate) section: usize,
    /// Where its owner's name begins.
    pub(crate) owner: usize,
    /// Its type.
    pub(crate) kind: RecordType,
    /// Where its time to live is.
    pub(crate) ttl: usize,
    /// Where its data begins.
    pub(crate) data: usize,
    /// Where it ends.
    pub(crate) end: usize,
}

impl<'a> Received<'a> {
    /// Reads a reply; `None` when it is malformed. One that says it was cut may be cut within a record, and then counts as one
    /// without records.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let question_end = question_end(bytes)?;
        let whole = Self::parse_records(bytes, question_end);
        if whole.is_some() || bytes[2] & FLAG_TC == 0 {
            return whole;
        }
        let (additional, end) = (question_end, question_end);
        Some(Self { bytes, question_end, additional, end, counts: [0; 3], edns: None })
    }

    fn parse_records(bytes: &'a [u8], question_end: usize) -> Option<Self> {
        let mut reply = Self {
            bytes,
            question_end,
            additional: question_end,
            end: question_end,
            counts: [u16_at(bytes, 6)?, u16_at(bytes, 8)?, 0],
            edns: None,
        };
        let mut at = question_end;
        for section in 0..3 {
            if section == 2 {
                reply.additional = at;
                reply.end = at;
            }
            for _ in 0..u16_at(bytes, 6 + 2 * section)? {
                let record = read_record(bytes, section, at)?;
                at = record.end;
                if section == 2 {
                    reply.take_additional(record)?;
                }
            }
        }
        Some(reply)
    }

    /// Records behind the OPT record are left out: what they help with can be asked for, and their compressed names
    /// would lead astray once the OPT record is gone.
    fn take_additional(&mut self, record: RecordAt) -> Option<()> {
        if record.kind != RecordType::OPT {
            if self.edns.is_none() {
                self.end = record.end;
                self.counts[2] += 1;
            }
            return Some(());
        }
        if self.edns.is_some() {
            return None;
        }
        self.edns = Some(Extension { upper_rcode: self.bytes[record.ttl], options: record.data..record.end });
        Some(())
    }

    /// The response code, with the bits that EDNS adds.
    pub(crate) fn rcode(&self) -> u16 {
        let upper = self.edns.as_ref().map_or(0, |edns| u16::from(edns.upper_rcode));
        upper << 4 | u16::from(self.bytes[3] & 0x0f)
    }

    /// Whether it was cut.
    pub(crate) fn is_truncated(&self) -> bool {
        self.bytes[2] & FLAG_TC != 0
    }

    /// Its records, but for the OPT record and what follows that.
    pub(crate) fn records(&self) -> impl Iterator<Item = RecordAt> {
        let sections = (0..3).flat_map(|section| (0..self.counts[section]).map(move |_| section));
        let mut at = self.question_end;
        sections.map_while(move |section| {
            let record = read_record(self.bytes, section, at)?;
            at = record.end;
            Some(record)
        })
    }

    /// How many records a section has, counted as [`RecordAt::section`] counts.
    pub(crate) fn count(&self, section: usize) -> u16 {
        self.counts[section]
    }

    /// The options with Extended DNS Errors, each with its code and length. Other options are for us alone.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.edns.as_ref().map_or(&self.bytes[..0], |edns| &self.bytes[edns.options.clone()]);
        std::iter::from_fn(move || {
            loop {
                let length = 4 + usize::from(u16_at(rest, 2)?);
                let (option, next) = rest.split_at_checked(length)?;
                rest = next;
                if u16_at(option, 0)? == EXTENDED_ERROR {
                    return Some(option);
                }
            }
        })
    }

    /// Writes it as the answer to a client's query: under its ID, its letters, its flags and its EDNS. What does not fit
    /// is left out: errors first, then additional records, and at last all, with the word that it was cut.
    pub(crate) fn write(&self, query: &Query<'_>, limits: Limits, out: &mut Vec<u8>) {
        let room = limits.size(query).saturating_sub(query.edns.map_or(0, |_| OPT_LENGTH));
        let (end, additional, is_cut) = match () {
            () if self.end <= room => (self.end, self.counts[2], false),
            () if self.additional <= room => (self.additional, 0, false),
            () => (self.question_end, 0, true),
        };
        let packet = query.packet;
        out.clear();
        out.extend_from_slice(&self.bytes[..end]);
        out[..2].copy_from_slice(&packet[..2]);
        let cut = if is_cut { FLAG_TC } else { 0 };
        out[2] = FLAG_QR | self.bytes[2] & (FLAG_AA | FLAG_TC) | cut | packet[2] & FLAG_RD;
        // RFC 6840 section 5.8: only for those who have shown that they know what it means.
        let knows_ad = packet[3] & FLAG_AD != 0 || query.edns.is_some_and(|edns| edns.dnssec_ok);
        let validated = if knows_ad && !is_cut { self.bytes[3] & FLAG_AD } else { 0 };
        out[3] = self.bytes[3] & (FLAG_RA | 0x0f) | validated | packet[3] & FLAG_CD;
        let counts = if is_cut { [0; 3] } else { [self.counts[0], self.counts[1], additional] };
        for (at, count) in [6, 8, 10].into_iter().zip(counts) {
            out[at..at + 2].copy_from_slice(&count.to_be_bytes());
        }
        out[QUESTION..query.question_end].copy_from_slice(&packet[QUESTION..query.question_end]);
        if let Some(edns) = query.edns {
            self.write_edns(edns.dnssec_ok, room - end.min(room), out);
        }
    }

    fn write_edns(&self, dnssec_ok: bool, room: usize, out: &mut Vec<u8>) {
        let start = push_opt(dnssec_ok, out);
        let mut length = 0;
        for option in self.errors() {
            if length + option.len() > room {
                break;
            }
            length += option.len();
            out.extend_from_slice(option);
        }
        set_opt_length(start, length, out);
    }
}

/// Adds an OPT record without options to a message, and tells where it begins.
pub(crate) fn push_opt(dnssec_ok: bool, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.push(0);
    out.extend_from_slice(&RecordType::OPT.0.to_be_bytes());
    out.extend_from_slice(&OUR_PAYLOAD.to_be_bytes());
    out.extend_from_slice(&[0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    let count = u16_at(out, 10).unwrap_or(0).saturating_add(1);
    out[10..12].copy_from_slice(&count.to_be_bytes());
    start
}

/// Tells the OPT record at `start` how long its options are.
pub(crate) fn set_opt_length(start: usize, length: usize, out: &mut [u8]) {
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    out[start + OPT_LENGTH - 2..start + OPT_LENGTH].copy_from_slice(&length.to_be_bytes());
}

/// An Extended DNS Error without text, as an option of an OPT record.
pub(crate) fn error_option(code: u16) -> [u8; 6] {
    let [high, low] = code.to_be_bytes();
    [0, 15, 0, 2, high, low]
}

fn read_record(bytes: &[u8], section: usize, owner: usize) -> Option<RecordAt> {
    let fixed = skip_name(bytes, owner)?;
    let data = fixed + 10;
    let end = data + usize::from(u16_at(bytes, fixed + 8)?);
    let kind = RecordType(u16_at(bytes, fixed)?);
    (end <= bytes.len()).then_some(RecordAt { section, owner, kind, ttl: fixed + 4, data, end })
}
