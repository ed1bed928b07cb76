//! Services: who answers, and which source address it sees.

use std::collections::{BTreeMap, BTreeSet};

use netns::world;
use plan::{Choice, FrontendScope, NodePlan, Outcome, Share, SourceAddress};
use sealane_apply_nft::Look;
use types::{IpFamily, Prefix};

use crate::fixture::{Answer, Client, From, Lab, expose, load, on_frontends};

/// Servers that many connections reach.
fn servers(ask: impl Fn() -> Answer) -> BTreeSet<String> {
    (0..24).map(|_| ask().server()).collect()
}

fn names(pods: &[usize]) -> BTreeSet<String> {
    pods.iter().map(|pod| format!("pod-{pod}")).collect()
}

/// Runs a check in a world of one family.
fn check(family: IpFamily, body: impl Fn(&Lab)) {
    body(&Lab::new(family));
}

pub(crate) fn cluster_ip(lab: &Lab) {
    let at = &lab.at;
    let mut plan = lab.plan();
    let all = lab.forward(&[1, 2, 3], SourceAddress::KeptForPods);
    expose(&mut plan, (FrontendScope::ClusterIp, Some(at.cluster_ip), 80), all.clone(), all);
    load(&mut lab.nft(), &plan);
    // SD5: a wrong port is refused, an address of no Service is silent. This comes first: over IPv6
    // no setting stops the redirects that a Pod which is sent to itself causes, and the kernel counts them against the
    // same limit as ICMP errors.
    assert_eq!(lab.tcp(From::Pod(1), at.cluster_ip, 81), Answer::Refused);
    assert_eq!(lab.udp(From::Pod(1), at.cluster_ip, 81), Answer::Refused);
    assert_eq!(lab.tcp(From::Node, at.cluster_ip, 81), Answer::Refused);
    assert_eq!(lab.udp(From::Pod(2), at.unused_ip, 80), Answer::Silence);
    assert_eq!(lab.tcp(From::Outside, at.unused_ip, 80), Answer::Silence);
    for from in [From::Pod(1), From::Node, From::Outside] {
        assert_eq!(servers(|| lab.tcp(from, at.cluster_ip, 80)), names(&[1, 2, 3]), "TCP from {from:?}");
        assert_eq!(servers(|| lab.udp(from, at.cluster_ip, 80)), names(&[1, 2, 3]), "UDP from {from:?}");
    }
    for _ in 0..12 {
        // A Pod keeps its address, except when it is sent to itself.
        match lab.tcp(From::Pod(1), at.cluster_ip, 80) {
            Answer::Reached { server, seen } if server == "pod-1" => assert_ne!(seen, at.pods[0]),
            answer => assert_eq!(answer.seen(), at.pods[0]),
        }
        assert_ne!(lab.tcp(From::Outside, at.cluster_ip, 80).seen(), at.outside);
    }
}

#[test]
fn cluster_ip_spreads_and_keeps_the_source_of_pods() {
    world::test(|| check(IpFamily::V4, cluster_ip));
}

#[test]
fn cluster_ip_spreads_and_keeps_the_source_of_pods_over_ipv6() {
    world::test(|| check(IpFamily::V6, cluster_ip));
}

pub(crate) fn node_port(lab: &Lab) {
    let at = &lab.at;
    let mut plan = lab.plan();
    // externalTrafficPolicy: Local, of which only pod-2 is local in the sense of the plan.
    let all = lab.forward(&[1, 2, 3], SourceAddress::KeptForPods);
    let local = lab.forward(&[2], SourceAddress::Kept);
    expose(&mut plan, (FrontendScope::NodePort, None, 30080), all.clone(), local.clone());
    expose(&mut plan, (FrontendScope::LoadBalancer, Some(at.load_balancer), 80), all.clone(), local);
    let node = lab.forward(&[1, 2, 3], SourceAddress::Node);
    expose(&mut plan, (FrontendScope::NodePort, None, 30081), node.clone(), node);
    expose(&mut plan, (FrontendScope::NodePort, None, 30082), Outcome::Reject, Outcome::Reject);
    expose(&mut plan, (FrontendScope::NodePort, None, 30083), all, Outcome::Drop);
    load(&mut lab.nft(), &plan);
    for from in [From::Outside, From::Pod(1), From::Node] {
        assert_eq!(lab.tcp(from, at.node, 30082), Answer::Refused, "{from:?}");
        assert_eq!(lab.udp(from, at.node, 30082), Answer::Refused, "{from:?}");
    }
    for (address, number) in [(at.node, 30080), (at.load_balancer, 80)] {
        assert_eq!(servers(|| lab.tcp(From::Outside, address, number)), names(&[2]));
        assert_eq!(lab.tcp(From::Outside, address, number).seen(), at.outside);
        assert_eq!(lab.udp(From::Outside, address, number).seen(), at.outside);
        assert_eq!(servers(|| lab.tcp(From::Pod(1), address, number)), names(&[1, 2, 3]));
        assert_eq!(servers(|| lab.tcp(From::Node, address, number)), names(&[1, 2, 3]));
    }
    assert_eq!(servers(|| lab.udp(From::Outside, at.node, 30081)), names(&[1, 2, 3]));
    assert_ne!(lab.tcp(From::Outside, at.node, 30081).seen(), at.outside);
    assert_ne!(lab.tcp(From::Pod(3), at.node, 30081).seen(), at.pods[2]);
    assert_eq!(lab.tcp(From::Outside, at.node, 30083), Answer::Silence);
    assert_eq!(servers(|| lab.tcp(From::Pod(1), at.node, 30083)), names(&[1, 2, 3]));
    let loopback = if at.node.is_ipv4() { "127.0.0.1" } else { "::1" }.parse().unwrap();
    assert_eq!(lab.tcp(From::Node, loopback, 30080), Answer::Refused);
}

