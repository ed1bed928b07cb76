//! Questions and answers, one line each, by the IDs of the semantics sheet (DN1 to DN15).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use engine_dns::{Answer, ForwardId, Limits, Server, Transport, Zone, answer};
use plan::{DnsEndpoint, DnsPlan, DnsPort, DnsService, DnsServiceKind};
use types::{Port, Protocol, ServiceName};

use crate::wire::{Response, decode, query};

pub(crate) const TCP: Limits = Limits { transport: Transport::Tcp, client: None, udp_payload: 1232, draw: 0 };
pub(crate) const UDP: Limits = Limits { transport: Transport::Udp, client: None, udp_payload: 1232, draw: 0 };

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn port(name: &str, protocol: Protocol, number: u16) -> DnsPort {
    DnsPort { name: name.to_owned(), protocol, port: Port::new(number).unwrap() }
}

fn endpoint(hostname: &str, ip: &str, ports: &[DnsPort]) -> DnsEndpoint {
    DnsEndpoint { hostname: hostname.to_owned(), address: address(ip), ports: ports.to_vec() }
}

fn cluster_ip(addresses: &[&str], ports: &[DnsPort], endpoints: &[DnsEndpoint]) -> DnsService {
    let addresses = addresses.iter().map(|text| address(text)).collect();
    let kind = DnsServiceKind::ClusterIp { addresses, ports: ports.to_vec() };
    DnsService { kind, endpoints: endpoints.to_vec() }
}

fn headless(endpoints: &[DnsEndpoint]) -> DnsService {
    DnsService { kind: DnsServiceKind::headless(), endpoints: endpoints.to_vec() }
}

/// A headless Service whose endpoints have places.
fn zoned(endpoints: &[DnsEndpoint], zones: &[(&str, &str)]) -> DnsService {
    let mut by_zone: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for (zone, ip) in zones {
        by_zone.entry((*zone).to_owned()).or_default().insert(address(ip));
    }
    DnsService { kind: DnsServiceKind::Headless { zones: by_zone }, endpoints: endpoints.to_vec() }
}

fn external(target: &str) -> DnsService {
    DnsService { kind: DnsServiceKind::ExternalName { target: target.to_owned() }, endpoints: Vec::new() }
}

