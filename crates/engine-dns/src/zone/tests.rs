//! Zones that follow each other, against an index of all names.

use std::collections::BTreeSet;

use plan::{DnsEndpoint, DnsKubernetes, DnsPort, ExposedNamespaces};
use proptest::prelude::*;
use types::Protocol;

use super::*;

const ZONES: [&str; 3] = ["a", "b", "x.a"];
const NAMESPACES: [&str; 3] = ["shop", "ops", "gone"];

fn address() -> impl Strategy<Value = IpAddr> {
    prop::sample::select(vec!["10.96.0.1", "10.96.0.2", "10.244.1.2", "10.244.1.3", "fd00::2", "203.0.113.1"])
        .prop_map(|text| text.parse().unwrap())
}

fn port() -> impl Strategy<Value = DnsPort> {
    (prop::sample::select(vec!["", "http", "dns"]), 80..83_u16).prop_map(|(name, port)| DnsPort {
        name: name.to_owned(),
        protocol: Protocol::Tcp,
        port: types::Port::new(port).unwrap(),
    })
}

fn service() -> impl Strategy<Value = DnsService> {
    let ports = || prop::collection::vec(port(), 0..3);
    let endpoint = (prop::option::of(prop::sample::select(vec!["a", "b"])), address(), ports()).prop_map(
        |(hostname, address, ports)| DnsEndpoint {
            hostname: hostname.map_or_else(|| dashed(address), str::to_owned),
            address,
            ports,
        },
    );
    let places = prop::collection::vec((prop::sample::select(ZONES.to_vec()), address()), 0..4);
    let headless = places.prop_map(|places| {
        let mut zones: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        for (zone, address) in places {
            zones.entry(zone.to_owned()).or_default().insert(address);
        }
        DnsServiceKind::Headless { zones }
    });
    let targets =
        prop::sample::select(vec!["example.org", "web.shop.svc.cluster.local", "192.0.2.1", "a..b"]);
    let kind = prop_oneof![
        3 => (prop::collection::btree_set(address(), 1..3), ports())
            .prop_map(|(addresses, ports)| DnsServiceKind::ClusterIp { addresses, ports }),
        3 => headless,
        1 => targets.prop_map(|target| DnsServiceKind::ExternalName { target: target.to_owned() }),
    ];
    // Few, and more than are looked through for each question.
    let repeated = prop_oneof![4 => Just(1), 1 => Just(FEW + 1)];
    (kind, prop::collection::vec(endpoint, 0..3), repeated).prop_map(|(kind, endpoints, repeated)| {
        DnsService { kind, endpoints: vec![endpoints; repeated].concat() }
    })
}

fn settings() -> impl Strategy<Value = DnsSettings> {
    let names = || {
        let names = prop::collection::btree_set(prop::sample::select(NAMESPACES.to_vec()), 0..3);
        names.prop_map(|names| names.into_iter().map(str::to_owned).collect::<BTreeSet<_>>())
    };
    let labelled =
        |matching| ExposedNamespaces::Labelled { selector: types::LabelSelector::default(), matching };
    let namespaces = prop_oneof![
        3 => Just(ExposedNamespaces::All),
        1 => names().prop_map(ExposedNamespaces::Named),
        1 => names().prop_map(labelled),
    ];
    (any::<bool>(), namespaces, any::<bool>()).prop_map(|(zonal, namespaces, ignore_empty)| {
        let kubernetes = DnsKubernetes { zonal, namespaces, ignore_empty, ..DnsKubernetes::default() };
        DnsSettings { blocks: vec![DnsBlock { kubernetes: Some(kubernetes), ..DnsBlock::default() }] }
    })
}

/// The index of all names, without those that settings hide.
fn whole_index(origin: &Name, plan: &DnsPlan) -> BTreeMap<Name, Node> {
    let kubernetes = plan.settings.kubernetes().unwrap();
    let (exposed, hides_reverse) = match &kubernetes.namespaces {
        ExposedNamespaces::All => (None, false),
        ExposedNamespaces::Named(names) => (Some(names), true),
        ExposedNamespaces::Labelled { matching, .. } => (Some(matching), false),
    };
    let is_exposed = |namespace: &String| exposed.is_none_or(|exposed| exposed.contains(namespace));
    let mut shown = plan.clone();
    shown.services =
        plan.services.iter().filter(|(name, _)| is_exposed(&name.namespace)).map(cloned).collect();
    let reverse = whole::names(origin, if hides_reverse { &shown } else { plan });
    shown.namespaces =
        plan.namespaces.iter().filter(|name| is_exposed(name)).cloned().collect::<BTreeSet<_>>().into();
    shown.pods = plan.pods.iter().filter(|(_, namespace)| is_exposed(namespace)).map(cloned).collect();
    if kubernetes.ignore_empty {
        let is_kept = |service: &DnsService| {
            !matches!(service.kind, DnsServiceKind::ClusterIp { .. }) || !service.endpoints.is_empty()
        };
        shown.services = shown.services.iter().filter(|(_, service)| is_kept(service)).map(cloned).collect();
    }
    let mut names = whole::names(origin, &shown);
    names.retain(|name, _| name.is_within(origin));
    names.extend(reverse.into_iter().filter(|(name, _)| !name.is_within(origin)));
    names
}

