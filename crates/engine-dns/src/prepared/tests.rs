//! Answers that are given again, against the general path.

use std::collections::BTreeSet;

use plan::{DnsEndpoint, DnsPlan, DnsService, DnsServiceKind};
use proptest::prelude::*;
use types::ServiceName;

use super::*;
use crate::{Answer, Transport, Zone, answer};

/// A Service of each shape: one address, two families, several endpoints, more than fit a datagram, another name.
fn zone(first: u8) -> Zone {
    let mut plan = DnsPlan {
        cluster_domain: "cluster.local".to_owned(),
        addresses: BTreeSet::from(["10.96.0.10".parse().unwrap()]),
        reverse_ranges: ["10.244.0.0/16".parse().unwrap()].into(),
        ttl_seconds: 5,
        ..DnsPlan::default()
    };
    let mut add = |name: &str, kind: DnsServiceKind, endpoints: u8| {
        let endpoint = |number: u8| DnsEndpoint {
            hostname: format!("p-{number}"),
            address: format!("10.244.{first}.{number}").parse().unwrap(),
            ports: Vec::new(),
        };
        let endpoints = (0..endpoints).map(endpoint).collect();
        plan.services.insert(ServiceName::new("shop", name), DnsService { kind, endpoints });
    };
    let cluster_ip = |texts: &[&str]| {
        let addresses = texts.iter().map(|text| text.parse().unwrap()).collect();
        DnsServiceKind::ClusterIp { addresses, ports: Vec::new() }
    };
    add("web", cluster_ip(&[&format!("10.96.0.{first}")]), 0);
    add("dual", cluster_ip(&["10.96.1.1", "fd00::1"]), 2);
    let zoned = |numbers: &[(&str, u8)]| {
        let place = |(zone, number): &(&str, u8)| {
            ((*zone).to_owned(), (0..*number).map(|number| [10, 244, first, number].into()).collect())
        };
        DnsServiceKind::Headless { zones: numbers.iter().map(place).collect() }
    };
    add("few", zoned(&[("a", 2), ("corp.example", 1)]), 5);
    add("many", zoned(&[("a", 40)]), 60);
    add("out", DnsServiceKind::ExternalName { target: "web.shop.svc.cluster.local".to_owned() }, 0);
    let kubernetes = plan::DnsKubernetes { zonal: true, ..plan::DnsKubernetes::default() };
    let block = plan::DnsBlock { kubernetes: Some(kubernetes), ..plan::DnsBlock::default() };
    plan.settings = plan::DnsSettings { blocks: vec![block] }.into();
    Zone::build(&plan)
}

const NAMES: [&str; 17] = [
    "web.shop.svc.cluster.local",
    "WEB.shop.svc.Cluster.local",
    "dual.shop.svc.cluster.local",
    "few.shop.svc.cluster.local",
    "many.shop.svc.cluster.local",
    "p-1.few.shop.svc.cluster.local",
    "out.shop.svc.cluster.local",
    "none.shop.svc.cluster.local",
    "9.9.244.10.in-addr.arpa",
    "cluster.local",
    "a.pin._zone.few.shop.svc.cluster.local",
    "A.Prefer._zone.few.shop.svc.cluster.local",
    "corp.example.pin._zone.few.shop.svc.cluster.local",
    "b.pin._zone.few.shop.svc.cluster.local",
    "b.prefer._zone.few.shop.svc.cluster.local",
    "a.pin._zone.many.shop.svc.cluster.local",
    "b.prefer._zone.many.shop.svc.cluster.local",
];

