//! Properties of `render`, `diff`, `parse` and `trace` over random small plans, against a direct reading of the plan.
#![allow(clippy::unwrap_used, reason = "a failure is a panic in a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use plan::{
    Backend, Choice, DnsPlan, EndpointOrigin, Frontend, FrontendAddress, FrontendRule, FrontendScope,
    IpBlock, Isolation, Masquerade, NodePlan, Outcome, PeerSet, Peers, PodNetwork, PodPolicy, PolicyPorts,
    PolicyRule, PolicyTable, PortRange, Scheduling, ServiceTable, Share, SourceAddress,
};
use proptest::prelude::*;
use sealane_ruleset as ruleset;
use sealane_ruleset::{ConntrackState, Fate, Origin, Packet, Ruleset, apply, diff, parse, render, trace};
use types::{NamespacedName, Port, Prefix, Protocol};

const NODE: &str = "172.31.0.11";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

/// Addresses that plans and packets draw from: two local Pods, a remote one, this node, another node, outside; twice.
fn pool() -> Vec<IpAddr> {
    [
        "10.244.1.2",
        "10.244.1.3",
        "10.244.2.2",
        NODE,
        "172.31.0.12",
        "198.51.100.7",
        "fd00:1::2",
        "fd00:1::3",
        "fd00:2::2",
        "2001:db8::11",
        "2001:db8::12",
        "2001:db8:f::7",
    ]
    .map(address)
    .into()
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop::sample::select(pool())
}

fn any_protocol() -> impl Strategy<Value = Protocol> {
    prop::sample::select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp])
}

fn any_port() -> impl Strategy<Value = u16> {
    prop::sample::select(vec![80u16, 81, 82, 443, 30080])
}

fn any_prefix() -> impl Strategy<Value = Prefix> {
    prop::sample::select(
        [
            "10.244.0.0/16",
            "10.244.1.0/24",
            "10.244.1.2/32",
            "172.31.0.0/24",
            "0.0.0.0/0",
            "198.51.100.0/25",
            "fd00::/16",
            "::/0",
            "2001:db8::/32",
            "2001:db8::/127",
        ]
        .map(prefix)
        .to_vec(),
    )
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let source =
        prop::sample::select(vec![SourceAddress::Kept, SourceAddress::KeptForPods, SourceAddress::Node]);
    let backend =
        (any_address(), any_port()).prop_map(|(address, number)| Backend { address, port: port(number) });
    prop_oneof![
        6 => (prop::collection::btree_set(backend, 1..5), source)
            .prop_map(|(backends, source)| Outcome::Forward { backends: backends.into(), source }),
        1 => Just(Outcome::Reject),
        1 => Just(Outcome::Drop),
    ]
}

fn any_scheduling() -> impl Strategy<Value = Scheduling> {
    let backend =
        (any_address(), any_port()).prop_map(|(address, number)| Backend { address, port: port(number) });
    let share = (0u32..12, prop::collection::btree_set(backend, 0..4)).prop_map(|(weight, backends)| Share {
        group: String::new(),
        weight,
        backends,
    });
    let by = prop::sample::select(vec![Choice::Random, Choice::SourceHash]);
    prop_oneof![
        2 => Just(Scheduling::default()),
        1 => (by, prop::collection::vec(share, 0..3)).prop_map(|(by, shares)| Scheduling { by, shares }),
    ]
}

fn any_frontend() -> impl Strategy<Value = (Frontend, FrontendRule)> {
    let vips = prop::sample::select(vec![
        (FrontendScope::ClusterIp, Some("10.96.0.20")),
        (FrontendScope::ClusterIp, Some("fd00:96::20")),
        (FrontendScope::LoadBalancer, Some("172.31.0.200")),
        (FrontendScope::ExternalIp, Some("2001:db8:e::1")),
        (FrontendScope::NodePort, None),
    ]);
    let ranges = prop::option::weighted(0.2, prop::collection::btree_set(any_prefix(), 0..3));
    let outcomes = (any_outcome(), any_outcome(), any::<bool>());
    (vips, any_protocol(), any_port(), outcomes, ranges, 0u32..8, any_scheduling()).prop_map(
        |((scope, vip), protocol, number, outcomes, source_ranges, affinity, scheduling)| {
            let (internal, external, same) = outcomes;
            let vip = vip.map(address);
            let address = vip.map_or(FrontendAddress::NodePort, FrontendAddress::Vip);
            let rule = FrontendRule {
                owner: NamespacedName::new("default", "echo"),
                port_name: number.to_string(),
                scope,
                external: if same { internal.clone() } else { external },
                internal,
                affinity_seconds: (affinity < 2).then_some(60 * (affinity + 1)),
                scheduling,
                source_ranges,
                endpoints: EndpointOrigin::Selector,
                candidates: Vec::new(),
            };
            (Frontend { address, protocol, port: port(number) }, rule)
        },
    )
}

