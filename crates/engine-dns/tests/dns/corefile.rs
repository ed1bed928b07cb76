//! What CoreDNS is known to answer with a Corefile: questions and answers, one line each; and walks of search paths.

mod searches;
mod traces;
mod vectors;

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine_corefile::{Sources, read};
use engine_dns::{Answer, Limits, RecordType, Zone, answer, resume};
use plan::DnsPlan;

use crate::vectors::{TCP, address, cluster};
use crate::wire::{decode, query};

/// What upstream servers know: `name TYPE data`, or `name TYPE` alone for a name without such a record.
const UPSTREAM: &[&str] = &[
    "www.example.com A 192.0.2.80",
    "www.example.com AAAA 2001:db8::80",
    "api.example.com A 192.0.2.81",
    "backend.example.net A 192.0.2.90",
    "long.name.that.is.longer.example.net CNAME backend.example.net",
    "odd.example.com SERVFAIL",
    "web.corp.example A 192.0.2.99",
];

/// The cluster of the tests with these settings, which must all be taken.
pub(super) fn plan(corefile: &str) -> DnsPlan {
    let read = read(&Sources { corefile: corefile.to_owned(), files: BTreeMap::new() });
    let broken = read.notes().map(|line| format!("{} {}", line.at, line.verdict));
    let broken = broken.filter(|note| !note.contains("another meaning")).collect::<Vec<_>>();
    assert_eq!(broken, Vec::<String>::new());
    DnsPlan { settings: read.settings.unwrap().into(), ..cluster() }
}

/// The reply of upstream servers to a query.
pub(super) fn upstream(packet: &[u8], known: &[String]) -> Vec<u8> {
    let question = decode(packet).question;
    let (name, kind) = question.split_once(' ').unwrap();
    let name = if name == "." { "." } else { name.trim_end_matches('.') };
    let kind = RecordType(kind.parse().unwrap()).to_string();
    let end = 12 + if name == "." { 1 } else { name.len() + 2 } + 4;
    let mut reply = packet[..end].to_vec();
    reply[2] |= 0x80;
    reply[3] = 0x80;
    reply[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    let own = known.iter().filter(|line| line.split(' ').next() == Some(name)).collect::<Vec<_>>();
    if own.is_empty() {
        reply[3] |= 3;
    }
    for line in own {
        let words = line.split(' ').collect::<Vec<_>>();
        match words.as_slice() {
            [_, "SERVFAIL"] => reply[3] |= 2,
            [_, own, data] if *own == kind || *own == "CNAME" => {
                let (number, data) = match data.parse() {
                    Ok(IpAddr::V4(address)) => (1_u16, address.octets().to_vec()),
                    Ok(IpAddr::V6(address)) => (28, address.octets().to_vec()),
                    Err(_) => (5, query(data, 1, None)[12..12 + data.len() + 2].to_vec()),
                };
                reply.extend([0xc0, 12]);
                reply.extend(number.to_be_bytes());
                reply.extend([0, 1, 0, 0, 1, 0x2c, 0, data.len() as u8]);
                reply.extend(data);
                reply[7] += 1;
            }
            _ => {}
        }
    }
    reply
}

/// Everything up to the response: what others are asked is answered by these records. `None` where nothing is said.
pub(super) fn exchange(zone: &Zone, packet: &[u8], limits: Limits, known: &[String]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut step = answer(zone, packet, limits, &mut out);
    loop {
        match step {
            Answer::Respond => return Some(out),
            Answer::Drop => return None,
            Answer::Ask(ask) => {
                let reply = upstream(&ask.query, known);
                step = resume(packet, ask, Some(&reply), limits, &mut out);
            }
        }
    }
}

/// A question such as `web.shop.svc.cluster.local A from 10.244.1.5`, answered as one line.
pub(super) fn ask(zone: &Zone, question: &str) -> String {
    let words = question.split_whitespace().collect::<Vec<_>>();
    let kind = match words[1] {
        "ANY" => 255,
        "MX" => 15,
        "HINFO" => 13,
        other => RecordType::parse(other).unwrap().0,
    };
    let client = words.get(3).map(|text| address(text));
    let packet = query(words[0], kind, Some(1232));
    let known = UPSTREAM.iter().map(ToString::to_string).collect::<Vec<_>>();
    let Some(out) = exchange(zone, &packet, Limits { client, ..TCP }, &known) else {
        return "silence".to_owned();
    };
    let response = decode(&out);
    assert_eq!(response.id, 0x1234);
    assert_eq!(
        response.question,
        format!("{}. {kind}", words[0].trim_end_matches('.')),
        "the question is the client's"
    );
    let rcode = match response.rcode {
        0 => "NOERROR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        5 => "REFUSED",
        other => panic!("response code {other}"),
    };
    let mut parts = vec![rcode.to_owned()];
    parts.extend(response.answers);
    parts.extend(response.authority.iter().map(|line| format!("authority {line}")));
    parts.extend(response.additional.iter().map(|line| format!("additional {line}")));
    parts.extend(response.errors.iter().map(|(code, text)| format!("error {code} {text}")));
    parts.join("; ")
}
