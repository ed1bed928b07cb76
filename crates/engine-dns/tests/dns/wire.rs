//! A DNS client's view of packets, written apart from the engine so that it can disagree with it.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A decoded response; records as `name ttl TYPE data`.
#[derive(Debug, Default)]
pub(crate) struct Response {
    pub(crate) id: u16,
    pub(crate) flags: u16,
    pub(crate) rcode: u16,
    pub(crate) question: String,
    pub(crate) answers: Vec<String>,
    pub(crate) authority: Vec<String>,
    pub(crate) additional: Vec<String>,
    pub(crate) payload: Option<u16>,
    /// Extended DNS Errors: code and text.
    pub(crate) errors: Vec<(u16, String)>,
}

impl Response {
    pub(crate) fn is_authoritative(&self) -> bool {
        self.flags & 0x0400 != 0
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.flags & 0x0200 != 0
    }
}

/// A query with recursion desired; `edns` is the payload size to offer.
pub(crate) fn query(name: &str, kind: u16, edns: Option<u16>) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    for label in name.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    packet.extend(kind.to_be_bytes());
    packet.extend([0, 1]);
    if let Some(payload) = edns {
        packet.extend([0, 0, 41]);
        packet.extend(payload.to_be_bytes());
        packet.extend([0, 0, 0, 0, 0, 0]);
    }
    packet
}

pub(crate) fn decode(packet: &[u8]) -> Response {
    let number = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let mut response =
        Response { id: number(0), flags: number(2), rcode: number(2) & 15, ..Response::default() };
    let mut at = 12;
    for _ in 0..number(4) {
        let (name, end) = name(packet, at);
        response.question = format!("{name} {}", number(end));
        at = end + 4;
    }
    for section in 0..3 {
        for _ in 0..number(6 + 2 * section) {
            let (owner, fixed) = name(packet, at);
            let kind = number(fixed);
            let length = usize::from(number(fixed + 8));
            let ttl = u32::from(number(fixed + 4)) << 16 | u32::from(number(fixed + 6));
            at = fixed + 10 + length;
            if kind == 41 {
                response.payload = Some(number(fixed + 2));
                response.rcode |= u16::from(packet[fixed + 4]) << 4;
                let mut option = fixed + 10;
                while option < at {
                    assert_eq!(number(option), 15, "no other option is sent");
                    let text = &packet[option + 6..option + 4 + usize::from(number(option + 2))];
                    response.errors.push((number(option + 4), String::from_utf8(text.to_vec()).unwrap()));
                    option += 4 + usize::from(number(option + 2));
                }
                assert_eq!(option, at);
                continue;
            }
            let line = format!("{owner} {ttl} {}", data(packet, kind, fixed + 10, length));
            match section {
                0 => response.answers.push(line),
                1 => response.authority.push(line),
                _ => response.additional.push(line),
            }
        }
    }
    assert_eq!(at, packet.len(), "nothing follows the last record");
    response
}

fn data(packet: &[u8], kind: u16, at: usize, length: usize) -> String {
    let bytes = &packet[at..at + length];
    let number = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    match kind {
        1 => format!("A {}", Ipv4Addr::from(<[u8; 4]>::try_from(bytes).unwrap())),
        28 => format!("AAAA {}", Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap())),
        2 => format!("NS {}", name(packet, at).0),
        5 => format!("CNAME {}", name(packet, at).0),
        12 => format!("PTR {}", name(packet, at).0),
        16 => format!("TXT {}", String::from_utf8_lossy(&bytes[1..])),
        33 => {
            let target = name(packet, at + 6).0;
            format!("SRV {} {} {} {target}", number(at), number(at + 2), number(at + 4))
        }
        6 => {
            let (server, next) = name(packet, at);
            let (mailbox, numbers) = name(packet, next);
            assert_eq!(numbers + 20, at + length);
            let minimum = u32::from(number(numbers + 16)) << 16 | u32::from(number(numbers + 18));
            format!("SOA {server} {mailbox} min={minimum}")
        }
        _ => format!("TYPE{kind} {bytes:02x?}"),
    }
}

fn name(packet: &[u8], start: usize) -> (String, usize) {
    let mut text = String::new();
    let (mut at, mut end) = (start, None);
    loop {
        let length = usize::from(packet[at]);
        if length >= 0xc0 {
            let target = (length & 0x3f) << 8 | usize::from(packet[at + 1]);
            assert!(target < at, "pointers lead back");
            end.get_or_insert(at + 2);
            at = target;
        } else if length == 0 {
            let text = if text.is_empty() { ".".to_owned() } else { text };
            return (text, end.unwrap_or(at + 1));
        } else {
            text.push_str(&String::from_utf8_lossy(&packet[at + 1..=at + length]));
            text.push('.');
            at += 1 + length;
        }
    }
}
