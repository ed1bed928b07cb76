//! Search paths walked on the server: clients find what they would have found themselves.

use std::collections::BTreeSet;

use engine_dns::{Limits, Zone};
use plan::{DnsPlan, DnsService, DnsServiceKind};
use proptest::prelude::*;
use types::ServiceName;

use super::{ask, exchange, plan};
use crate::vectors::{TCP, address};
use crate::wire::{Response, decode, query};

const WITH: &str = ". {\n autopath @kubernetes\n kubernetes cluster.local\n forward . 192.0.2.53\n}";
const WITHOUT: &str = ". {\n kubernetes cluster.local\n forward . 192.0.2.53\n}";

#[test]
fn the_first_name_that_exists_answers_behind_an_alias() {
    let mut plan = plan(WITH);
    plan.node_search = vec!["corp.example".to_owned()];
    plan.pods.insert(address("10.244.1.99"), "shop".into());
    plan.own_search.insert(address("10.244.1.99"), ());
    let zone = Zone::build(&plan);
    let denied = |name: &str, why: &str| {
        let soa = "authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. min=5";
        let text = format!("NXDOMAIN; {soa}; error 0 {why}");
        (name.to_owned(), text)
    };
    let vectors = [
        // What exists answers as ever.
        ("web.shop.svc.cluster.local A from 10.244.1.5".to_owned(), "NOERROR; web.shop.svc.cluster.local. 5 A 10.96.1.1".to_owned()),
        (
            "www.example.com.shop.svc.cluster.local A from 10.244.1.5".to_owned(),
            "NOERROR; www.example.com.shop.svc.cluster.local. 300 CNAME www.example.com.; www.example.com. 300 A 192.0.2.80".to_owned(),
        ),
        (
            "web.default.shop.svc.cluster.local A from 10.244.1.5".to_owned(),
            "NOERROR; web.default.shop.svc.cluster.local. 5 CNAME web.default.svc.cluster.local.; web.default.svc.cluster.local. 5 A 10.96.9.9".to_owned(),
        ),
        // It exists without an IPv6 address, so that is the answer for IPv6.
        (
            "web.default.shop.svc.cluster.local AAAA from 10.244.1.5".to_owned(),
            "NOERROR; authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. min=5".to_owned(),
        ),
        // By the node's own search domain; `web` itself is a Service's name and not searched.
        (
            "api.example.com.shop.svc.cluster.local AAAA from 10.244.1.5".to_owned(),
            "NOERROR".to_owned(),
        ),
        // An endpoint of a Service that exists could be meant.
        denied("db-9.db.shop.svc.cluster.local A from 10.244.1.5", "Service shop/db has no ready endpoint named db-9"),
        denied("waiting.shop.svc.cluster.local A from 10.244.1.5", "Service shop/waiting is headless and has no ready endpoint, so its name does not exist"),
        // Failures are left to the client.
        denied("odd.example.com.shop.svc.cluster.local A from 10.244.1.5", "Service com does not exist in Namespace shop"),
        // Neither another Namespace's path, nor a client that is no Pod, nor one with a path of its own.
        denied("www.example.com.default.svc.cluster.local A from 10.244.1.5", "Service com does not exist in Namespace default"),
        denied("www.example.com.shop.svc.cluster.local A from 10.9.9.9", "Service com does not exist in Namespace shop"),
        denied("www.example.com.shop.svc.cluster.local A from 10.244.1.99", "Service com does not exist in Namespace shop"),
        denied("www.example.com.shop.svc.cluster.local A", "Service com does not exist in Namespace shop"),
        denied("shop.svc.cluster.local.shop.svc.cluster.local A from 10.244.1.99", "not the form of any name of the cluster domain"),
    ];
    for (question, expected) in vectors {
        assert_eq!(ask(&zone, &question), expected, "{question}");
    }
}

/// What a resolver does with a name that exists without the wanted type.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Resolver {
    /// It goes on with the search (glibc).
    GoesOn,
    /// It ends the search (musl).
    Stops,
}