/// A small cluster with one of everything.
pub(crate) fn cluster() -> DnsPlan {
    let http = port("http", Protocol::Tcp, 80);
    let dns = port("dns", Protocol::Udp, 53);
    let sql = port("sql", Protocol::Tcp, 5432);
    let peer = port("peer", Protocol::Tcp, 5433);
    let unnamed = port("", Protocol::Tcp, 9042);
    let mut plan = DnsPlan {
        cluster_domain: "cluster.local".into(),
        addresses: BTreeSet::from([address("10.96.0.10")]),
        upstreams: vec!["192.0.2.53:53".parse().unwrap()],
        reverse_ranges: ["10.96.0.0/16", "10.244.0.0/16", "fd00:10:96::/112"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect(),
        ttl_seconds: 5,
        ..DnsPlan::default()
    };
    plan.namespaces.extend(["default", "shop", "empty", "kube-system"].map(String::from));
    let web = cluster_ip(
        &["10.96.1.1", "fd00:10:96::101"],
        &[http.clone(), dns],
        &[endpoint("10-244-1-5", "10.244.1.5", &[port("http", Protocol::Tcp, 8080)])],
    );
    let db = headless(&[
        endpoint("db-0", "10.244.1.7", &[sql.clone(), peer.clone()]),
        endpoint("db-1", "10.244.2.7", &[sql, peer]),
        endpoint("fd00-10-244--7", "fd00:10:244::7", &[]),
    ]);
    let twins = [endpoint("twin", "10.244.1.8", &[]), endpoint("twin", "10.244.2.8", &[])];
    let ring = [
        endpoint("r-0", "10.244.1.9", std::slice::from_ref(&unnamed)),
        endpoint("r-1", "10.244.2.9", std::slice::from_ref(&unnamed)),
    ];
    let shard = [
        endpoint("s", "10.244.1.10", std::slice::from_ref(&unnamed)),
        endpoint("s", "10.244.2.10", std::slice::from_ref(&unnamed)),
        endpoint("t", "10.244.2.11", std::slice::from_ref(&unnamed)),
        endpoint("u", "10.244.3.10", &[]),
        endpoint("v", "fd00:10:244::a", &[]),
    ];
    let places = [
        ("us-west-2a", "10.244.1.10"),
        ("us-west-2b", "10.244.2.10"),
        ("us-west-2b", "10.244.2.11"),
        ("corp.example.com", "fd00:10:244::a"),
    ];
    for (namespace, name, service) in [
        ("shop", "web", web),
        ("shop", "shard", zoned(&shard, &places)),
        ("shop", "db", db),
        ("shop", "twins", headless(&twins)),
        ("shop", "ring", headless(&ring)),
        ("shop", "waiting", headless(&[])),
        ("shop", "idle", cluster_ip(&["10.96.1.2"], &[http], &[])),
        ("shop", "1st", cluster_ip(&["10.96.1.3"], &[], &[endpoint("db-0", "10.244.1.7", &[])])),
        ("shop", "out", external("www.example.com")),
        ("shop", "alias", external("web.shop.svc.cluster.local")),
        ("shop", "broken", external("nothing.shop.svc.cluster.local")),
        ("shop", "ping", external("pong.shop.svc.cluster.local")),
        ("shop", "pong", external("ping.shop.svc.cluster.local")),
        ("shop", "number", external("192.0.2.1")),
        ("default", "web", cluster_ip(&["10.96.9.9"], &[], &[])),
    ] {
        plan.services.insert(ServiceName::new(namespace, name), service);
    }
    plan.pods.insert(address("10.244.1.5"), "shop".into());
    plan.pods.insert(address("fd00:10:244::5"), "shop".into());
    plan
}

pub(crate) fn ask(name: &str, kind: &str) -> (Answer, Response) {
    let number = engine_dns::RecordType::parse(kind).map_or_else(|| kind.parse().unwrap(), |kind| kind.0);
    let mut out = Vec::new();
    let answer = answer(&Zone::build(&cluster()), &query(name, number, None), TCP, &mut out);
    let response = if answer == Answer::Respond { decode(&out) } else { Response::default() };
    (answer, response)
}

const NOERROR: u16 = 0;
const NXDOMAIN: u16 = 3;
const REFUSED: u16 = 5;

/// ID, name, type, response code, answer records (sorted, without owner and ttl when they are the usual ones).
type Vector = (&'static str, &'static str, &'static str, u16, &'static [&'static str]);

const VECTORS: &[Vector] = &[
    ("DN1", "web.shop.svc.cluster.local", "A", NOERROR, &["A 10.96.1.1"]),
    ("DN1", "web.shop.svc.cluster.local", "AAAA", NOERROR, &["AAAA fd00:10:96::101"]),
    ("DN1", "idle.shop.svc.cluster.local", "AAAA", NOERROR, &[]),
    ("DN1", "web.shop.svc.cluster.local", "TXT", NOERROR, &[]),
    ("DN1", "web.shop.svc.cluster.local", "15", NOERROR, &[]),
    (
        "DN2",
        "_http._tcp.web.shop.svc.cluster.local",
        "SRV",
        NOERROR,
        &["SRV 0 100 80 web.shop.svc.cluster.local."],
    ),
    (
        "DN2",
        "_dns._udp.web.shop.svc.cluster.local",
        "SRV",
        NOERROR,
        &["SRV 0 100 53 web.shop.svc.cluster.local."],
    ),
    ("DN2", "_dns._tcp.web.shop.svc.cluster.local", "SRV", NXDOMAIN, &[]),
    ("DN2", "_none._tcp.web.shop.svc.cluster.local", "SRV", NXDOMAIN, &[]),
    ("DN2", "_http._tcp.web.shop.svc.cluster.local", "A", NOERROR, &[]),
    ("DN3", "db.shop.svc.cluster.local", "A", NOERROR, &["A 10.244.1.7", "A 10.244.2.7"]),
    ("DN3", "db.shop.svc.cluster.local", "AAAA", NOERROR, &["AAAA fd00:10:244::7"]),
    ("DN3", "db-0.db.shop.svc.cluster.local", "A", NOERROR, &["A 10.244.1.7"]),
    ("DN3", "fd00-10-244--7.db.shop.svc.cluster.local", "AAAA", NOERROR, &["AAAA fd00:10:244::7"]),
    ("DN3", "twin.twins.shop.svc.cluster.local", "A", NOERROR, &["A 10.244.1.8", "A 10.244.2.8"]),
    (
        "DN3",
        "_sql._tcp.db.shop.svc.cluster.local",
        "SRV",
        NOERROR,
        &["SRV 0 50 5432 db-0.db.shop.svc.cluster.local.", "SRV 0 50 5432 db-1.db.shop.svc.cluster.local."],
    ),
    (
        "DN3 (CoreDNS: SRV of the Service's own name, unnamed ports included)",
        "ring.shop.svc.cluster.local",
        "SRV",
        NOERROR,
        &["SRV 0 50 9042 r-0.ring.shop.svc.cluster.local.", "SRV 0 50 9042 r-1.ring.shop.svc.cluster.local."],
    ),
    ("DN3", "waiting.shop.svc.cluster.local", "A", NXDOMAIN, &[]),
    ("DN4", "idle.shop.svc.cluster.local", "A", NOERROR, &["A 10.96.1.2"]),
    ("DN4", "10-244-1-5.web.shop.svc.cluster.local", "A", NOERROR, &["A 10.244.1.5"]),
    ("DN4", "10-244-9-9.web.shop.svc.cluster.local", "A", NXDOMAIN, &[]),
    (
        "DN5",
        "alias.shop.svc.cluster.local",
        "A",
        NOERROR,
        &["CNAME web.shop.svc.cluster.local.", "web.shop.svc.cluster.local. A 10.96.1.1"],
    ),
    ("DN5", "alias.shop.svc.cluster.local", "CNAME", NOERROR, &["CNAME web.shop.svc.cluster.local."]),
    ("DN5", "alias.shop.svc.cluster.local", "TXT", NOERROR, &["CNAME web.shop.svc.cluster.local."]),
    ("DN5", "broken.shop.svc.cluster.local", "A", NXDOMAIN, &["CNAME nothing.shop.svc.cluster.local."]),
    ("DN5", "x.alias.shop.svc.cluster.local", "A", NXDOMAIN, &[]),
    ("DN5", "number.shop.svc.cluster.local", "A", NXDOMAIN, &[]),
    ("DN6", "1.1.96.10.in-addr.arpa", "PTR", NOERROR, &["PTR web.shop.svc.cluster.local."]),
    (
        "DN6",
        "7.1.244.10.in-addr.arpa",
        "PTR",
        NOERROR,
        &["PTR db-0.1st.shop.svc.cluster.local.", "PTR db-0.db.shop.svc.cluster.local."],
    ),
    (
        "DN6",
        "1.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa",
        "PTR",
        NOERROR,
        &["PTR web.shop.svc.cluster.local."],
    ),
    ("DN6", "99.1.96.10.in-addr.arpa", "PTR", NXDOMAIN, &[]),
    ("DN6", "1.1.96.10.in-addr.arpa", "A", NOERROR, &[]),
    ("DN7", "10-244-1-5.shop.pod.cluster.local", "A", NOERROR, &["A 10.244.1.5"]),
    ("DN7", "fd00-10-244--5.shop.pod.cluster.local", "AAAA", NOERROR, &["AAAA fd00:10:244::5"]),
    ("DN7", "10-244-1-5.default.pod.cluster.local", "A", NXDOMAIN, &[]),
    ("DN7", "shop.pod.cluster.local", "A", NOERROR, &[]),
    ("DN7", "nowhere.pod.cluster.local", "A", NXDOMAIN, &[]),
    ("DN8", "nothing.shop.svc.cluster.local", "A", NXDOMAIN, &[]),
    ("DN8", "web.nowhere.svc.cluster.local", "A", NXDOMAIN, &[]),
    ("DN8", "nowhere.svc.cluster.local", "A", NXDOMAIN, &[]),
    ("DN8", "shop.svc.cluster.local", "A", NOERROR, &[]),
    ("DN8", "empty.svc.cluster.local", "A", NOERROR, &[]),
    ("DN8", "svc.cluster.local", "A", NOERROR, &[]),
    ("DN8", "pod.cluster.local", "A", NOERROR, &[]),
    ("DN8", "cluster.local", "A", NOERROR, &[]),
    ("DN8", "other.cluster.local", "A", NXDOMAIN, &[]),
    ("DN8", "a.b.c.web.shop.svc.cluster.local", "A", NXDOMAIN, &[]),
    ("DN8 (RFC 8020: there are names below it)", "_tcp.web.shop.svc.cluster.local", "A", NOERROR, &[]),
    ("DN9", "dns-version.cluster.local", "TXT", NOERROR, &["dns-version.cluster.local. 28800 TXT 1.1.0"]),
    ("DN9", "cluster.local", "SOA", NOERROR, &["SOA ns.dns.cluster.local. hostmaster.cluster.local. min=5"]),
    ("DN9", "cluster.local", "NS", NOERROR, &["NS ns.dns.cluster.local."]),
    ("DN9", "ns.dns.cluster.local", "A", NOERROR, &["A 10.96.0.10"]),
    ("DN9", "dns.cluster.local", "A", NOERROR, &[]),
    ("DN10", "cluster.local", "AXFR", REFUSED, &[]),
    ("DN10", "cluster.local", "IXFR", REFUSED, &[]),
    ("DN15", "1st.shop.svc.cluster.local", "A", NOERROR, &["A 10.96.1.3"]),
];

#[test]
fn every_vector_is_answered_as_written() {
    for (id, name, kind, rcode, records) in VECTORS {
        let (answer, response) = ask(name, kind);
        assert_eq!(answer, Answer::Respond, "{id} {name} {kind}");
        let mut wanted = records.iter().map(|record| expand(name, record)).collect::<Vec<_>>();
        wanted.sort();
        let mut answers = response.answers.clone();
        answers.sort();
        assert_eq!(answers, wanted, "{id} {name} {kind}");
        assert_eq!((response.id, response.rcode), (0x1234, *rcode), "{id} {name} {kind}");
        let is_alias_only = *kind == "TXT" && records[..].concat().starts_with("CNAME");
        let has_no_data = *rcode == NOERROR && (records.is_empty() || is_alias_only);
        let is_negative = *rcode == NXDOMAIN || has_no_data;
        assert_eq!(response.authority.len(), usize::from(is_negative), "{id} {name} {kind}: {response:?}");
        assert_eq!(response.is_authoritative(), *rcode != REFUSED, "{id} {name} {kind}");
    }
}

/// Completes a vector's record with its owner and time to live.
fn expand(name: &str, record: &str) -> String {
    let words = record.split(' ').collect::<Vec<_>>();
    match words.as_slice() {
        [owner, ttl, ..] if ttl.parse::<u32>().is_ok() && owner.ends_with('.') => record.to_owned(),
        [owner, rest @ ..] if owner.ends_with('.') => format!("{owner} 5 {}", rest.join(" ")),
        _ => format!("{name}. 5 {record}"),
    }
}

#[test]
fn negative_answers_carry_the_soa_of_their_zone() {
    for (name, owner) in [
        ("nothing.shop.svc.cluster.local", "cluster.local."),
        ("svc.cluster.local", "cluster.local."),
        ("99.1.96.10.in-addr.arpa", "96.10.in-addr.arpa."),
    ] {
        let (_, response) = ask(name, "A");
        let soa = "SOA ns.dns.cluster.local. hostmaster.cluster.local. min=5";
        assert_eq!(response.authority, [format!("{owner} 5 {soa}")]);
    }
}

#[test]
fn dn2_and_dn3_srv_answers_bring_addresses() {
    let (_, response) = ask("_http._tcp.web.shop.svc.cluster.local", "SRV");
    assert_eq!(
        response.additional,
        ["web.shop.svc.cluster.local. 5 A 10.96.1.1", "web.shop.svc.cluster.local. 5 AAAA fd00:10:96::101"]
    );
    let (_, response) = ask("_sql._tcp.db.shop.svc.cluster.local", "SRV");
    assert_eq!(response.additional[0], "db-0.db.shop.svc.cluster.local. 5 A 10.244.1.7");
    let (_, response) = ask("cluster.local", "NS");
    assert_eq!(response.additional, ["ns.dns.cluster.local. 5 A 10.96.0.10"]);
}

#[test]
fn dn5_names_that_lead_out_are_chased_by_the_caller() {
    let (answer, _) = ask("out.shop.svc.cluster.local", "A");
    let Answer::Ask(asked) = answer else { panic!("{answer:?}") };
    assert_eq!(decode(&asked.query).question, "www.example.com. 1");
    let (answer, _) = ask("out.shop.svc.cluster.local", "CNAME");
    assert_eq!(answer, Answer::Respond);
}

#[test]
fn dn5_without_upstreams_the_alias_alone_is_the_answer() {
    let plan = DnsPlan { upstreams: Vec::new(), ..cluster() };
    let mut out = Vec::new();
    let packet = query("out.shop.svc.cluster.local", 1, None);
    assert_eq!(answer(&Zone::build(&plan), &packet, TCP, &mut out), Answer::Respond);
    assert_eq!(decode(&out).answers, ["out.shop.svc.cluster.local. 5 CNAME www.example.com."]);
}

#[test]
fn dn5_a_circle_of_aliases_ends() {
    let (answer, response) = ask("ping.shop.svc.cluster.local", "A");
    assert_eq!(answer, Answer::Respond);
    assert_eq!(response.answers.len(), 8);
}

#[test]
fn dn10_case_is_ignored_and_echoed() {
    let (_, response) = ask("WeB.sHoP.svc.CLUSTER.local", "A");
    assert_eq!(response.question, "WeB.sHoP.svc.CLUSTER.local. 1");
    assert_eq!(response.answers, ["WeB.sHoP.svc.CLUSTER.local. 5 A 10.96.1.1"]);
}

#[test]
fn dn12_other_names_are_forwarded() {
    for (name, kind) in [
        ("www.example.com", "A"),
        ("xcluster.local", "A"),
        ("local", "A"),
        (".", "NS"),
        ("1.2.0.192.in-addr.arpa", "PTR"),
        ("10.in-addr.arpa", "PTR"),
        ("web", "A"),
    ] {
        assert!(matches!(ask(name, kind).0, Answer::Ask(_)), "{name}");
    }
}

#[test]
fn dn12_the_server_is_not_its_own_upstream() {
    let mut plan = cluster();
    plan.upstreams.push("10.96.0.10:53".parse().unwrap());
    let servers = Zone::build(&plan).servers(ForwardId { block: 0, forward: 0 });
    assert_eq!(servers, [Server { address: "192.0.2.53:53".parse().unwrap(), tls: None }]);
}

#[test]
fn headless_answers_start_at_a_drawn_place() {
    let zone = Zone::build(&cluster());
    let packet = query("db.shop.svc.cluster.local", 1, None);
    let first = |draw| {
        let mut out = Vec::new();
        answer(&zone, &packet, Limits { draw, ..TCP }, &mut out);
        decode(&out).answers[0].clone()
    };
    assert_ne!(first(0), first(1));
    assert_eq!(first(0), first(2));
}