#[test]
fn node_ports_and_load_balancers_tell_clients_apart() {
    world::test(|| check(IpFamily::V4, node_port));
}

#[test]
fn node_ports_and_load_balancers_tell_clients_apart_over_ipv6() {
    world::test(|| check(IpFamily::V6, node_port));
}

#[test]
fn source_ranges_keep_others_out() {
    world::test(|| {
        let lab = Lab::new(IpFamily::V4);
        let at = &lab.at;
        let mut plan = lab.plan();
        let all = lab.forward(&[1, 2], SourceAddress::Node);
        expose(&mut plan, (FrontendScope::LoadBalancer, Some(at.load_balancer), 80), all.clone(), all);
        let mut table = lab.nft();
        for (ranges, from, reached) in [
            (vec![Prefix::host(at.outside)], From::Outside, true),
            (vec![Prefix::host(at.outside)], From::Pod(3), false),
            (vec![Prefix::host(at.pods[2]), Prefix::host(at.node)], From::Outside, false),
            (vec![Prefix::host(at.pods[2]), Prefix::host(at.node)], From::Pod(3), true),
            (vec![Prefix::host(at.pods[2]), Prefix::host(at.node)], From::Node, true),
        ] {
            on_frontends(&mut plan, |rule| rule.source_ranges = Some(ranges.iter().copied().collect()));
            load(&mut table, &plan);
            let answer = lab.tcp(from, at.load_balancer, 80);
            assert_eq!(answer != Answer::Silence, reached, "{from:?} {ranges:?}: {answer:?}");
        }
    });
}

pub(crate) fn affinity(lab: &Lab) {
    let at = &lab.at;
    let mut table = lab.nft();
    let plan_with = |pods: &[usize]| {
        let mut plan = lab.plan();
        let all = lab.forward(pods, SourceAddress::KeptForPods);
        expose(&mut plan, (FrontendScope::ClusterIp, Some(at.cluster_ip), 80), all.clone(), all.clone());
        expose(&mut plan, (FrontendScope::NodePort, None, 30080), all.clone(), all);
        on_frontends(&mut plan, |rule| rule.affinity_seconds = Some(600));
        plan
    };
    load(&mut table, &plan_with(&[1, 2, 3]));
    for from in [From::Outside, From::Node, From::Pod(2)] {
        let tcp = servers(|| lab.tcp(from, at.cluster_ip, 80));
        assert_eq!(tcp.len(), 1, "{from:?}: {tcp:?}");
        // The same client over another address of the same ServicePort. The node's own source address differs there.
        if from != From::Node {
            assert_eq!(servers(|| lab.tcp(from, at.node, 30080)), tcp);
        }
    }
    // The backend the outside had goes away: it is forgotten, and another is remembered.
    let had = lab.tcp(From::Outside, at.cluster_ip, 80).server();
    let left: Vec<usize> = (1..=3).filter(|pod| format!("pod-{pod}") != had).collect();
    load(&mut table, &plan_with(&left));
    let now = servers(|| lab.tcp(From::Outside, at.cluster_ip, 80));
    assert_eq!(now.len(), 1);
    assert!(!now.contains(&had), "{now:?} was removed");
    // It comes back: the client stays where it is.
    load(&mut table, &plan_with(&[1, 2, 3]));
    assert_eq!(servers(|| lab.tcp(From::Outside, at.cluster_ip, 80)), now);
}