fn query(name: &str, kind: u16, edns: Option<(u16, bool)>, flags: [u8; 2], id: u16) -> Vec<u8> {
    let mut packet = id.to_be_bytes().to_vec();
    packet.extend(flags);
    packet.extend([0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())]);
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    packet.extend(kind.to_be_bytes());
    packet.extend([0, 1]);
    if let Some((payload, dnssec_ok)) = edns {
        packet.extend([0, 0, 41]);
        packet.extend(payload.to_be_bytes());
        packet.extend([0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    }
    packet
}

/// Answers as a server does: from the table if it knows, else by the general path, from which the table learns. Whether the
/// table knew.
fn serve(table: &mut Prepared, zone: &Zone, packet: &[u8], limits: Limits) -> (Answer, Vec<u8>, bool) {
    let mut out = vec![0xaa; 3];
    let lookup = table.read(packet, limits);
    table.fetch(&[lookup, None]);
    if lookup.is_some_and(|lookup| table.respond(&lookup, packet, limits.draw, &mut out)) {
        return (Answer::Respond, out, true);
    }
    let done = answer(zone, packet, limits, &mut out);
    if done == Answer::Respond {
        table.learn(packet, limits, &out);
    }
    (done, out, false)
}

fn respond(table: &Prepared, packet: &[u8]) {
    if let Some(lookup) = table.read(packet, udp(5)) {
        let _ = table.respond(&lookup, packet, 5, &mut Vec::new());
    }
}

fn udp(draw: u64) -> Limits {
    Limits { transport: Transport::Udp, client: None, udp_payload: 1232, draw }
}

fn mk_query() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop::sample::select(vec![1, 1, 1, 28, 28, 33, 12, 6, 2, 5, 255, 252]);
    let edns = prop::option::of((prop::sample::select(vec![0, 512, 700, 1232, 4096]), any::<bool>()));
    let flags =
        prop::sample::select(vec![[1, 0], [0, 0], [1, 0x10], [1, 0x20], [3, 0], [0x81, 0], [0x21, 0]]);
    (prop::sample::select(NAMES.to_vec()), kinds, edns, flags, any::<u16>())
        .prop_map(|(name, kind, edns, flags, id)| query(name, kind, edns, flags, id))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever was asked before, the answer is the one of the general path, byte by byte.
    #[test]
    fn what_is_given_again_is_what_the_general_path_gives(
        queries in prop::collection::vec((mk_query(), any::<u64>(), any::<bool>(), 0..20_u8), 1..60),
        max_bytes in prop::sample::select(vec![200, 2000, 1 << 20]),
    ) {
        let zones = [zone(1), zone(2)];
        let (mut current, mut table) = (0, Prepared::new(max_bytes, 3));
        table.begin(Some(&zones[0]));
        for (mut packet, draw, is_tcp, change) in queries {
            match change {
                0 => {
                    current = 1 - current;
                    table.begin(Some(&zones[current]));
                }
                1 => drop(packet.pop()),
                2 => packet.push(0),
                3 => *packet.last_mut().unwrap() ^= 1,
                _ => {}
            }
            let transport = if is_tcp { Transport::Tcp } else { Transport::Udp };
            let limits = Limits { transport, ..udp(draw) };
            let mut expected = vec![0xaa; 3];
            let done = answer(&zones[current], &packet, limits, &mut expected);
            let (given, out, _) = serve(&mut table, &zones[current], &packet, limits);
            prop_assert_eq!((given, out), (done, expected));
        }
    }

    #[test]
    fn no_bytes_break_the_table(query in prop::collection::vec(any::<u8>(), 0..80), response in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut table = Prepared::new(1 << 16, 3);
        table.begin(Some(&zone(1)));
        let good = self::query(NAMES[0], 1, Some((1232, true)), [1, 0], 1);
        for packet in [&query, &good] {
            table.learn(packet, udp(7), &response);
            respond(&table, packet);
        }
        // Bytes that begin as a response to the question.
        let mut long = good[..good.len() - 11].to_vec();
        long[2] |= FLAG_QR | FLAG_AA;
        long.extend(&response);
        table.learn(&good, udp(7), &long);
        respond(&table, &good);
    }
}

