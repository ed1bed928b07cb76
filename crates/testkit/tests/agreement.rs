//! The rules do to any packet what the plans say, in clusters nobody thought of.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::net::IpAddr;

use compile::TunnelMode;
use explain::{Client, Cluster, Conclusion, Question, Target, explain};
use k8s_openapi::api::core::v1::{Pod, Service};
use model::{Change, Snapshot};
use proptest::prelude::*;
use sealane_testkit::{Fate, LAB_MANIFESTS, Manifests, ResolvedProbe, TracedWorld, World, walk};
use serde_json::{Value, json};
use types::{NodeName, Port, Protocol};

const APPS: [&str; 3] = ["web", "api", "db"];
const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];
const TYPES: [&str; 3] = ["ClusterIP", "NodePort", "LoadBalancer"];
const NAMESPACES: [&str; 2] = ["shop", "ops"];
/// Ports that policies, Services and probes all speak of, so that they meet.
const PORTS: [u16; 4] = [80, 8080, 9090, 30080];
const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
const OUTSIDE: [&str; 3] = ["192.0.2.1", "192.0.2.200", "203.0.113.9"];

fn pod(index: usize, (app, namespace, node, port): (usize, usize, usize, usize)) -> Pod {
    let node_number = node + 1;
    let mut declared = json!({"name": "http", "containerPort": PORTS[port]});
    if index.is_multiple_of(2) {
        declared["hostPort"] = json!(PORTS[index % PORTS.len()]);
    }
    if index % 4 == 2 {
        declared["hostIP"] = json!(format!("172.31.0.{}", 10 + node_number));
    }
    serde_json::from_value(json!({
        "metadata": {"namespace": NAMESPACES[namespace], "name": format!("pod-{index}"), "labels": {"app": APPS[app]}},
        "spec": {"nodeName": NODES[node], "containers": [{"name": "main", "ports": [declared]}]},
        "status": {"podIP": format!("10.244.{node_number}.{}", index + 2)},
    }))
    .unwrap()
}

fn service(index: usize, (app, namespace, policies, kind): (usize, usize, usize, usize)) -> Service {
    let policy = |local: bool| if local { "Local" } else { "Cluster" };
    let mut spec = json!({
        "clusterIP": format!("10.96.0.{}", index + 20),
        "type": TYPES[kind],
        "selector": {"app": APPS[app]},
        "internalTrafficPolicy": policy(policies & 1 == 1),
        "externalTrafficPolicy": policy(policies & 2 == 2),
        "ports": [{"port": 80, "targetPort": "http"}],
    });
    if kind > 0 {
        spec["ports"][0]["nodePort"] = json!(30080 + index);
    }
    if kind == 2 && policies & 4 == 4 {
        spec["loadBalancerSourceRanges"] = json!(["192.0.2.0/25", "10.244.1.0/24"]);
    }
    if policies & 8 == 8 {
        spec["externalIPs"] = json!([format!("198.51.100.{index}")]);
    }
    serde_json::from_value(json!({
        "metadata": {"namespace": NAMESPACES[namespace], "name": format!("service-{index}")}, "spec": spec,
    }))
    .unwrap()
}