fn cloned<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}

fn plan() -> impl Strategy<Value = DnsPlan> {
    let name =
        || (prop::sample::select(vec!["web", "api", "no.label"]), prop::sample::select(NAMESPACES.to_vec()));
    let name = move || name().prop_map(|(name, namespace)| ServiceName::new(namespace, name));
    (
        prop::collection::btree_set(prop::sample::select(NAMESPACES[..2].to_vec()), 0..3),
        prop::collection::btree_map(name(), service(), 0..5),
        prop::collection::btree_map(address(), prop::sample::select(NAMESPACES.to_vec()), 0..4),
        prop::collection::btree_set(address(), 0..2),
        settings(),
    )
        .prop_map(|(namespaces, services, pods, addresses, settings)| DnsPlan {
            cluster_domain: "cluster.local".to_owned(),
            addresses,
            namespaces: namespaces.into_iter().map(str::to_owned).collect::<BTreeSet<_>>().into(),
            services: services.into(),
            pods: pods.into_iter().map(|(address, namespace)| (address, namespace.to_owned())).collect(),
            reverse_ranges: ["10.244.0.0/16".parse().unwrap()].into(),
            ttl_seconds: 5,
            settings: settings.into(),
            ..DnsPlan::default()
        })
}

/// Names that may exist in one plan or the other, and some that do not.
fn candidates(zones: &[BTreeMap<Name, Node>]) -> BTreeSet<Name> {
    let others = ["svc.cluster.local", "x.svc.cluster.local", "10-0-0-1.shop.pod.cluster.local", "org", "."];
    let others = others.map(|text| Name::parse(text).unwrap());
    let below = |name: &Name| name.child("x");
    let all = zones.iter().flat_map(BTreeMap::keys);
    all.clone().cloned().chain(all.filter_map(below)).chain(others).chain(zonal_candidates()).collect()
}

/// Names of topology zones, and such as look like them.
fn zonal_candidates() -> Vec<Name> {
    let mut names = Vec::new();
    for first in ["", "a.", "b.", "x.a.", "c.", "a.x."] {
        for directive in ["pin.", "prefer.", "none.", ""] {
            for service in ["web", "api"] {
                for kind in ["shop.svc", "gone.svc", "shop.pod"] {
                    let text = format!("{first}{directive}_zone.{service}.{kind}.cluster.local");
                    names.push(Name::parse(&text).unwrap());
                }
            }
        }
    }
    names
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A zone that followed others knows what an index of all names knows, and nothing else.
    #[test]
    fn a_zone_knows_what_a_whole_index_knows(plans in prop::collection::vec((plan(), any::<bool>()), 1..5)) {
        let mut zone: Option<Zone> = None;
        let mut seen = Vec::new();
        for (mut plan, is_small_change) in plans {
            if let (Some(zone), true) = (&zone, is_small_change) {
                let first = plan.services.iter().next().map(|(name, service)| (name.clone(), service.clone()));
                plan.services = zone.plan.services.clone();
                plan.services.extend(first);
            }
            let next = zone.map_or_else(|| Zone::build(&plan), |zone| zone.follow(&plan));
            let whole = whole_index(&next.origin, &plan);
            seen.push(whole.clone());
            for name in candidates(&seen) {
                if let Some(expected) = whole::of_zones(&plan, &name) {
                    let found = match next.place(name.as_wire()) {
                        Place::Here(node) => Some(node.records.iter().cloned().collect()),
                        Place::Missing { .. } | Place::Elsewhere => None,
                    };
                    prop_assert_eq!(found, expected, "{}", name);
                    continue;
                }
                let found = match next.place(name.as_wire()) {
                    Place::Here(node) => Some((node.source.clone(), node.records.clone())),
                    Place::Missing { .. } | Place::Elsewhere => None,
                };
                let expected = whole.get(&name).map(|node| (node.source.clone(), node.records.clone()));
                prop_assert_eq!(found, expected, "{}", name);
            }
            zone = Some(next);
        }
    }
}