#[test]
fn plain_shapes_are_known_the_second_time() {
    let zone = zone(1);
    let mut table = Prepared::new(1 << 20, 3);
    table.begin(Some(&zone));
    for (name, kind, is_plain) in [
        (NAMES[0], 1, true),
        // NODATA, NXDOMAIN, several addresses.
        (NAMES[0], 28, true),
        (NAMES[7], 1, true),
        (NAMES[8], 12, true),
        (NAMES[3], 1, true),
        // Names of topology zones, with endpoints and without.
        (NAMES[10], 1, true),
        (NAMES[11], 1, true),
        (NAMES[13], 1, true),
        (NAMES[14], 1, true),
        // Truncated; behind an alias; other types.
        (NAMES[4], 1, false),
        (NAMES[6], 1, false),
        (NAMES[9], 6, false),
    ] {
        for edns in [None, Some((1232, false))] {
            let ask = |table: &mut Prepared, id| {
                serve(table, &zone, &query(name, kind, edns, [1, 0], id), udp(u64::from(id))).2
            };
            assert!(!ask(&mut table, 1));
            // With EDNS, 60 addresses fit.
            let fits = name == NAMES[4] && edns.is_some();
            assert_eq!(ask(&mut table, 2), is_plain || fits, "{name} {kind} {edns:?}");
        }
    }
}

#[test]
fn what_depends_on_the_client_is_not_given_to_others() {
    let with = |change: &dyn Fn(&mut plan::DnsBlock)| {
        let mut plan = zone(1).plan;
        let mut settings = (*plan.settings).clone();
        change(&mut settings.blocks[0]);
        plan.settings = settings.into();
        Zone::build(&plan)
    };
    let searched = with(&|block| block.search_path = SearchPath::Server);
    let access = plan::DnsAccess { at: String::new(), zones: BTreeSet::new(), rules: Vec::new() };
    let guarded = with(&|block| block.access = vec![access.clone()]);
    for (zone, name, is_known) in
        [(&searched, NAMES[0], true), (&searched, NAMES[7], false), (&guarded, NAMES[0], false)]
    {
        let mut table = Prepared::new(1 << 20, 3);
        table.begin(Some(zone));
        let packet = query(name, 1, None, [1, 0], 1);
        serve(&mut table, zone, &packet, udp(1));
        assert_eq!(serve(&mut table, zone, &packet, udp(1)).2, is_known, "{name}");
    }
}

#[test]
fn what_the_log_may_want_is_seen_by_who_writes_it() {
    let logged = |one_in: u32| {
        let mut plan = zone(1).plan;
        let mut settings = (*plan.settings).clone();
        let (zones, classes) = (BTreeSet::from([String::new()]), BTreeSet::new());
        settings.blocks[0].logs = vec![plan::DnsLog { zones, classes, one_in: one_in.try_into().unwrap() }];
        plan.settings = settings.into();
        Zone::build(&plan)
    };
    let packet = query(NAMES[0], 1, None, [1, 0], 1);
    for (one_in, draw) in [(1, u64::MAX), (4, u64::MAX / 4), (4, u64::MAX / 4 + 1), (4, 0), (4, u64::MAX)] {
        let zone = logged(one_in);
        let mut table = Prepared::new(1 << 20, 3);
        table.begin(Some(&zone));
        let (_, out, _) = serve(&mut table, &zone, &packet, udp(draw));
        let is_known = serve(&mut table, &zone, &packet, udp(draw)).2;
        let is_logged = crate::query_record(&zone, udp(draw), &packet, &out).is_some();
        assert_eq!((is_known, is_logged), (one_in == 4 && draw > u64::MAX / 4, !is_known), "{one_in} {draw}");
    }
}

#[test]
fn addresses_take_turns() {
    let zone = zone(1);
    let mut table = Prepared::new(1 << 20, 3);
    table.begin(Some(&zone));
    let packet = query(NAMES[3], 1, None, [1, 0], 1);
    let mut first_ones = BTreeSet::new();
    for draw in 0..5 {
        let (_, out, is_known) = serve(&mut table, &zone, &packet, udp(draw));
        assert_eq!(is_known, draw > 0);
        first_ones.insert(out[packet.len() + 15]);
    }
    assert_eq!(first_ones, BTreeSet::from([0, 1, 2, 3, 4]));
}