/// The addresses that a Pod's resolver ends with for each family, as getaddrinfo(3) looks for both at once.
fn search(
    zone: &Zone,
    known: &[String],
    name: &str,
    suffixes: &[String],
    (kinds, resolver): (&[u16], Resolver),
) -> BTreeSet<String> {
    for suffix in suffixes {
        let full = format!("{name}.{suffix}");
        let responses = kinds.iter().map(|kind| {
            let packet = query(full.trim_end_matches('.'), *kind, None);
            let limits = Limits { client: Some(address("10.244.1.5")), ..TCP };
            decode(&exchange(zone, &packet, limits, known).unwrap())
        });
        let responses = responses.collect::<Vec<Response>>();
        let addresses = responses.iter().flat_map(|response| &response.answers);
        let addresses = addresses.filter(|line| line.contains(" A ") || line.contains(" AAAA "));
        let found =
            addresses.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect::<BTreeSet<_>>();
        if !found.is_empty() {
            return found;
        }
        // A server's failure ends the search, too.
        if responses.iter().any(|response| response.rcode == 2) {
            return BTreeSet::from(["failure".to_owned()]);
        }
        if resolver == Resolver::Stops && responses.iter().any(|response| response.rcode == 0) {
            return BTreeSet::new();
        }
    }
    BTreeSet::new()
}

const LABELS: &[&str] = &["a", "b", "shop", "default", "svc", "cluster", "local", "corp", "example"];

fn name() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(LABELS), 1..5).prop_map(|labels| labels.join("."))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn searching_on_the_server_finds_what_clients_find(
        services in proptest::collection::btree_map(
            (proptest::sample::select(&["shop", "default"][..]), proptest::sample::select(&["a", "b", "example"][..])),
            0_u8..4,
            0..5,
        ),
        known in proptest::collection::vec(
            (name(), proptest::sample::select(&["A 192.0.2.1", "AAAA 2001:db8::1", "SERVFAIL", "TXT x"][..])),
            0..12,
        ),
        node in proptest::option::of(proptest::sample::select(&["corp.example", "example"][..])),
        asked in name(),
        resolver in proptest::sample::select(&[Resolver::GoesOn, Resolver::Stops][..]),
        kinds in proptest::sample::select(vec![vec![1_u16], vec![28], vec![1, 28]]),
    ) {
        let zone = |corefile: &str| {
            let mut plan = DnsPlan { services: Default::default(), ..plan(corefile) };
            for ((namespace, name), shape) in &services {
                let kind = match shape {
                    0 => DnsServiceKind::headless(),
                    1 => DnsServiceKind::ExternalName { target: "a.example".to_owned() },
                    _ => DnsServiceKind::ClusterIp {
                        addresses: BTreeSet::from([address(if *shape == 2 { "10.96.5.5" } else { "fd00:10:96::5" })]),
                        ports: Vec::new(),
                    },
                };
                plan.services.insert(ServiceName::new(*namespace, *name), DnsService { kind, endpoints: Vec::new() });
            }
            plan.node_search = node.iter().map(ToString::to_string).collect();
            Zone::build(&plan)
        };
        let known = known.iter().map(|(name, data)| format!("{name} {data}")).collect::<Vec<_>>();
        let mut suffixes = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"].map(String::from).to_vec();
        suffixes.extend(node.iter().map(ToString::to_string));
        suffixes.push(String::new());
        // The limit of the option: a later name of this search reads like the first name of another one.
        let reads_like_another = |suffix: &String| format!("{asked}.{suffix}").contains(".shop.svc.cluster.local");
        prop_assume!(!suffixes[1..].iter().any(reads_like_another));
        let with = search(&zone(WITH), &known, &asked, &suffixes, (&kinds, resolver));
        let without = search(&zone(WITHOUT), &known, &asked, &suffixes, (&kinds, resolver));
        prop_assert_eq!(with, without);
    }
}
