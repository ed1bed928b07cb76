//! What people are told about names.

use engine_dns::{Outcome, RecordType, Resolution, SearchEnd, Zone, resolve, search};

use crate::vectors::{address, cluster};

fn ask(name: &str) -> Resolution {
    resolve(&Zone::build(&cluster()), name, RecordType::A).unwrap()
}

#[test]
fn every_answer_says_why() {
    for (name, outcome, reason) in [
        ("web.shop.svc.cluster.local", Outcome::Found, "Service shop/web spec.clusterIPs"),
        (
            "db.shop.svc.cluster.local",
            Outcome::Found,
            "Service shop/db is headless: the addresses of its ready endpoints",
        ),
        ("db-0.db.shop.svc.cluster.local", Outcome::Found, "a ready endpoint of Service shop/db"),
        ("shop.svc.cluster.local", Outcome::NoData, "Namespace shop"),
        ("web.nowhere.svc.cluster.local", Outcome::NxDomain, "Namespace nowhere does not exist"),
        (
            "idle.default.svc.cluster.local",
            Outcome::NxDomain,
            "Service idle does not exist in Namespace default; there is one in shop: ask for idle.shop",
        ),
        (
            "nothing.shop.svc.cluster.local",
            Outcome::NxDomain,
            "Service nothing does not exist in Namespace shop",
        ),
        (
            "waiting.shop.svc.cluster.local",
            Outcome::NxDomain,
            "Service shop/waiting is headless and has no ready endpoint, so its name does not exist",
        ),
        (
            "number.shop.svc.cluster.local",
            Outcome::NxDomain,
            "Service shop/number spec.externalName `192.0.2.1` is an address, not a name",
        ),
        (
            "_smtp._tcp.web.shop.svc.cluster.local",
            Outcome::NxDomain,
            "Service shop/web has no port _smtp._tcp (the form is _name._protocol)",
        ),
        (
            "db-7.db.shop.svc.cluster.local",
            Outcome::NxDomain,
            "Service shop/db has no ready endpoint named db-7",
        ),
        (
            "10-0-0-1.shop.pod.cluster.local",
            Outcome::NxDomain,
            "no Pod of Namespace shop has the address 10-0-0-1",
        ),
        ("9.9.96.10.in-addr.arpa", Outcome::NoData, "Service default/web spec.clusterIPs"),
        (
            "98.9.96.10.in-addr.arpa",
            Outcome::NxDomain,
            "10.96.9.98 is in the cluster's ranges, and no Service or endpoint has it",
        ),
        ("www.example.com", Outcome::Forward, "not in cluster.local: asked of the upstream servers"),
        (
            "out.shop.svc.cluster.local",
            Outcome::Forward,
            "not in cluster.local: asked of the upstream servers",
        ),
        ("ping.shop.svc.cluster.local", Outcome::NoData, "ExternalName Services lead to each other"),
        ("odd.cluster.local", Outcome::NxDomain, "not the form of any name of the cluster domain"),
    ] {
        let resolution = ask(name);
        assert_eq!(resolution.outcome, outcome, "{name}");
        assert_eq!(resolution.reason().unwrap().to_string(), reason, "{name}");
    }
}

#[test]
fn an_alias_is_explained_step_by_step() {
    let resolution = ask("alias.shop.svc.cluster.local");
    let reasons = resolution.reasons.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(reasons, ["Service shop/alias spec.externalName", "Service shop/web spec.clusterIPs"]);
    let records = resolution.records.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        records,
        [
            "alias.shop.svc.cluster.local. 5 IN CNAME web.shop.svc.cluster.local.",
            "web.shop.svc.cluster.local. 5 IN A 10.96.1.1"
        ]
    );
    assert_eq!(resolution.reasons[0].object().unwrap().to_string(), "Service shop/alias");
    assert_eq!(resolution.reasons[0].field(), "spec.externalName");
}

/// DN13: the search path of a Pod, `ndots:5`.
#[test]
fn a_pod_walks_its_search_path() {
    let zone = Zone::build(&cluster());
    for (name, namespace, tried, end, decisive) in [
        ("web", "shop", 1, SearchEnd::Found, "Service shop/web spec.clusterIPs"),
        ("web", "default", 1, SearchEnd::Found, "Service default/web spec.clusterIPs"),
        ("web.shop", "default", 2, SearchEnd::Found, "Service shop/web spec.clusterIPs"),
        ("web.shop.svc", "default", 3, SearchEnd::Found, "Service shop/web spec.clusterIPs"),
        ("web.shop.svc.cluster.local", "default", 4, SearchEnd::Found, "Service shop/web spec.clusterIPs"),
        ("web.shop.svc.cluster.local.", "default", 1, SearchEnd::Found, "Service shop/web spec.clusterIPs"),
        (
            "idle",
            "default",
            4,
            SearchEnd::Forwarded,
            "Service idle does not exist in Namespace default; there is one in shop: ask for idle.shop",
        ),
        ("wbe.shop", "default", 4, SearchEnd::Forwarded, "Service wbe does not exist in Namespace shop"),
        (
            "example.com",
            "default",
            4,
            SearchEnd::Forwarded,
            "not in cluster.local: asked of the upstream servers",
        ),
        (
            "wbe.shop.svc.cluster.local",
            "default",
            4,
            SearchEnd::NotFound,
            "Service wbe does not exist in Namespace shop",
        ),
        (
            "a.b.c.d.e.example.com",
            "default",
            1,
            SearchEnd::Forwarded,
            "not in cluster.local: asked of the upstream servers",
        ),
    ] {
        let found = search(&zone, name, namespace, RecordType::A).unwrap();
        assert_eq!((found.attempts.len(), found.end), (tried, end), "{name} in {namespace}");
        let reason = found.decisive().unwrap().reason().unwrap().to_string();
        assert_eq!(reason, decisive, "{name} in {namespace}");
    }
    let found = search(&zone, "db.shop", "default", RecordType::A).unwrap();
    assert_eq!(found.addresses(), [address("10.244.1.7"), address("10.244.2.7")]);
}
