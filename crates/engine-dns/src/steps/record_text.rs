//! A record as a line of a zone file (RFC 1035 section 5.1), of the types that people write in templates.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::decoded::{Item, Part};
use crate::{Name, RecordType};

/// Time to live where the line has none (miekg/dns, `defaultTtl`).
const DEFAULT_TTL: u32 = 3600;
/// Longest piece of a text record (RFC 1035 section 3.3).
const LONGEST_STRING: usize = 255;
/// Type numbers without a name of their own in [`RecordType`].
const MX: u16 = 15;
const CAA: u16 = 257;

/// Reads `OWNER [TTL] [IN] TYPE DATA...`; `None` when it is no such line or of another type.
pub(super) fn parse(line: &str) -> Option<Item> {
    let words = words(line)?;
    let mut rest = words.iter().map(String::as_str);
    let owner = Name::parse(rest.next()?).ok()?.as_wire().to_vec();
    let mut ttl = DEFAULT_TTL;
    let mut kind = rest.next()?;
    for _ in 0..2 {
        if let Ok(seconds) = kind.parse() {
            ttl = seconds;
            kind = rest.next()?;
        } else if kind.eq_ignore_ascii_case("IN") {
            kind = rest.next()?;
        }
    }
    let fields = rest.collect::<Vec<_>>();
    let (kind, data) = data(&kind.to_ascii_uppercase(), &fields)?;
    Some(Item { owner, kind, ttl, data })
}

fn data(kind: &str, fields: &[&str]) -> Option<(RecordType, Vec<Part>)> {
    let name = |text: &str| Name::parse(text).ok().map(|name| Part::Name(name.as_wire().to_vec()));
    let numbers = |texts: &[&str]| {
        let bytes = texts.iter().map(|text| text.parse::<u16>().ok().map(u16::to_be_bytes));
        bytes.collect::<Option<Vec<_>>>().map(|bytes| Part::Bytes(bytes.concat()))
    };
    Some(match (kind, fields) {
        ("A", [address]) => {
            let address: Ipv4Addr = address.parse().ok()?;
            (RecordType::A, vec![Part::Bytes(address.octets().to_vec())])
        }
        ("AAAA", [address]) => {
            let address: Ipv6Addr = address.parse().ok()?;
            (RecordType::AAAA, vec![Part::Bytes(address.octets().to_vec())])
        }
        ("CNAME", [target]) => (RecordType::CNAME, vec![name(target)?]),
        ("NS", [target]) => (RecordType::NS, vec![name(target)?]),
        ("PTR", [target]) => (RecordType::PTR, vec![name(target)?]),
        ("MX", [preference, target]) => (RecordType(MX), vec![numbers(&[preference])?, name(target)?]),
        ("SRV", [priority, weight, port, target]) => {
            (RecordType::SRV, vec![numbers(&[priority, weight, port])?, name(target)?])
        }
        ("TXT", [_, ..]) => {
            let strings = fields.iter().flat_map(|text| match text.len() {
                0 => vec![&[][..]],
                _ => text.as_bytes().chunks(LONGEST_STRING).collect(),
            });
            let bytes =
                strings.flat_map(|string| std::iter::once(string.len() as u8).chain(string.iter().copied()));
            (RecordType::TXT, vec![Part::Bytes(bytes.collect())])
        }
        ("SOA", [server, mailbox, timers @ ..]) if timers.len() == 5 => {
            let timers = timers.iter().map(|text| text.parse::<u32>().ok().map(u32::to_be_bytes));
            let timers = timers.collect::<Option<Vec<_>>>()?.concat();
            (RecordType::SOA, vec![name(server)?, name(mailbox)?, Part::Bytes(timers)])
        }
        ("CAA", [flags, tag, value]) => {
            let mut bytes = vec![flags.parse().ok()?, u8::try_from(tag.len()).ok()?];
            bytes.extend_from_slice(tag.as_bytes());
            bytes.extend_from_slice(value.as_bytes());
            (RecordType(CAA), vec![Part::Bytes(bytes)])
        }
        _ => return None,
    })
}

/// Words, of which quoted ones may hold blanks.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut characters = line.trim().chars().peekable();
    while let Some(first) = characters.next() {
        match first {
            ';' => break,
            blank if blank.is_whitespace() => {}
            '"' => {
                let mut text = String::new();
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => text.push(characters.next()?),
                        other => text.push(other),
                    }
                }
                words.push(text);
            }
            first => {
                let mut text = String::from(first);
                while let Some(next) = characters.next_if(|next| !next.is_whitespace() && *next != ';') {
                    text.push(next);
                }
                words.push(text);
            }
        }
    }
    Some(words)
}
