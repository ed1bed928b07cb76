//! The table itself: what is written reads back, `nft` can list it, drift is repaired, others' tables are left alone.

use std::process::Command;

use netns::world;
use plan::{
    FrontendScope, IpBlock, Isolation, PeerSet, Peers, PolicyPorts, PolicyRule, PortRange, SourceAddress,
};
use types::{IpFamily, NamespacedName, Protocol};

use crate::fixture::{Lab, expose, isolate, load, on_frontends, port};

/// A plan that puts something into every set of its family.
pub(crate) fn full_plan(lab: &Lab) -> plan::NodePlan {
    let mut plan = lab.plan();
    let forward = |pods: &[usize]| lab.forward(pods, SourceAddress::KeptForPods);
    let at = &lab.at;
    expose(
        &mut plan,
        (FrontendScope::ClusterIp, Some(at.cluster_ip), 80),
        forward(&[1, 2, 3]),
        forward(&[1]),
    );
    expose(&mut plan, (FrontendScope::NodePort, None, 30080), plan::Outcome::Reject, plan::Outcome::Drop);
    expose(
        &mut plan,
        (FrontendScope::LoadBalancer, Some(at.load_balancer), 80),
        forward(&[2]),
        forward(&[2]),
    );
    on_frontends(&mut plan, |rule| {
        rule.affinity_seconds = Some(10_800);
        if rule.scope == FrontendScope::LoadBalancer {
            rule.source_ranges = Some([types::Prefix::host(at.outside), types::Prefix::host(at.node)].into());
        }
    });
    let everything = types::Prefix::new(at.outside, 0).unwrap();
    let block = IpBlock { cidr: everything, except: [types::Prefix::host(at.outside)].into() };
    plan.policy.peer_sets =
        vec![PeerSet { addresses: [at.pods[0]].into(), blocks: [block].into() }, PeerSet::default()];
    let range =
        |first, last| PortRange { protocol: Protocol::Tcp, first: Some(port(first)), last: Some(port(last)) };
    let rule = |index, peers, ports| PolicyRule {
        policy: NamespacedName::new("default", "db"),
        index,
        peers,
        ports,
    };
    let only = || PolicyPorts::Only([range(80, 80), range(8000, 9000)].into());
    let isolation = Isolation {
        policies: [NamespacedName::new("default", "db")].into(),
        rules: vec![
            rule(0, Peers::Any, only()),
            rule(1, Peers::Set(0), only()),
            rule(2, Peers::Set(0), PolicyPorts::Any),
        ],
    };
    isolate(&mut plan, (1, at.pods[0]), Some(isolation.clone()), Some(isolation));
    plan
}

/// Runs the `nft` program in the node; `None` when there is none.
pub(crate) fn nft(lab: &Lab, arguments: &[&str]) -> Option<String> {
    let output = lab.in_node(|| Command::new("nft").args(arguments).output()).ok()?;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "nft {arguments:?}: {} {error}", output.status);
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn what_is_written_reads_back_and_nft_lists_it() {
    world::test(|| list(&Lab::new(IpFamily::V4)));
}

#[test]
fn what_is_written_for_ipv6_reads_back_and_nft_lists_it() {
    world::test(|| list(&Lab::new(IpFamily::V6)));
}

pub(crate) fn list(lab: &Lab) {
    let mut table = lab.nft();
    load(&mut table, &full_plan(lab));
    let Some(text) = nft(lab, &["list", "ruleset"]) else {
        println!("sealane-skip: nft lists what is written: no program `nft`");
        return;
    };
    for expected in ["goto lb-3", "default/echo:http", "default/db ingress[2]", "@backends", "timeout 3h"] {
        assert!(text.contains(expected), "{expected} is missing:\n{text}");
    }
    let json = nft(lab, &["-j", "list", "ruleset"]).unwrap();
    assert!(json.contains("\"sealane\""));
}

#[test]
fn every_way_of_drifting_is_repaired() {
    world::test(|| {
        let lab = Lab::new(IpFamily::V4);
        let mut table = lab.nft();
        let plan = full_plan(&lab);
        load(&mut table, &plan);
        let drifts: &[&[&str]] = &[
            &["flush", "ruleset"],
            &["flush", "chain", "inet", "sealane", "prerouting"],
            &["add", "rule", "inet", "sealane", "forward", "drop"],
            &["insert", "rule", "inet", "sealane", "forward", "counter", "accept"],
            &["flush", "map", "inet", "sealane", "backends4"],
            &["add", "element", "inet", "sealane", "pods4", "{ 192.0.2.0/24 }"],
            &["add", "element", "inet", "sealane", "frontend4", "{ 192.0.2.1 . tcp . 80 : 5ea2:1 }"],
            &["delete", "element", "inet", "sealane", "clusterips4", "{ 10.96.0.20 }"],
            &["add", "chain", "inet", "sealane", "theirs"],
            &["add", "set", "inet", "sealane", "theirs", "{ type ether_addr; }"],
        ];
        for drift in drifts {
            if nft(&lab, drift).is_none() {
                println!("sealane-skip: drift is repaired: no program `nft`");
                return;
            }
            let report = load(&mut table, &plan);
            assert!(report.written > 0, "{drift:?} went unnoticed");
        }
    });
}

#[test]
fn a_fresh_process_knows_what_is_there_and_others_tables_are_left_alone() {
    world::test(|| {
        let lab = Lab::new(IpFamily::V4);
        let plan = full_plan(&lab);
        let foreign = nft(&lab, &["add", "table", "inet", "theirs"]);
        load(&mut lab.nft(), &plan);
        let report = lab.nft().converge(&ruleset::render(&plan));
        assert_eq!((report.written, report.failures), (0, Vec::new()));
        let report = lab.nft().converge(&ruleset::Ruleset::default());
        assert_eq!(report.failures, []);
        assert_eq!(lab.nft().read_back(ruleset::TableFamily::Inet).unwrap(), ruleset::Ruleset::default());
        if foreign.is_some() {
            assert_eq!(nft(&lab, &["list", "tables"]).unwrap().trim(), "table inet theirs");
        }
    });
}

#[test]
fn a_plan_larger_than_the_socket_is_loaded_in_parts() {
    world::test(|| {
        let lab = Lab::new(IpFamily::V4);
        let mut plan = lab.plan();
        for number in 1..=3000 {
            let all = lab.forward(&[1, 2, 3], SourceAddress::KeptForPods);
            expose(&mut plan, (FrontendScope::ClusterIp, Some(lab.at.cluster_ip), number), all.clone(), all);
        }
        let mut table = lab.nft();
        load(&mut table, &plan);
        on_frontends(&mut plan, |rule| rule.external = lab.forward(&[3], SourceAddress::Node));
        load(&mut table, &plan);
        plan.services.frontends.retain(|frontend, _| frontend.port.number() % 2 == 0);
        load(&mut table, &plan);
    });
}