#[test]
fn clients_keep_their_backend_until_it_goes() {
    world::test(|| check(IpFamily::V4, affinity));
}

#[test]
fn clients_keep_their_backend_until_it_goes_over_ipv6() {
    world::test(|| check(IpFamily::V6, affinity));
}

#[test]
fn affinity_ends_after_its_time() {
    world::test(|| {
        let lab = Lab::new(IpFamily::V4);
        let at = &lab.at;
        let mut plan = lab.plan();
        let all = lab.forward(&[1, 2, 3], SourceAddress::KeptForPods);
        expose(&mut plan, (FrontendScope::ClusterIp, Some(at.cluster_ip), 80), all.clone(), all);
        on_frontends(&mut plan, |rule| rule.affinity_seconds = Some(1));
        load(&mut lab.nft(), &plan);
        let first = lab.tcp(From::Pod(1), at.cluster_ip, 80).server();
        // Each attempt after more than the time-out draws anew; that nine in a row draw the same has odds of 1:20 000.
        let changed = (0..9).any(|_| {
            // Time itself is tested: any attempt before the time-out would begin it anew.
            std::thread::sleep(std::time::Duration::from_millis(1300));
            lab.tcp(From::Pod(1), at.cluster_ip, 80).server() != first
        });
        assert!(changed, "always {first}");
    });
}

/// A plan with one Service, of these Pods; refused, where there are none.
fn stats(lab: &Lab, pods: &[usize]) -> NodePlan {
    let mut plan = lab.plan();
    let all = match pods {
        [] => Outcome::Reject,
        pods => lab.forward(pods, SourceAddress::KeptForPods),
    };
    expose(&mut plan, (FrontendScope::ClusterIp, Some(lab.at.cluster_ip), 80), all.clone(), all);
    plan
}

/// The sender never changes its port and never pauses, as senders of metrics do: only its connection's entry decides.
fn udp_follows(lab: &Lab) {
    let mut table = lab.nft();
    load(&mut table, &stats(lab, &[1]));
    let client = Client::open(lab, From::Pod(3), lab.at.cluster_ip, 80);
    assert_eq!(client.ask().server(), "pod-1");
    load(&mut table, &stats(lab, &[1, 2]));
    assert_eq!(client.ask().server(), "pod-1", "a connection stays while its endpoint does");
    load(&mut table, &stats(lab, &[2]));
    assert_eq!(client.ask().server(), "pod-2");
    // The last endpoint goes: nothing is sent to its address any more, although the Service has no other.
    load(&mut table, &stats(lab, &[]));
    assert_eq!(client.ask(), Answer::Refused);
    load(&mut table, &stats(lab, &[1]));
    assert_eq!(client.ask().server(), "pod-1");
    // The Service goes, and its address is one of no Service.
    load(&mut table, &lab.plan());
    assert_eq!(client.ask(), Answer::Silence);
}

#[test]
fn udp_connections_follow_when_their_endpoint_goes() {
    world::test(|| check(IpFamily::V4, udp_follows));
}

#[test]
fn udp_connections_follow_when_their_endpoint_goes_over_ipv6() {
    world::test(|| check(IpFamily::V6, udp_follows));
}

#[test]
fn udp_connections_stay_while_their_endpoint_serves() {
    world::test(|| {
        let lab = Lab::new(IpFamily::V4);
        load(&mut lab.nft(), &stats(&lab, &[1]));
        let client = Client::open(&lab, From::Pod(3), lab.at.cluster_ip, 80);
        assert_eq!(client.ask().server(), "pod-1");
        // Terminating: new connections go to others, this one stays.
        let mut plan = stats(&lab, &[2]);
        on_frontends(&mut plan, |rule| rule.candidates = vec![lab.terminating(1)]);
        load(&mut lab.nft(), &plan);
        assert_eq!(client.ask().server(), "pod-1");
        assert_eq!(lab.udp(From::Pod(3), lab.at.cluster_ip, 80).server(), "pod-2");
        // A restart that finds nothing changed forgets nothing.
        let forgotten = lab.nft().forget_connections(&ruleset::Rightful::of(&plan), Look::Again);
        assert_eq!((forgotten.written, forgotten.failures), (0, Vec::new()));
        assert_eq!(client.ask().server(), "pod-1");
    });
}

