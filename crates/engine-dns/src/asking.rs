//! The packets sent to upstream servers, and which packets are their replies.
//!
//! A question has one form, whoever asks it: lower-case, with EDNS of our own and without options but those of rewrites. So equal questions are
//! equal bytes, and nothing of a client travels on that is meant for its next hop alone: cookies (RFC 7873), keepalive
//! (RFC 7828), padding (RFC 7830), or its subnet, with which a reply kept for all would be wrong (RFC 7871 section 7.1.2).

use crate::message::{
    CLASS_IN, FLAG_AD, FLAG_CD, FLAG_QR, FLAG_RD, FLAG_TC, HEADER, QUESTION, Query, skip_name, u16_at,
};
use crate::reply::{OPT_LENGTH, OUR_PAYLOAD};
use crate::{Name, RecordType};

/// The query that asks what a client asks. It carries EDNS even if the client's does not, so that replies are seldom cut;
/// and AD, with which a server tells whether it has validated (RFC 6840 section 5.7).
pub(crate) fn upstream_query(query: &Query<'_>) -> Vec<u8> {
    let dnssec_ok = query.edns.is_some_and(|edns| edns.dnssec_ok);
    let packet = query.packet;
    let class = &packet[query.question_end - 2..query.question_end];
    let flags = [packet[2] & FLAG_RD, packet[3] & FLAG_CD | FLAG_AD];
    write_query(query.name(), query.kind, class, flags, dnssec_ok)
}

/// The query that asks for a name's records on our own account.
pub(crate) fn own_query(name: &Name, kind: RecordType) -> Vec<u8> {
    write_query(name.as_wire(), kind, &CLASS_IN.to_be_bytes(), [FLAG_RD, FLAG_AD], false)
}

fn write_query(name: &[u8], kind: RecordType, class: &[u8], flags: [u8; 2], dnssec_ok: bool) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER + name.len() + 4 + OPT_LENGTH);
    packet.extend_from_slice(&[0, 0, flags[0], flags[1], 0, 1, 0, 0, 0, 0, 0, 1]);
    packet.extend_from_slice(name);
    packet.extend_from_slice(&kind.0.to_be_bytes());
    packet.extend_from_slice(class);
    packet.push(0);
    packet.extend_from_slice(&RecordType::OPT.0.to_be_bytes());
    packet.extend_from_slice(&OUR_PAYLOAD.to_be_bytes());
    packet.extend_from_slice(&[0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    packet
}

/// A query of ours with EDNS options: its OPT record is the last one, and has none yet.
pub(crate) fn with_options(mut query: Vec<u8>, options: &[u8]) -> Vec<u8> {
    if let (Some(at), Ok(length)) = (query.len().checked_sub(2), u16::try_from(options.len())) {
        query[at..].copy_from_slice(&length.to_be_bytes());
        query.extend_from_slice(options);
    }
    query
}

/// A query for a name, without EDNS.
#[must_use]
pub fn query_packet(target: &Name, kind: RecordType, id: u16) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER + target.as_wire().len() + 4);
    packet.extend_from_slice(&id.to_be_bytes());
    packet.extend_from_slice(&[FLAG_RD, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    packet.extend_from_slice(target.as_wire());
    packet.extend_from_slice(&kind.0.to_be_bytes());
    packet.extend_from_slice(&CLASS_IN.to_be_bytes());
    packet
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

/// A copy of a query with the case of each letter of its name drawn: one of 64 bits for each, from the first again for
/// names with more letters.
#[must_use]
pub fn with_case(query: &[u8], draw: u64) -> Vec<u8> {
    let mut copy = query.to_vec();
    if let Some(end) = question_end(query) {
        let letters = copy[QUESTION..end - 4].iter_mut().filter(|byte| byte.is_ascii_alphabetic());
        for (index, letter) in (0..64).cycle().zip(letters) {
            if draw >> index & 1 == 1 {
                letter.make_ascii_uppercase();
            }
        }
    }
    copy
}

/// A copy of a query of ours without EDNS, for a server that does not know it (RFC 6891 section 7).
#[must_use]
pub fn without_edns(query: &[u8]) -> Vec<u8> {
    let mut copy = query.to_vec();
    if let Some(end) = question_end(query) {
        copy.truncate(end);
        copy[10..HEADER].fill(0);
    }
    copy
}

/// Whether a reply says that its server does not know EDNS: it finds the query malformed or the operation unknown.
#[must_use]
pub fn is_without_edns(reply: &[u8]) -> bool {
    reply.len() >= HEADER && matches!(reply[3] & 0x0f, 1 | 4)
}

/// Whether `reply` answers `query`: same ID and same question, in letters of any case.
#[must_use]
pub fn is_reply_to(query: &[u8], reply: &[u8]) -> bool {
    let Some(end) = question_end(query) else { return false };
    reply.len() >= end
        && reply[..2] == query[..2]
        && reply[2] & FLAG_QR != 0
        && reply[4..6] == query[4..6]
        && reply[QUESTION..end].eq_ignore_ascii_case(&query[QUESTION..end])
}

/// Whether a reply repeats the letters of its query's question.
#[must_use]
pub fn echoes_case(query: &[u8], reply: &[u8]) -> bool {
    question_end(query).is_some_and(|end| reply.get(QUESTION..end) == Some(&query[QUESTION..end]))
}

/// Whether a message says that it was cut.
#[must_use]
pub fn is_truncated(message: &[u8]) -> bool {
    message.len() >= HEADER && message[2] & FLAG_TC != 0
}

/// Where the only question of a message ends.
pub(crate) fn question_end(message: &[u8]) -> Option<usize> {
    if u16_at(message, 4)? != 1 {
        return None;
    }
    let end = skip_name(message, QUESTION)? + 4;
    (end <= message.len()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_query() -> Vec<u8> {
        own_query(&Name::parse("www.example.com").unwrap(), RecordType::A)
    }

    #[test]
    fn letters_are_drawn_and_nothing_else() {
        let query = mk_query();
        assert_eq!(with_case(&query, 0), query);
        let drawn = with_case(&query, 0b1001);
        assert_eq!(&drawn[QUESTION..29], b"\x03Www\x07Example\x03com\x00");
        assert_eq!((&drawn[..QUESTION], &drawn[29..]), (&query[..QUESTION], &query[29..]));
        let mut reply = with_case(&query, u64::MAX);
        reply[2] |= FLAG_QR;
        assert!(is_reply_to(&query, &reply) && !echoes_case(&query, &reply));
        assert!(echoes_case(&with_case(&query, u64::MAX), &reply));
    }

    #[test]
    fn edns_is_left_out_for_servers_that_do_not_know_it() {
        let plain = query_packet(&Name::parse("www.example.com").unwrap(), RecordType::A, 0);
        let mut without = without_edns(&mk_query());
        without[3] &= !FLAG_AD;
        assert_eq!(without, plain);
    }
}
