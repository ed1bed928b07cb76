//! Replies of upstream servers: passed on, chased, and kept.
#![no_main]

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use engine_dns::{
    Answer, Cache, CacheKey, Limits, Name, Question, RecordType, Transport, Zone, answer, query_packet, resume,
};
use libfuzzer_sys::fuzz_target;
use plan::{DnsCache, DnsPlan, DnsService, DnsServiceKind};
use types::ServiceName;

const LIMITS: Limits = Limits { transport: Transport::Udp, client: None, udp_payload: 1232, draw: 0 };

/// A zone with one name that leads elsewhere.
fn zone() -> Zone {
    let mut plan = DnsPlan {
        cluster_domain: "cluster.local".into(),
        upstreams: vec![([192, 0, 2, 1], 53).into()],
        ..DnsPlan::default()
    };
    let kind = DnsServiceKind::ExternalName { target: "www.example.com".into() };
    plan.services.insert(ServiceName::new("shop", "out"), DnsService { kind, endpoints: Vec::new() });
    Zone::build(&plan)
}

fuzz_target!(|tail: &[u8]| {
    let zone = zone();
    for name in ["www.example.com", "out.shop.svc.cluster.local"] {
        let Ok(name) = Name::parse(name) else { return };
        let packet = query_packet(&name, RecordType::A, 7);
        let mut out = Vec::new();
        let Answer::Ask(ask) = answer(&zone, &packet, LIMITS, &mut out) else { return };
        // The right question, then header counts and bytes as they come.
        let Some((counts, records)) = tail.split_at_checked(6) else { return };
        let mut reply = engine_dns::without_edns(&ask.query);
        reply[2] |= 0x80 | counts[0] & 0x02;
        reply[3] = counts[1];
        (reply[7], reply[9], reply[11]) = (counts[2] % 8, counts[3] % 8, counts[4] % 8);
        reply.extend_from_slice(records);
        let mut cache = Cache::new(&DnsCache::default(), 1);
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let Some(keep) = ask.keep else { return };
        let key = CacheKey::new(Question { forward: 0, keep, query: &ask.query }, &hasher);
        let mut kept = Vec::new();
        cache.settle(&key, Some(&reply), Duration::ZERO, &mut kept);
        cache.look_up(&key, Duration::from_secs(1), &mut kept);
        cache.fall_back(&key, Duration::from_secs(600), &mut kept);
        for reply in [&reply, &kept] {
            resume(&packet, ask.clone(), Some(reply), LIMITS, &mut out);
        }
    }
});
