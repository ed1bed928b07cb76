//! Packets as they come: malformed, too long, with EDNS, and at random.

use engine_dns::{
    Answer, Ask, Limits, Name, Rcode, RecordType, Zone, answer, fail, is_reply_to, is_truncated,
    query_packet, resume, with_id, without_edns,
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
    let service = DnsService { kind: DnsServiceKind::headless(), endpoints };
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
    let mut reply = without_edns(&asked);
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

/// A reply to `asked` with so many A records and so many additional ones.
fn reply_with(asked: &[u8], answers: u8, additional: u8) -> Vec<u8> {
    let mut reply = without_edns(asked);
    reply[2] |= 0x80;
    (reply[7], reply[11]) = (answers, additional);
    for last in 0..answers + additional {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last]);
    }
    reply
}

#[test]
fn long_replies_are_cut_for_clients_that_take_less() {
    let asked = query("www.example.com", 1, None);
    let zone = Zone::build(&cluster());
    let mut out = Vec::new();
    let Answer::Ask(ask) = answer(&zone, &asked, UDP, &mut out) else { panic!() };
    // 33 bytes, and 16 for each record.
    for (answers, additional, limits, kept) in [
        (29, 0, UDP, Some((29, 0))),
        (30, 0, UDP, None),
        (30, 0, TCP, Some((30, 0))),
        (20, 20, UDP, Some((20, 0))),
    ] {
        let mut reply = reply_with(&query("wWw.example.com", 1, None), answers, additional);
        reply[0] ^= 1;
        assert_eq!(resume(&asked, ask.clone(), Some(&reply), limits, &mut out), Answer::Respond);
        let response = decode(&out);
        let records = (response.answers.len(), response.additional.len());
        assert_eq!((records, response.is_truncated()), (kept.unwrap_or((0, 0)), kept.is_none()), "{answers}");
        assert_eq!(out[..2], asked[..2], "the client's ID");
        assert_eq!(out[12..33], asked[12..33], "the client's letters");
    }
}

/// What is sent on is the question and nothing else of the client.
#[test]
fn questions_are_asked_in_one_form() {
    let zone = Zone::build(&cluster());
    let ask = |packet: &[u8]| match answer(&zone, packet, UDP, &mut Vec::new()) {
        Answer::Ask(ask) => ask,
        other => panic!("{other:?}"),
    };
    let plain = ask(&query("www.example.com", 1, None));
    let mut with_cookie = query("WWW.example.com", 1, Some(4096));
    let length = with_cookie.len();
    with_cookie[length - 1] = 12;
    with_cookie.extend([0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(ask(&with_cookie), plain);
    let asked = decode(&with_response_bit(&plain.query));
    assert_eq!((asked.flags & 0x7fff, asked.payload), (0x0120, Some(1232)), "RD and AD");
    let mut with_do = query("www.example.com", 1, Some(1232));
    let length = with_do.len();
    with_do[length - 4] = 0x80;
    with_do[3] = 0x10;
    let asked = ask(&with_do).query;
    assert_eq!((asked[3], asked[asked.len() - 4]), (0x30, 0x80), "CD and DO");
}

fn with_response_bit(packet: &[u8]) -> Vec<u8> {
    let mut copy = packet.to_vec();
    copy[2] |= 0x80;
    copy
}

/// DNSSEC records and errors pass, options for the next hop do not, and AD is for those who asked for it.
#[test]
fn replies_are_passed_on_as_the_client_has_to_see_them() {
    let zone = Zone::build(&cluster());
    let pass = |packet: &[u8], change: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        let Answer::Ask(ask) = answer(&zone, packet, UDP, &mut out) else { panic!() };
        let mut reply = reply_with(&ask.query, 1, 0);
        reply[3] = 0xa0;
        // An RRSIG record, as data that nobody here reads; then a cookie and Extended DNS Error 6 with a text.
        reply[7] = 2;
        reply.extend(b"\xc0\x0c\x00\x2e\x00\x01\x00\x00\x00\x3c\x00\x03\xc0\x0c\xff");
        reply[11] = 1;
        reply.extend(
            b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x14\x00\x0a\x00\x08cookie!!\x00\x0f\x00\x04\x00\x06no",
        );
        change(&mut reply);
        resume(packet, ask, Some(&reply), UDP, &mut out);
        out
    };
    let plain = pass(&query("www.example.com", 1, None), &|_| ());
    let response = decode(&plain);
    assert_eq!((response.flags, response.payload), (0x8180, None), "QR RD RA, no EDNS");
    assert_eq!(response.answers[1], "www.example.com. 60 TYPE46 [c0, 0c, ff]");
    let mut packet = query("www.example.com", 1, Some(1232));
    packet[3] = 0x20;
    let with_edns = pass(&packet, &|_| ());
    assert_eq!(decode(&with_edns).flags, 0x81a0, "and AD");
    assert!(with_edns.ends_with(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x08\x00\x0f\x00\x04\x00\x06no"));
    let bad_version = pass(&packet, &|reply| {
        let flags = reply.len() - 24;
        assert_eq!(reply[flags], 0x80);
        reply[flags - 2] = 1;
    });
    assert_eq!(decode(&bad_version).rcode, 2, "codes beyond 15 are between the servers");
    let cut = pass(&packet, &|reply| {
        let length = reply.len();
        reply.truncate(length - 9);
    });
    assert_eq!(decode(&cut).rcode, 2, "malformed");
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
