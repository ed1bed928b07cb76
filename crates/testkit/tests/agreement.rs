//! The rules do to any packet what the plans say, in clusters nobody thought of.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::net::IpAddr;

use compile::TunnelMode;
use explain::{Client, Cluster, Conclusion, Question, Target, explain};
use proptest::prelude::*;
use sealane_testkit::{Fate, ResolvedProbe, SEEDED_PORTS, Seeds, TracedWorld, World, walk};
use types::{IpFamily, NodeName, Port, Protocol};

const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// Every address somebody may aim at.
fn destinations(world: &World, family: IpFamily) -> Vec<IpAddr> {
    let pods = world.plans.values().flat_map(|plan| plan.podnet.local_pods.keys().copied());
    let nodes = world.snapshot.nodes.values().flat_map(|node| node.addresses.iter().copied());
    let vips = world.snapshot.services.values().flat_map(|service| {
        let status = service.status.iter().map(|entry| entry.address);
        service.cluster_ips.iter().chain(&service.external_ips).copied().chain(status).collect::<Vec<_>>()
    });
    let others = match family {
        IpFamily::V4 => ["10.96.0.99", "203.0.113.9", "10.96.0.10"],
        IpFamily::V6 => ["fd00:96::99", "2001:db8:3::9", "fd00:96::a"],
    };
    let others = others.map(|text| text.parse().unwrap());
    pods.chain(nodes).chain(vips).chain(others).collect()
}

fn probe(
    seeds: &Seeds,
    world: &World,
    (from, to, port, protocol): (u32, u32, usize, usize),
) -> Option<ResolvedProbe> {
    let mut sources: Vec<(IpAddr, NodeName)> = Vec::new();
    for plan in world.plans.values() {
        sources.extend(plan.podnet.local_pods.keys().map(|address| (*address, plan.node.clone())));
        sources.extend(plan.services.node_addresses.first().map(|address| (*address, plan.node.clone())));
        sources.extend(seeds.clients_outside().iter().map(|text| (text.parse().unwrap(), plan.node.clone())));
    }
    let destinations = destinations(world, seeds.family);
    let (source, entry) = sources[usize::try_from(from).unwrap() % sources.len()].clone();
    let destination = destinations[usize::try_from(to).unwrap() % destinations.len()];
    let probe = ResolvedProbe {
        source,
        destination,
        protocol: PROTOCOLS[protocol],
        port: Port::new(SEEDED_PORTS[port]).unwrap(),
        entry,
    };
    is_possible(world, &probe).then_some(probe)
}

/// The question a person would ask about a probe.
fn question(world: &World, probe: &ResolvedProbe) -> Question {
    let entry = &world.plans[&probe.entry];
    let from = match entry.podnet.local_pods.get(&probe.source) {
        Some(pod) => Client::Pod(pod.clone()),
        None if entry.services.node_addresses.contains(&probe.source) => Client::Node(entry.node.clone()),
        None => Client::Outside(Some(probe.source)),
    };
    Question {
        from,
        to: Target::Address(probe.destination),
        port: Some(probe.port),
        protocol: probe.protocol,
    }
}

/// Whether an explanation says what the walk says; a node's own programs and the world outside are beyond both.
fn tells(conclusion: &Conclusion, fates: &BTreeSet<Fate>) -> bool {
    let end = |backend: &plan::Backend| backend.to_string();
    let reached: BTreeSet<String> = fates
        .iter()
        .filter_map(|fate| match fate {
            Fate::Reached { backend, .. } => Some(end(backend)),
            _ => None,
        })
        .collect();
    let others: BTreeSet<&Fate> = fates.iter().filter(|fate| !matches!(fate, Fate::Reached { .. })).collect();
    let is_denied = !others.is_empty() && others.iter().all(|fate| matches!(fate, Fate::Denied(_)));
    // An explanation adds who that is: `10.244.1.2:80 (Pod shop/web on node-a)`.
    let bare = |backends: &BTreeSet<String>| -> BTreeSet<String> {
        backends.iter().filter_map(|text| text.split(' ').next()).map(str::to_owned).collect()
    };
    match conclusion {
        Conclusion::Reaches { backends } => bare(backends) == reached && others.is_empty(),
        Conclusion::ReachesSome { backends, .. } => bare(backends) == reached && is_denied,
        Conclusion::Denied => reached.is_empty() && is_denied,
        Conclusion::Refused => reached.is_empty() && others == BTreeSet::from([&Fate::Refused]),
        Conclusion::Dropped => reached.is_empty() && others == BTreeSet::from([&Fate::Dropped]),
        Conclusion::LeavesCluster | Conclusion::ReachesNode => others.is_empty(),
        _ => false,
    }
}