fn any_services() -> impl Strategy<Value = ServiceTable> {
    prop::collection::vec(any_frontend(), 0..8).prop_map(|frontends| ServiceTable {
        frontends: frontends.into_iter().collect(),
        node_addresses: [address(NODE), address("2001:db8::11")].into(),
        pod_cidrs: [prefix("10.244.0.0/16"), prefix("fd00::/16")].into(),
        service_cidrs: [prefix("10.96.0.0/16"), prefix("fd00:96::/112")].into(),
        local_vips: [address("10.96.0.10")].into(),
        served_elsewhere: [(address("10.96.0.77"), BTreeSet::from([NamespacedName::new("shop", "foreign")]))]
            .into(),
        health_checks: BTreeMap::new(),
    })
}

fn any_ports() -> impl Strategy<Value = PolicyPorts> {
    let range = (any_protocol(), any_port(), 0u16..3, 0u8..6).prop_map(|(protocol, first, more, kind)| {
        let (first, last) =
            if kind == 0 { (None, None) } else { (Some(port(first)), Some(port(first + more))) };
        PortRange { protocol, first, last }
    });
    prop_oneof![
        1 => Just(PolicyPorts::Any),
        3 => prop::collection::btree_set(range, 0..4).prop_map(PolicyPorts::Only),
    ]
}

fn any_isolation() -> impl Strategy<Value = Option<Isolation>> {
    let peers = prop_oneof![1 => Just(Peers::Any), 3 => (0usize..4).prop_map(Peers::Set)];
    let rule = (peers, any_ports(), 0usize..3).prop_map(|(peers, ports, index)| PolicyRule {
        policy: NamespacedName::new("default", "policy"),
        index,
        peers,
        ports,
    });
    prop::option::weighted(
        0.7,
        prop::collection::vec(rule, 0..4).prop_map(|rules| Isolation {
            policies: [NamespacedName::new("default", "policy")].into(),
            rules,
        }),
    )
}

fn any_policy() -> impl Strategy<Value = PolicyTable> {
    let block = (any_prefix(), prop::collection::btree_set(any_prefix(), 0..2)).prop_map(|(cidr, except)| {
        let except = except.into_iter().filter(|except| cidr.covers(*except) && cidr != *except).collect();
        IpBlock { cidr, except }
    });
    let peers = (prop::collection::btree_set(any_address(), 0..3), prop::collection::btree_set(block, 0..3))
        .prop_map(|(addresses, blocks)| PeerSet { addresses, blocks });
    let local = ["10.244.1.2", "10.244.1.3", "fd00:1::2", "fd00:1::3"].map(address);
    let pod = (any_isolation(), any_isolation()).prop_map(|(ingress, egress)| PodPolicy {
        pod: NamespacedName::new("default", "pod"),
        ingress,
        egress,
    });
    (
        prop::collection::btree_map(prop::sample::select(local.to_vec()), pod, 0..4),
        prop::collection::vec(peers, 4),
    )
        .prop_map(|(pods, peer_sets)| PolicyTable { pods, peer_sets })
}

fn any_plan() -> impl Strategy<Value = NodePlan> {
    (any_services(), any_policy(), any::<bool>()).prop_map(|(services, policy, masquerade)| NodePlan {
        node: "node-a".into(),
        podnet: PodNetwork {
            pod_cidrs: vec![prefix("10.244.1.0/24"), prefix("fd00:1::/64")],
            local_pods: ["10.244.1.2", "10.244.1.3", "fd00:1::2", "fd00:1::3"]
                .map(|pod| (address(pod), NamespacedName::new("default", pod)))
                .into(),
            masquerade: Masquerade {
                sources: if masquerade { [prefix("10.244.1.0/24")].into() } else { BTreeSet::new() },
                except: [prefix("10.244.0.0/16"), prefix("172.31.0.11/32")].into(),
            },
            ..PodNetwork::default()
        }
        .into(),
        services,
        policy: policy.into(),
        dns: DnsPlan::default(),
        gateway: Default::default(),
        lb: Default::default(),
    })
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let targets: Vec<IpAddr> = [
        "10.96.0.20",
        "10.96.0.21",
        "10.96.0.77",
        "10.96.0.10",
        "172.31.0.200",
        "fd00:96::20",
        "2001:db8:e::1",
    ]
    .map(address)
    .into_iter()
    .chain(pool())
    .collect();
    let here: BTreeSet<IpAddr> = [NODE, "2001:db8::11", "10.96.0.10"].map(address).into();
    (any_address(), prop::sample::select(targets), any_protocol(), any_port(), any::<bool>()).prop_filter_map(
        "one family",
        move |(source, destination, protocol, number, own)| {
            let is_here = here.contains(&source);
            (source.is_ipv4() == destination.is_ipv4() && (!is_here || own)).then(|| Packet {
                source: SocketAddr::new(source, 40000),
                destination: SocketAddr::new(destination, number),
                protocol: protocol.number(),
                origin: if is_here { Origin::Here } else { Origin::Link },
                local: here.clone(),
            })
        },
    )
}