fn peer(kind: u8) -> Value {
    match kind % 6 {
        0 => json!({"podSelector": {"matchLabels": {"app": "web"}}}),
        1 => json!({"namespaceSelector": {}}),
        2 => json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ops"}},
            "podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["api", "db"]}]}}),
        3 => json!({"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]}}),
        4 => json!({"ipBlock": {"cidr": "10.244.1.0/24"}}),
        _ => json!({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.244.2.0/24"]}}),
    }
}

fn port(kind: u8) -> Value {
    match kind % 5 {
        0 => json!({"port": 8080}),
        1 => json!({"port": "http"}),
        2 => json!({"protocol": "UDP"}),
        3 => json!({"port": 80, "endPort": 8080}),
        _ => json!({"protocol": "SCTP", "port": 9090}),
    }
}

type RuleSeed = (Vec<u8>, Vec<u8>);

fn policy(index: usize, (app, namespace, directions, rules): &(usize, usize, u8, Vec<RuleSeed>)) -> Change {
    let side = |peers: &str| -> Vec<Value> {
        let rule = |(peer_kinds, ports): &RuleSeed| {
            json!({
                peers: peer_kinds.iter().copied().map(peer).collect::<Vec<_>>(),
                "ports": ports.iter().copied().map(port).collect::<Vec<_>>(),
            })
        };
        rules.iter().map(rule).collect()
    };
    let types: &[&str] = [&["Ingress"][..], &["Egress"], &["Ingress", "Egress"]][usize::from(directions % 3)];
    let selector = if directions & 4 == 4 { json!({}) } else { json!({"matchLabels": {"app": APPS[*app]}}) };
    let spec =
        json!({"podSelector": selector, "policyTypes": types, "ingress": side("from"), "egress": side("to")});
    let name = format!("{}/policy-{index}", NAMESPACES[*namespace]);
    Change::put(&sealane_testkit::mk_network_policy(&name, spec))
}

fn manifests(pods: &[Pod], services: &[Service]) -> String {
    let with_kind = |kind: &str, mut object: Value| {
        object["kind"] = json!(kind);
        object.to_string()
    };
    let pods = pods.iter().map(|pod| with_kind("Pod", serde_json::to_value(pod).unwrap()));
    let services =
        services.iter().map(|service| with_kind("Service", serde_json::to_value(service).unwrap()));
    // JSON is YAML.
    pods.chain(services).collect::<Vec<_>>().join("\n---\n")
}

/// Every address somebody may aim at.
fn destinations(world: &World) -> Vec<IpAddr> {
    let pods = world.plans.values().flat_map(|plan| plan.podnet.local_pods.keys().copied());
    let nodes = world.snapshot.nodes.values().flat_map(|node| node.addresses.iter().copied());
    let vips = world.snapshot.services.values().flat_map(|service| {
        let status = service.status.iter().map(|entry| entry.address);
        service.cluster_ips.iter().chain(&service.external_ips).copied().chain(status).collect::<Vec<_>>()
    });
    let others = ["10.96.0.99", "203.0.113.9", "10.96.0.10"].map(|text| text.parse().unwrap());
    pods.chain(nodes).chain(vips).chain(others).collect()
}

fn probe(world: &World, (from, to, port, protocol): (u32, u32, usize, usize)) -> Option<ResolvedProbe> {
    let mut sources: Vec<(IpAddr, NodeName)> = Vec::new();
    for plan in world.plans.values() {
        sources.extend(plan.podnet.local_pods.keys().map(|address| (*address, plan.node.clone())));
        sources.extend(plan.services.node_addresses.first().map(|address| (*address, plan.node.clone())));
        sources.extend(OUTSIDE.iter().map(|text| (text.parse().unwrap(), plan.node.clone())));
    }
    let destinations = destinations(world);
    let (source, entry) = sources[usize::try_from(from).unwrap() % sources.len()].clone();
    let destination = destinations[usize::try_from(to).unwrap() % destinations.len()];
    let probe = ResolvedProbe {
        source,
        destination,
        protocol: PROTOCOLS[protocol],
        port: Port::new(PORTS[port]).unwrap(),
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

/// A cluster from seeds.
fn world(
    pods: Vec<(usize, usize, usize, usize)>,
    services: Vec<(usize, usize, usize, usize)>,
    policies: &[(usize, usize, u8, Vec<RuleSeed>)],
) -> World {
    let pods: Vec<Pod> = pods.into_iter().enumerate().map(|(index, seed)| pod(index, seed)).collect();
    let services: Vec<Service> =
        services.into_iter().enumerate().map(|(index, seed)| service(index, seed)).collect();
    let mut snapshot = Snapshot::default();
    Manifests::parse(LAB_MANIFESTS).unwrap().apply_to(&mut snapshot);
    Manifests::parse(&manifests(&pods, &services)).unwrap().apply_to(&mut snapshot);
    for (index, seed) in policies.iter().enumerate() {
        snapshot.apply(policy(index, seed));
    }
    World::settle(snapshot, TunnelMode::Vxlan)
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_and_explanations_agree_with_plans(
        pods in prop::collection::vec((0..3usize, 0..2usize, 0..3usize, 0..3usize), 1..7),
        services in prop::collection::vec((0..3usize, 0..2usize, 0..16usize, 0..3usize), 0..4),
        policies in prop::collection::vec(
            (0..3usize, 0..2usize, 0..8u8, prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..3), prop::collection::vec(any::<u8>(), 0..3)), 0..3)),
            0..4),
        probes in prop::collection::vec((any::<u32>(), any::<u32>(), 0..PORTS.len(), 0..3usize), 40),
    ) {
        let world = world(pods, services, &policies);
        let traced = TracedWorld::new(&world);
        let cluster = Cluster { plans: world.plans.clone() };
        for seed in probes {
            let Some(probe) = probe(&world, seed) else { continue };
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
