//! A client's side: what a response says, as text.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::message::{HEADER, parse_name, skip_name, u16_at};
use crate::{Name, RecordType};

/// What a response says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The response code (RFC 1035 section 4.1.1): 0 no error, 2 server failure, 3 no such name.
    pub rcode: u8,
    /// The records of the answer section, as `name ttl TYPE data`.
    pub answers: Vec<String>,
}

impl Response {
    /// Reads a packet; `None` when it is no response or is malformed.
    #[must_use]
    pub fn read(packet: &[u8]) -> Option<Self> {
        let flags = u16_at(packet, 2)?;
        if flags & 0x8000 == 0 {
            return None;
        }
        let mut at = HEADER;
        for _ in 0..u16_at(packet, 4)? {
            at = skip_name(packet, at)? + 4;
        }
        let mut answers = Vec::new();
        for _ in 0..u16_at(packet, 6)? {
            let (text, end) = read_record(packet, at)?;
            answers.push(text);
            at = end;
        }
        let rcode = (flags & 0x000f).to_le_bytes()[0];
        Some(Self { rcode, answers })
    }
}

/// One record as text, and where the next begins.
fn read_record(packet: &[u8], start: usize) -> Option<(String, usize)> {
    let (name, at) = read_name(packet, start)?;
    let kind = RecordType(u16_at(packet, at)?);
    let ttl = u32::from(u16_at(packet, at + 4)?) << 16 | u32::from(u16_at(packet, at + 6)?);
    let length = usize::from(u16_at(packet, at + 8)?);
    let data_start = at + 10;
    let data = packet.get(data_start..data_start + length)?;
    let data = read_data(packet, kind, data_start, data)?;
    Some((format!("{name} {ttl} {kind} {data}"), data_start + length))
}

fn read_name(packet: &[u8], start: usize) -> Option<(String, usize)> {
    let (wire, end) = parse_name(packet, start)?;
    Some((Name::from_checked_wire(&wire).to_string(), end))
}

fn read_data(packet: &[u8], kind: RecordType, start: usize, data: &[u8]) -> Option<String> {
    Some(match kind {
        RecordType::A => Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).to_string(),
        RecordType::AAAA => Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).to_string(),
        RecordType::CNAME | RecordType::PTR | RecordType::NS => read_name(packet, start)?.0,
        RecordType::SRV => {
            let field = |index: usize| u16_at(packet, start + 2 * index);
            format!("{} {} {} {}", field(0)?, field(1)?, field(2)?, read_name(packet, start + 6)?.0)
        }
        RecordType::TXT => String::from_utf8_lossy(data.get(1..)?).into_owned(),
        _ => format!("({} bytes)", data.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query_packet;

    #[test]
    fn a_question_is_no_response_and_cut_packets_are_refused() {
        let name = Name::parse("web.shop.svc.cluster.local").unwrap();
        let mut packet = query_packet(&name, RecordType::A, 7);
        assert_eq!(Response::read(&packet), None);
        packet[2] |= 0x80;
        packet[7] = 1;
        packet.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 96, 0, 1]);
        let answer = "web.shop.svc.cluster.local 5 A 10.96.0.1".to_owned();
        assert_eq!(Response::read(&packet), Some(Response { rcode: 0, answers: vec![answer] }));
        for end in 0..packet.len() {
            let _ = Response::read(&packet[..end]);
        }
    }
}
