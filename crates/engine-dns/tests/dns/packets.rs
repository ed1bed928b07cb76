//! Packets as they come: malformed, too long, with EDNS, and at random.

use engine_dns::{
    Answer, Ask, Limits, Name, Rcode, RecordType, Zone, answer, fail, is_reply_to, is_truncated,
    query_packet, resume, with_id,
};
use plan::{DnsEndpoint, DnsPlan, DnsService, DnsServiceKind};
use proptest::prelude::*;
use types::ServiceName;

use crate::vectors::{TCP, UDP, address, cluster};
use crate::wire::{decode, query};

/// A headless Service with so many endpoints that its answer does not fit a datagram.
fn crowd() -> Zone {
    let endpoints = (0..200u8)
        .map(|number| DnsEndpoint {
            hostname: format!("p-{number}"),
            address: address(&format!("10.244.3.{number}")),
            ports: Vec::new(),
        })
        .collect();
    let mut plan = cluster();
    let service = DnsService { kind: DnsServiceKind::Headless, endpoints };
    plan.services.insert(ServiceName::new("shop", "crowd"), service);
    Zone::build(&plan)
}

fn respond(zone: &Zone, packet: &[u8], limits: Limits) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(answer(zone, packet, limits, &mut out), Answer::Respond);
    out
}

#[test]
fn what_does_not_fit_is_truncated() {
    let zone = crowd();
    let name = "crowd.shop.svc.cluster.local";
    for (edns, largest) in [(None, 512), (Some(100), 512), (Some(900), 900), (Some(4096), 1232)] {
        let out = respond(&zone, &query(name, 1, edns), UDP);
        let response = decode(&out);
        assert!(response.is_truncated() && out.len() <= largest, "{edns:?}: {}", out.len());
        assert!(out.len() > largest - 32, "as much as fits: {}", out.len());
        assert_eq!(response.payload.is_some(), edns.is_some());
    }
    let response = decode(&respond(&zone, &query(name, 1, None), TCP));
    assert!(!response.is_truncated());
    assert_eq!(response.answers.len(), 200);
}

#[test]
fn missing_room_for_addresses_alone_does_not_truncate() {
    let plan =
        DnsPlan { addresses: (0..30).map(|n| address(&format!("10.96.7.{n}"))).collect(), ..cluster() };
    let response = decode(&respond(&Zone::build(&plan), &query("cluster.local", 2, None), UDP));
    assert!(!response.is_truncated());
    assert!(response.additional.len() < 30);
}

#[test]
fn edns_is_answered_in_kind() {
    let zone = Zone::build(&cluster());
    let mut packet = query("web.shop.svc.cluster.local", 1, Some(4096));
    assert_eq!(decode(&respond(&zone, &packet, UDP)).payload, Some(1232));
    let version = packet.len() - 5;
    packet[version] = 1;
    assert_eq!(decode(&respond(&zone, &packet, UDP)).rcode, 16, "BADVERS");
}

#[test]
fn header_bits_are_copied() {
    let zone = Zone::build(&cluster());
    let mut packet = query("web.shop.svc.cluster.local", 1, None);
    assert_eq!(decode(&respond(&zone, &packet, UDP)).flags, 0x8580, "QR AA RD RA");
    packet[2] = 0;
    packet[3] = 0x10;
    assert_eq!(decode(&respond(&zone, &packet, UDP)).flags, 0x8490, "QR AA RA CD");
}

#[test]
fn malformed_packets_are_refused_or_ignored() {
    let zone = Zone::build(&cluster());
    let good = query("web.shop.svc.cluster.local", 1, Some(1232));
    let changed = |at: usize, value: u8| {
        let mut packet = good.clone();
        packet[at] = value;
        packet
    };
    for (what, packet, rcode) in [
        ("opcode NOTIFY", changed(2, 0x21), 4),
        ("no question", changed(5, 0), 1),
        ("two questions", changed(5, 2), 1),
        ("a pointer in the question", changed(12, 0xc0), 1),
        ("a reserved label type", changed(12, 0x40), 1),
        ("cut in the question", good[..20].to_vec(), 1),
        ("cut in EDNS", good[..good.len() - 1].to_vec(), 1),
        ("class CHAOS", changed(good.len() - 12, 3), 5),
    ] {
        let out = respond(&zone, &packet, UDP);
        assert_eq!(decode(&out).rcode, rcode, "{what}");
        assert_eq!(out[..2], packet[..2], "{what}");
    }
    for packet in [&changed(2, 0x81)[..], &good[..11], &[]] {
        assert_eq!(answer(&zone, packet, UDP, &mut Vec::new()), Answer::Drop);
        assert_eq!(fail(packet, Rcode::ServFail, &mut Vec::new()), Answer::Drop);
    }
}

/// DN11: before the first plan there is SERVFAIL, never NXDOMAIN.
#[test]
fn failures_say_servfail() {
    let mut out = Vec::new();
    fail(&query("web.shop.svc.cluster.local", 1, Some(1232)), Rcode::ServFail, &mut out);
    let response = decode(&out);
    assert_eq!((response.rcode, response.is_authoritative(), response.payload), (2, false, Some(1232)));
    assert_eq!(response.question, "web.shop.svc.cluster.local. 1");
}

