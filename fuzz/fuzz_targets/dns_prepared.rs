//! DNS answers that are given again, against the general path: any queries, one after the other, give the same bytes.
#![no_main]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use engine_corefile::{Sources, read};
use engine_dns::{Answer, Limits, Prepared, Transport, Zone, answer};
use libfuzzer_sys::fuzz_target;
use plan::{DnsEndpoint, DnsPlan, DnsService, DnsServiceKind};
use types::ServiceName;

const NAMES: [&str; 9] = [
    "web.shop.svc.cluster.local",
    "WEB.Shop.svc.cluster.local",
    "few.shop.svc.cluster.local",
    "many.shop.svc.cluster.local",
    "p-1.few.shop.svc.cluster.local",
    "none.shop.svc.cluster.local",
    "a.pin._zone.few.shop.svc.cluster.local",
    "b.prefer._zone.few.shop.svc.cluster.local",
    "www.a.example",
];

/// One with nothing but the cluster's names, one with steps before and after them.
static ZONES: LazyLock<[Zone; 2]> = LazyLock::new(|| {
    let corefile = ". {
        rewrite name substring www web answer auto
        template IN A a.example {
            answer \"{{ .Name }} 60 IN A 192.0.2.1\"
        }
        autopath @kubernetes
        kubernetes cluster.local in-addr.arpa {
            zonal
        }
        forward . 192.0.2.1
    }";
    let settings = read(&Sources { corefile: corefile.to_owned(), ..Sources::default() }).settings;
    let with_steps = DnsPlan { settings: settings.unwrap_or_default().into(), ..cluster() };
    [Zone::build(&cluster()), Zone::build(&with_steps)]
});

fn cluster() -> DnsPlan {
    let mut plan =
        DnsPlan { cluster_domain: "cluster.local".to_owned(), ttl_seconds: 5, ..DnsPlan::default() };
    let endpoint = |number: u8| DnsEndpoint {
        hostname: format!("p-{number}"),
        address: [10, 244, 0, number].into(),
        ports: Vec::new(),
    };
    let addresses = BTreeSet::from([[10, 96, 0, 1].into()]);
    for (name, kind, endpoints) in [
        ("web", DnsServiceKind::ClusterIp { addresses, ports: Vec::new() }, 0),
        ("few", DnsServiceKind::Headless { zones: [("a".to_owned(), [[10, 244, 0, 1].into()].into())].into() }, 5),
        ("many", DnsServiceKind::headless(), 60),
    ] {
        let endpoints = (0..endpoints).map(endpoint).collect();
        plan.services.insert(ServiceName::new("shop", name), DnsService { kind, endpoints });
    }
    plan
}

/// The next query: bytes as they are, or a well-formed one of a name.
fn take(data: &mut &[u8]) -> Option<(Vec<u8>, Limits)> {
    let (head, rest) = data.split_first_chunk::<8>()?;
    let transport = if head[1] & 1 == 0 { Transport::Udp } else { Transport::Tcp };
    let limits = Limits { transport, client: None, udp_payload: 1232, draw: head[2].into() };
    if head[0] < 128 {
        let (packet, rest) = rest.split_at_checked(head[0].into())?;
        *data = rest;
        return Some((packet.to_vec(), limits));
    }
    *data = rest;
    let mut packet = vec![head[2], head[3], head[4] & 0x17, head[5], 0, 1, 0, 0, 0, 0, 0, head[1] >> 1 & 1];
    for label in NAMES[usize::from(head[0]) % NAMES.len()].split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, [1, 28, 33, 5, 255, head[6]][usize::from(head[6]) % 6], 0, 1]);
    if head[1] & 2 != 0 {
        packet.extend([0, 0, 41, head[7], 0, 0, 0, head[1] & 0x80, 0, 0, 0]);
    }
    Some((packet, limits))
}

fuzz_target!(|data: &[u8]| {
    let Some((first, mut data)) = data.split_first() else { return };
    let zone = &ZONES[usize::from(first & 1)];
    let mut prepared = Prepared::new(if first & 2 == 0 { 500 } else { 1 << 16 }, 7);
    prepared.begin(Some(zone));
    let (mut expected, mut given) = (Vec::new(), Vec::new());
    while let Some((packet, limits)) = take(&mut data) {
        let done = answer(zone, &packet, limits, &mut expected);
        let lookup = prepared.read(&packet, limits);
        prepared.fetch(&[lookup]);
        if lookup.is_some_and(|lookup| prepared.respond(&lookup, &packet, limits.draw, &mut given)) {
            assert_eq!((Answer::Respond, &given), (done, &expected));
        } else if done == Answer::Respond {
            prepared.learn(&packet, limits, &expected);
        }
    }
});