/// Whether a person's question leaves no doubt at which node the packets arrive.
///
/// A client outside that aims at an address no node holds may enter at any node, and cannot say at which.
fn is_question_clear(world: &World, probe: &ResolvedProbe) -> bool {
    let entry = &world.plans[&probe.entry];
    let holds = |plan: &plan::NodePlan, address: &IpAddr| plan.services.node_addresses.contains(address);
    let is_known = entry.podnet.local_pods.contains_key(&probe.source)
        || holds(entry, &probe.source)
        || entry.podnet.local_pods.contains_key(&probe.destination)
        || world.plans.values().any(|plan| holds(plan, &probe.destination));
    let is_announced = world.plans.values().any(|plan| plan.lb.announce.contains_key(&probe.destination));
    is_known || is_announced
}

/// Packets from outside arrive where their destination is, and not on a detour over another node.
fn is_possible(world: &World, probe: &ResolvedProbe) -> bool {
    let entry = &world.plans[&probe.entry];
    let inside = entry.podnet.local_pods.contains_key(&probe.source)
        || entry.services.node_addresses.contains(&probe.source);
    let elsewhere = world.plans.values().filter(|plan| plan.node != probe.entry).any(|plan| {
        plan.podnet.local_pods.contains_key(&probe.destination)
            || plan.services.node_addresses.contains(&probe.destination)
            || plan.lb.announce.contains_key(&probe.destination)
    });
    inside || !elsewhere
}

fn seeds() -> impl Strategy<Value = Seeds> {
    let rules = prop::collection::vec(
        (prop::collection::vec(any::<u8>(), 0..3), prop::collection::vec(any::<u8>(), 0..3)),
        0..3,
    );
    let parts = (
        prop::collection::vec(any::<[u8; 5]>(), 1..7),
        prop::collection::vec(any::<[u8; 4]>(), 0..4),
        prop::collection::vec((any::<[u8; 3]>(), rules), 0..4),
        any::<bool>(),
    );
    parts.prop_map(|(pods, services, policies, is_v6)| {
        let family = if is_v6 { IpFamily::V6 } else { IpFamily::V4 };
        Seeds { family, pods, services, policies }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_and_explanations_agree_with_plans(
        seeds in seeds(),
        probes in prop::collection::vec((any::<u32>(), any::<u32>(), 0..SEEDED_PORTS.len(), 0..3usize), 40),
    ) {
        let world = seeds.world(TunnelMode::Vxlan);
        let traced = TracedWorld::new(&world);
        let cluster = Cluster { plans: world.plans.clone() };
        for seed in probes {
            let Some(probe) = probe(&seeds, &world, seed) else { continue };
            let fates = walk(&world, &probe);
            let question = question(&world, &probe);
            let explanation = explain(&cluster, &question);
            prop_assert!(
                !is_question_clear(&world, &probe) || tells(&explanation.conclusion, &fates),
                "{:?} {:?}\n{:#?}", probe, fates, explanation
            );
            let planned: BTreeSet<Fate> = fates.into_iter().map(Fate::without_reason).collect();
            prop_assert_eq!(&planned, &traced.trace(&probe), "{:?}", probe);
        }
    }
}