#[test]
fn a_chased_answer_is_the_alias_and_its_target() {
    let zone = Zone::build(&cluster());
    let packet = query("out.shop.svc.cluster.local", 1, Some(1232));
    let mut out = Vec::new();
    let Answer::Ask(ask) = answer(&zone, &packet, UDP, &mut out) else { panic!() };
    let asked = with_id(&ask.query, 7);
    let mut reply = asked.clone();
    reply[2] |= 0x80;
    reply[7] = 2;
    // A CNAME with a compressed target, then the address at that target.
    reply.extend(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x07\x04edge\xc0\x10");
    reply.extend(b"\xc0\x2d\x00\x01\x00\x01\x00\x00\x00\x1e\x00\x04\xc0\x00\x02\x50");
    assert!(is_reply_to(&asked, &reply));
    resume(&packet, ask.clone(), Some(&reply), UDP, &mut out);
    let response = decode(&out);
    assert_eq!(
        response.answers,
        [
            "out.shop.svc.cluster.local. 5 CNAME www.example.com.",
            "www.example.com. 60 CNAME edge.example.com.",
            "edge.example.com. 30 A 192.0.2.80"
        ]
    );
    assert_eq!((response.rcode, response.payload), (0, Some(1232)));

    resume(&packet, ask, None, UDP, &mut out);
    let response = decode(&out);
    assert_eq!((response.rcode, response.answers.len()), (2, 1));
}

#[test]
fn replies_are_told_from_other_packets() {
    let asked = query("www.example.com", 1, None);
    let mut reply = with_id(&asked, 0x1234);
    reply[2] |= 0x80;
    assert!(is_reply_to(&asked, &reply));
    assert!(!is_reply_to(&asked, &asked), "a query is no reply");
    assert!(!is_reply_to(&with_id(&asked, 9), &reply), "another ID");
    let mut other = query("www.example.org", 1, None);
    other[2] |= 0x80;
    assert!(!is_reply_to(&asked, &other), "another question");
    assert!(!is_truncated(&reply));
    reply[2] |= 2;
    assert!(is_truncated(&reply));
}

#[test]
fn long_replies_are_cut_for_clients_that_take_less() {
    let asked = query("www.example.com", 1, None);
    let zone = Zone::build(&cluster());
    let mut out = Vec::new();
    let Answer::Ask(ask) = answer(&zone, &asked, UDP, &mut out) else { panic!() };
    let mut reply = query("wWw.example.com", 1, None);
    reply[0] ^= 1;
    reply.resize(512, 0);
    for (length, limits, is_cut) in [(512, UDP, false), (513, UDP, true), (513, TCP, false)] {
        reply.resize(length, 0);
        assert_eq!(resume(&asked, ask.clone(), Some(&reply), limits, &mut out), Answer::Respond);
        assert_eq!(is_truncated(&out), is_cut);
        assert_eq!(out[..2], asked[..2], "the client's ID");
        assert_eq!(out[12..33], asked[12..33], "the client's letters");
    }
}

fn check_random(packet: &[u8], zone: &Zone) {
    let mut out = Vec::new();
    for limits in [UDP, TCP] {
        match answer(zone, packet, limits, &mut out) {
            Answer::Respond => {
                decode(&out);
            }
            Answer::Ask(ask) => check_replies(packet, &ask, limits),
            Answer::Drop => {}
        }
    }
    fail(packet, Rcode::ServFail, &mut out);
    let _ = is_reply_to(packet, packet);
}

fn check_replies(packet: &[u8], ask: &Ask, limits: Limits) {
    let mut out = Vec::new();
    for reply in [None, Some(packet), Some(&[])] {
        assert_eq!(resume(packet, ask.clone(), reply, limits, &mut out), Answer::Respond);
        decode(&out);
    }
}

proptest! {
    #[test]
    fn no_packet_breaks_the_engine(packet in prop::collection::vec(any::<u8>(), 0..600)) {
        check_random(&packet, &Zone::build(&cluster()));
    }

    #[test]
    fn no_changed_byte_breaks_the_engine(
        name in prop::sample::select(vec![
            "web.shop.svc.cluster.local", "out.shop.svc.cluster.local", "_sql._tcp.db.shop.svc.cluster.local",
        ]),
        kind in prop::sample::select(vec![1u16, 28, 33, 5, 255]),
        at in 0usize..80,
        value in any::<u8>(),
    ) {
        let mut packet = query(name, kind, Some(1232));
        let at = at % packet.len();
        packet[at] = value;
        check_random(&packet, &Zone::build(&cluster()));
    }

    #[test]
    fn no_reply_breaks_a_chase(reply in prop::collection::vec(any::<u8>(), 0..300)) {
        let zone = Zone::build(&cluster());
        let packet = query("out.shop.svc.cluster.local", 1, None);
        let mut out = Vec::new();
        let Answer::Ask(ask) = answer(&zone, &packet, UDP, &mut out) else { panic!() };
        // Any bytes behind the right question are read as records.
        let mut tail = query_packet(&Name::parse("www.example.com").unwrap(), RecordType::A, 1);
        tail[7] = 3;
        tail.extend(&reply);
        for reply in [&reply, &tail] {
            resume(&packet, ask.clone(), Some(reply), UDP, &mut out);
            decode(&out);
        }
    }

    #[test]
    fn names_survive_both_ways(labels in prop::collection::vec("[a-z0-9_-]{1,20}", 1..8)) {
        let text = labels.join(".");
        let name = Name::parse(&text).unwrap();
        prop_assert_eq!(name.to_string(), text.clone());
        let response = query(&text, 1, None);
        prop_assert_eq!(&response[12..response.len() - 4], name.as_wire());
    }
}