// === the direct reading ===

/// What the plan says of a new connection.
#[derive(Debug)]
struct Expected {
    fates: BTreeSet<Fate>,
    /// Possible destinations, and whether the source is masqueraded, for accepted packets.
    destinations: BTreeMap<SocketAddr, bool>,
}

fn read_plan(plan: &NodePlan, packet: &Packet) -> Expected {
    let services = &plan.services;
    let (source, target) = (packet.source.ip(), packet.destination);
    let is_pod = services.pod_cidrs.iter().any(|range| range.contains(source));
    let is_node = packet.origin == Origin::Here;
    let rule = find_frontend(plan, packet);
    let mut expected = Expected { fates: BTreeSet::new(), destinations: BTreeMap::new() };
    let refused = Fate::Refused(if packet.protocol == 6 {
        ruleset::Reject::TcpReset
    } else {
        ruleset::Reject::PortUnreachable
    });
    let Some(rule) = rule else {
        let is_cluster_ip = services.frontends.iter().any(|(frontend, rule)| {
            rule.scope == FrontendScope::ClusterIp && frontend.address == FrontendAddress::Vip(target.ip())
        });
        let in_range = services.service_cidrs.iter().any(|range| range.contains(target.ip()));
        if is_cluster_ip {
            expected.fates.insert(refused);
        } else if in_range
            && !services.local_vips.contains(&target.ip())
            && !services.served_elsewhere.contains_key(&target.ip())
        {
            expected.fates.insert(Fate::Dropped);
        } else {
            go_on(plan, packet, target, false, &mut expected);
        }
        return expected;
    };
    if let Some(ranges) = &rule.source_ranges {
        let node_is_in = services.node_addresses.iter().any(|node| ranges.iter().any(|r| r.contains(*node)));
        let own = node_is_in && source == target.ip();
        if !own && !ranges.iter().any(|range| range.contains(source)) {
            expected.fates.insert(Fate::Dropped);
            return expected;
        }
    }
    match if is_pod || is_node { &rule.internal } else { &rule.external } {
        Outcome::Reject => {
            expected.fates.insert(refused);
        }
        Outcome::Drop => {
            expected.fates.insert(Fate::Dropped);
        }
        Outcome::Forward { backends, source: kept } => {
            let masquerade = match kept {
                SourceAddress::Kept => false,
                SourceAddress::KeptForPods => !is_pod,
                SourceAddress::Node => true,
            };
            for backend in backends.iter().filter(|backend| backend.address.is_ipv4() == source.is_ipv4()) {
                let to = SocketAddr::new(backend.address, backend.port.number());
                go_on(plan, packet, to, masquerade, &mut expected);
            }
        }
    }
    expected
}

fn find_frontend<'a>(plan: &'a NodePlan, packet: &Packet) -> Option<&'a FrontendRule> {
    let services = &plan.services;
    let number = port(packet.destination.port());
    let protocol =
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|p| p.number() == packet.protocol)?;
    let at = |address| services.frontends.get(&Frontend { address, protocol, port: number });
    let vip = at(FrontendAddress::Vip(packet.destination.ip()));
    let node_port = || {
        services
            .node_addresses
            .contains(&packet.destination.ip())
            .then(|| at(FrontendAddress::NodePort))
            .flatten()
    };
    let rule = vip.or_else(node_port)?;
    // A frontend without a backend of the packet's family is not one of this family, unless it refuses.
    let has_family = |outcome: &Outcome| match outcome {
        Outcome::Forward { backends, .. } => {
            backends.iter().any(|backend| backend.address.is_ipv4() == packet.source.is_ipv4())
        }
        _ => true,
    };
    (has_family(&rule.internal) && has_family(&rule.external)).then_some(rule)
}

