//! The plain shapes of a response: addresses of the question's name, or the SOA record that says there are none.

use crate::RecordType;
use crate::message::{CLASS_IN, FLAG_AA, FLAG_QR, FLAG_TC, QUESTION, skip_name, u16_at};
use crate::reply::OPT_LENGTH;

/// The bytes of a record before its data, when its owner is written as a pointer.
const RECORD_HEAD: usize = 12;

/// What a response holds after its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// How many addresses, all of one type.
    answers: u16,
    /// The bytes of each address record.
    record: u8,
    /// How many SOA records.
    authorities: u8,
    /// Where the OPT record starts, counted from the question's end; 0 when there is none.
    opt: u16,
}

/// The shape of a response whose question ends there; `None` when it is another one.
pub(super) fn shape(response: &[u8], question_end: usize, has_edns: bool) -> Option<Shape> {
    if response.len() < question_end || response[2] & (FLAG_QR | FLAG_AA | FLAG_TC) != FLAG_QR | FLAG_AA {
        return None;
    }
    // NOERROR and NXDOMAIN.
    if !matches!(response[3] & 0x0f, 0 | 3) || u16_at(response, 10)? != u16::from(has_edns) {
        return None;
    }
    let answers = u16_at(response, 6)?;
    let authorities = u16_at(response, 8)?;
    let (record, end) = match (answers, authorities) {
        (0, 1) => (0, soa_end(response, question_end)?),
        (1.., 0) => {
            let record = address_record(response, question_end, answers)?;
            (record, question_end + usize::from(record) * usize::from(answers))
        }
        _ => return None,
    };
    let opt = if has_edns { opt_start(response, question_end, end)? } else { 0 };
    let is_whole = has_edns || response.len() == end;
    let authorities = u8::from(authorities == 1);
    is_whole.then_some(Shape { answers, record, authorities, opt })
}

/// How long each of the address records is; they belong to the question's name and are of the question's type.
fn address_record(response: &[u8], question_end: usize, number: u16) -> Option<u8> {
    let kind = RecordType(u16_at(response, question_end - 4)?);
    let data: u8 = match kind {
        RecordType::A => 4,
        RecordType::AAAA => 16,
        _ => return None,
    };
    let length = RECORD_HEAD + usize::from(data);
    let records = response.get(question_end..question_end + length * usize::from(number))?;
    let is_address = |record: &[u8]| {
        record[..2] == [0xc0, QUESTION as u8]
            && record[2..4] == kind.0.to_be_bytes()
            && record[4..6] == CLASS_IN.to_be_bytes()
            && record[10..RECORD_HEAD] == [0, data]
    };
    records.chunks_exact(length).all(is_address).then_some(u8::try_from(length).ok()?)
}

fn soa_end(response: &[u8], start: usize) -> Option<usize> {
    let fixed = skip_name(response, start)?;
    (RecordType(u16_at(response, fixed)?) == RecordType::SOA).then_some(())?;
    let end = fixed + 10 + usize::from(u16_at(response, fixed + 8)?);
    (end <= response.len()).then_some(end)
}

/// Where an OPT record starts that is the rest of the response, counted from the question's end.
fn opt_start(response: &[u8], question_end: usize, start: usize) -> Option<u16> {
    let opt = response.get(start..)?;
    let is_opt = opt.first() == Some(&0) && RecordType(u16_at(opt, 1)?) == RecordType::OPT;
    let is_rest = opt.len() == OPT_LENGTH + usize::from(u16_at(opt, 9)?);
    (is_opt && is_rest).then_some(())?;
    u16::try_from(start - question_end).ok()
}

impl Shape {
    /// How [`Self::of_bytes`] reads it.
    pub(super) fn to_bytes(self) -> [u8; 6] {
        let ([a, b], [c, d]) = (self.answers.to_le_bytes(), self.opt.to_le_bytes());
        [a, b, self.record, self.authorities, c, d]
    }

    pub(super) fn of_bytes([a, b, record, authorities, c, d]: [u8; 6]) -> Self {
        let (answers, opt) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        Self { answers, record, authorities, opt }
    }

    /// The bytes of all address records.
    pub(super) fn records(self) -> usize {
        usize::from(self.record) * usize::from(self.answers)
    }

    /// Where in these the record begins that is first under this draw, as the general path has it.
    pub(super) fn first(self, draw: u64) -> usize {
        match self.answers {
            0 | 1 => 0,
            number => usize::from(self.record) * usize::try_from(draw % u64::from(number)).unwrap_or(0),
        }
    }

    /// Where the OPT record is in what follows the question; none in a tail too short for one.
    pub(super) fn opt(self, tail: &[u8]) -> Option<usize> {
        let opt = usize::from(self.opt);
        (opt > 0 && opt + OPT_LENGTH <= tail.len()).then_some(opt)
    }

    /// Counts of the answer, authority and additional sections.
    pub(super) fn counts(self) -> (u16, u8, u8) {
        (self.answers, self.authorities, u8::from(self.opt > 0))
    }
}