#[test]
fn an_agent_finds_udp_connections_that_its_predecessor_left() {
    world::test(|| {
        let lab = Lab::new(IpFamily::V4);
        load(&mut lab.nft(), &stats(&lab, &[1]));
        let client = Client::open(&lab, From::Pod(3), lab.at.cluster_ip, 80);
        assert_eq!(client.ask().server(), "pod-1");
        // It wrote the rules, and ended before it had looked through the connections.
        let plan = stats(&lab, &[2]);
        assert_eq!(lab.nft().converge(&ruleset::render(&plan)).failures, []);
        assert_eq!(client.ask().server(), "pod-1");
        load(&mut lab.nft(), &plan);
        assert_eq!(client.ask().server(), "pod-2");
    });
}

#[test]
fn pods_leave_the_cluster_with_the_nodes_address() {
    world::test(|| {
        let lab = Lab::new(IpFamily::V4);
        let at = &lab.at;
        load(&mut lab.nft(), &lab.plan());
        assert_eq!(lab.tcp(From::Pod(1), at.outside, 8080).seen(), at.node);
        assert_eq!(lab.tcp(From::Pod(1), at.pods[1], 8080).seen(), at.pods[0]);
        assert_eq!(lab.tcp(From::Pod(1), at.node, 8080).seen(), at.pods[0]);
        assert_eq!(lab.tcp(From::Outside, at.pods[1], 8080).seen(), at.outside);
    });
}

/// A client finds the backend that its address leads to, from whatever port, and the one that is told beforehand.
fn source_hash(lab: &Lab) {
    let at = &lab.at;
    let mut plan = lab.plan();
    let all = lab.forward(&[1, 2, 3], SourceAddress::KeptForPods);
    expose(&mut plan, (FrontendScope::ClusterIp, Some(at.cluster_ip), 80), all.clone(), all);
    on_frontends(&mut plan, |rule| rule.scheduling.by = Choice::SourceHash);
    load(&mut lab.nft(), &plan);
    let rules = ruleset::render(&plan);
    let clients = [
        (From::Pod(1), at.pods[0]),
        (From::Pod(2), at.pods[1]),
        (From::Node, at.node),
        (From::Outside, at.outside),
    ];
    for (from, address) in clients {
        let origin = if from == From::Node { ruleset::Origin::Here } else { ruleset::Origin::Link };
        let packet = ruleset::Packet {
            source: (address, 40_000).into(),
            destination: (at.cluster_ip, 80).into(),
            protocol: 6,
            origin,
            local: [at.node].into(),
        };
        let told = ruleset::trace(&rules, &packet, ruleset::ConntrackState::New, 0).destination.ip();
        let pod = at.pods.iter().position(|pod| *pod == told).unwrap() + 1;
        assert_eq!(servers(|| lab.tcp(from, at.cluster_ip, 80)), names(&[pod]), "TCP from {from:?}");
        assert_eq!(servers(|| lab.udp(from, at.cluster_ip, 80)), names(&[pod]), "UDP from {from:?}");
    }
}

#[test]
fn a_client_finds_its_backend_by_its_address() {
    world::test(|| check(IpFamily::V4, source_hash));
}

#[test]
fn a_client_finds_its_backend_by_its_address_over_ipv6() {
    world::test(|| check(IpFamily::V6, source_hash));
}

/// Groups of backends get their shares of the connections.
fn weights(lab: &Lab) {
    let at = &lab.at;
    let mut plan = lab.plan();
    let all = lab.forward(&[1, 2, 3], SourceAddress::KeptForPods);
    let Outcome::Forward { backends, .. } = &all else { unreachable!("it forwards") };
    let share = |weight, pods: &[usize]| Share {
        group: String::new(),
        weight,
        backends: backends
            .iter()
            .filter(|backend| pods.iter().any(|pod| at.pods[pod - 1] == backend.address))
            .cloned()
            .collect(),
    };
    let shares = vec![share(3, &[1]), share(1, &[2]), share(0, &[3])];
    expose(&mut plan, (FrontendScope::ClusterIp, Some(at.cluster_ip), 80), all.clone(), all);
    on_frontends(&mut plan, |rule| rule.scheduling.shares.clone_from(&shares));
    load(&mut lab.nft(), &plan);
    let mut counts = BTreeMap::new();
    for _ in 0..400 {
        *counts.entry(lab.udp(From::Outside, at.cluster_ip, 80).server()).or_insert(0) += 1;
    }
    assert_eq!(counts.keys().cloned().collect::<BTreeSet<String>>(), names(&[1, 2]), "{counts:?}");
    // 300 are expected; seven standard deviations of 8.7 are out of reach of chance.
    assert!((240..=360).contains(&counts["pod-1"]), "{counts:?}");
}

#[test]
fn groups_of_backends_get_their_shares() {
    world::test(|| check(IpFamily::V4, weights));
}