/// Policy, masquerading and delivery of a packet to `to`.
fn go_on(plan: &NodePlan, packet: &Packet, to: SocketAddr, masquerade: bool, expected: &mut Expected) {
    let delivered = packet.local.contains(&to.ip());
    let source = packet.source.ip();
    if packet.origin == Origin::Link {
        let itself = source == to.ip() && !delivered && is_local_pod(plan, source);
        let egress = plan.policy.pods.get(&source).and_then(|pod| pod.egress.as_ref());
        let ingress =
            plan.policy.pods.get(&to.ip()).and_then(|pod| pod.ingress.as_ref()).filter(|_| !delivered);
        let denied = egress.is_some_and(|rules| !allows(plan, rules, to.ip(), packet.protocol, to.port()))
            || ingress.is_some_and(|rules| !allows(plan, rules, source, packet.protocol, to.port()));
        if denied && !itself {
            expected.fates.insert(Fate::Dropped);
            return;
        }
    }
    let leaves = plan.podnet.masquerade.sources.iter().any(|range| range.contains(source))
        && !plan.podnet.masquerade.except.iter().any(|range| range.contains(to.ip()));
    let hairpin = source == to.ip() && is_local_pod(plan, source);
    let postrouted = packet.origin == Origin::Here || !delivered;
    expected.fates.insert(Fate::Accepted);
    expected.destinations.insert(to, postrouted && (masquerade || leaves || hairpin));
}

fn is_local_pod(plan: &NodePlan, address: IpAddr) -> bool {
    plan.podnet.local_pods.contains_key(&address)
}

fn allows(plan: &NodePlan, isolation: &Isolation, peer: IpAddr, protocol: u8, number: u16) -> bool {
    isolation.rules.iter().any(|rule| {
        let peers = match rule.peers {
            Peers::Any => true,
            Peers::Set(index) => plan.policy.peer_sets[index].contains(peer),
        };
        let ports = match &rule.ports {
            PolicyPorts::Any => true,
            PolicyPorts::Only(ranges) => ranges.iter().any(|range| {
                range.protocol.number() == protocol && range.contains(range.protocol, port(number))
            }),
        };
        peers && ports
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packets_fare_as_the_plan_says(plan in any_plan(), packets in prop::collection::vec((any_packet(), any::<u32>()), 24)) {
        let rules = render(&plan);
        for (packet, draw) in packets {
            let expected = read_plan(&plan, &packet);
            let found = trace(&rules, &packet, ConntrackState::New, draw);
            let told = format!("{packet:?}\n{expected:#?}\n{found:#?}");
            prop_assert!(expected.fates.contains(&found.fate), "fate: {}", told);
            if found.fate == Fate::Accepted {
                let masqueraded = expected.destinations.get(&found.destination);
                prop_assert_eq!(masqueraded, Some(&found.masqueraded), "{}", told);
            }
        }
    }

    #[test]
    fn every_backend_is_drawn(plan in any_plan(), packet in any_packet()) {
        let rules = render(&plan);
        let expected = read_plan(&plan, &packet);
        let drawn: BTreeSet<SocketAddr> = (0..64)
            .map(|draw| trace(&rules, &packet, ConntrackState::New, draw))
            .filter(|trace| trace.fate == Fate::Accepted)
            .map(|trace| trace.destination)
            .collect();
        prop_assert_eq!(drawn, expected.destinations.keys().copied().collect());
    }

    #[test]
    fn what_is_printed_reads_back(plan in any_plan()) {
        let rules = render(&plan);
        prop_assert_eq!(parse(&rules.to_string()), Ok(rules));
    }

    #[test]
    fn damaged_text_is_refused_or_reads_back(
        plan in any_plan(),
        at in any::<prop::sample::Index>(),
        with in "(\\{|\\}|:|,|\n|\"|elements|chain |\\PC){0,4}",
    ) {
        let mut text: Vec<char> = render(&plan).to_string().chars().collect();
        let at = at.index(text.len());
        text.splice(at..(at + 3).min(text.len()), with.chars());
        if let Ok(rules) = parse(&text.into_iter().collect::<String>()) {
            prop_assert_eq!(parse(&rules.to_string()), Ok(rules));
        }
        let _ = parse(&with);
    }

    #[test]
    fn applying_the_difference_gives_the_desired(before in any_plan(), after in any_plan()) {
        let (before, after) = (render(&before), render(&after));
        let empty = Ruleset::default();
        prop_assert!(diff(&after, &after).is_empty());
        for (actual, desired) in [(&before, &after), (&empty, &after), (&after, &empty)] {
            prop_assert_eq!(&apply(&diff(actual, desired), actual), desired);
        }
    }

    #[test]
    fn following_a_plan_gives_its_rules(
        plans in prop::collection::vec((any_plan(), any::<bool>(), any::<bool>(), any::<bool>()), 2..5),
    ) {
        let mut last = plans[0].0.clone();
        let mut rendered = ruleset::Rendered::new(&last);
        let mut rules = render(&last);
        for (mut plan, keeps_services, keeps_network, keeps_policy) in plans {
            if keeps_services {
                // One frontend moves and the others are shared, as after a small change of the cluster.
                let first = plan.services.frontends.iter().next().map(|(frontend, rule)| (*frontend, rule.clone()));
                let mut frontends = last.services.frontends.clone();
                frontends.extend(first);
                plan.services = ServiceTable { frontends, ..last.services.clone() };
            }
            if keeps_network {
                plan.podnet = last.podnet.clone();
            }
            if keeps_policy {
                plan.policy = last.policy.clone();
            }
            let following = rendered.follow(&plan);
            let desired = render(&plan);
            let rightful = ruleset::Rightful::of(&plan);
            prop_assert_eq!(&following.transaction, &diff(&rules, &desired));
            prop_assert_eq!(following.is_rightful_new, rightful != ruleset::Rightful::of(&last));
            prop_assert_eq!(rendered.rightful(), &rightful);
            ruleset::apply_in_place(&following.transaction, &mut rules);
            prop_assert_eq!(&rules, &desired);
            for (name, set) in rendered.pools().sets.iter().filter(|(name, _)| name.starts_with("pool")) {
                prop_assert_eq!(&set.elements, &desired.sets[name].elements);
            }
            prop_assert!(rendered.follow(&plan).transaction.is_empty());
            last = plan;
        }
    }

    #[test]
    fn rules_do_not_depend_on_the_cluster(plan in any_plan()) {
        let (rules, fixed) = (render(&plan), ruleset::fixed_rules());
        for (name, chain) in rules.chains {
            prop_assert_eq!(chain.rules, ruleset::known_rules(&name), "{}", name);
        }
        prop_assert!(rules.sets.keys().eq(fixed.sets.keys()));
    }
}

/// With more backends than have a chain of their own, draws are repeated; the spread stays even.
#[test]
fn many_backends_are_drawn_evenly() {
    for backends in [33u16, 46, 100, 200] {
        let frontend = Frontend {
            address: FrontendAddress::Vip(address("10.96.0.20")),
            protocol: Protocol::Tcp,
            port: port(80),
        };
        let all = Outcome::Forward {
            backends: (1..=backends)
                .map(|last| Backend { address: address("10.244.2.2"), port: port(last) })
                .collect(),
            source: SourceAddress::KeptForPods,
        };
        let rule = FrontendRule {
            owner: NamespacedName::new("default", "echo"),
            port_name: String::new(),
            scope: FrontendScope::ClusterIp,
            internal: all.clone(),
            external: all,
            affinity_seconds: None,
            scheduling: plan::Scheduling::default(),
            source_ranges: None,
            endpoints: EndpointOrigin::Selector,
            candidates: Vec::new(),
        };
        let plan = NodePlan {
            node: "node-a".into(),
            podnet: Default::default(),
            services: ServiceTable { frontends: [(frontend, rule)].into(), ..ServiceTable::default() },
            policy: Default::default(),
            dns: DnsPlan::default(),
            gateway: Default::default(),
            lb: Default::default(),
        };
        let rules = render(&plan);
        let packet = Packet {
            source: "10.244.1.2:40000".parse().unwrap(),
            destination: "10.96.0.20:80".parse().unwrap(),
            protocol: 6,
            origin: Origin::Link,
            local: BTreeSet::new(),
        };
        let mut counts: BTreeMap<u16, u32> = BTreeMap::new();
        let draws = 300 * u32::from(backends);
        for step in 0..draws {
            // Fibonacci hashing spreads the draws evenly over all 32 bits.
            let draw = step.wrapping_mul(0x9e37_79b9);
            let trace = trace(&rules, &packet, ConntrackState::New, draw);
            assert_eq!(trace.fate, Fate::Accepted);
            *counts.entry(trace.destination.port()).or_default() += 1;
        }
        assert_eq!(counts.len(), usize::from(backends));
        let (least, most) = (counts.values().min().unwrap(), counts.values().max().unwrap());
        assert!(most * 4 <= least * 5, "{backends}: {least} to {most}");
    }
}
