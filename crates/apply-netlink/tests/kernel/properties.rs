//! What holds for every plan and every plan before it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use plan::{LocalAddress, Peer, PeerPath, PodNetwork, Via, Vxlan};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use types::{Mac, NodeName, Prefix};

use crate::world::{converge, inside, ip, namespace, range, two_nodes};

/// A peer: its number, and whether it is reached through the tunnel.
type Choice = (u8, bool);

fn any_plan() -> impl Strategy<Value = PodNetwork> {
    let peers = prop::collection::btree_set((2_u8..9, any::<bool>()), 0..6);
    let local = prop::collection::btree_set(200_u8..206, 0..4);
    let tunnel =
        prop::option::weighted(0.8, (4096_u32..4098, prop_oneof![Just(1450_u32), Just(1400)], 0_u8..2));
    (peers, local, tunnel).prop_map(|(peers, local, tunnel)| PodNetwork {
        pod_cidrs: vec![range("10.244.0.0/24")],
        peers: peers_of(&peers, tunnel.is_some()),
        local_addresses: local
            .into_iter()
            .map(|last| (IpAddr::from([172, 31, 0, last]), LocalAddress::LoadBalancer))
            .collect(),
        vxlan: tunnel.map(|(vni, mtu, mac)| Vxlan {
            link: "sealane-vx".into(),
            vni,
            port: 8472,
            underlay: ip("172.31.0.11"),
            addresses: [ip("10.244.0.0")].into(),
            mac: Mac([2, 0, 0, 0, 0, mac]),
            mtu,
        }),
        ..PodNetwork::default()
    })
}

fn peers_of(choices: &BTreeSet<Choice>, has_tunnel: bool) -> BTreeMap<NodeName, Peer> {
    let peers = choices.iter().map(|(number, is_tunnelled)| {
        let address = Ipv4Addr::new(10, 244, *number, 0).into();
        let underlay = Ipv4Addr::new(172, 31, 0, 100 + *number).into();
        let path = match has_tunnel && *is_tunnelled {
            true => PeerPath { via: Via::Vxlan { address, mac: Mac([2, 0, 0, 0, 1, *number]) }, mtu: 1450 },
            false => PeerPath { via: Via::Direct { nexthop: underlay }, mtu: 1500 },
        };
        let range = Prefix::new(address, 24).expect("24 bits are possible");
        (
            NodeName::from(format!("node-{number}")),
            Peer { underlay, paths: [(range, path)].into(), failing: None },
        )
    });
    peers.collect()
}

/// All that the kernel shows of routes, tunnel neighbours and addresses, without the numbers of links.
fn observed(netns: &netns::Netns) -> String {
    let read = |name: &'static str| {
        netns::run_in(netns, || std::fs::read_to_string(format!("/proc/thread-self/net/{name}")))
            .expect("the namespace is there")
            .expect("/proc is mounted")
    };
    let sorted = |text: String| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines.join("\n")
    };
    let facts = |name: &str| inside(netns, |netlink| netlink.facts(&name.into())).ok();
    let tunnel = facts("sealane-vx").map(|facts| (facts.addresses, facts.mtu, facts.mac));
    // A bridge draws its own link-layer address at random.
    let local = facts("sealane0").map(|facts| facts.addresses);
    let links = format!("{tunnel:?}\n{local:?}\n");
    format!("{links}{}\n{}", sorted(read("route")), sorted(read("arp")))
}

#[test]
fn every_plan_after_every_other_is_written_once_and_ends_the_same() {
    netns::world::test(|| {
        let nodes = two_nodes();
        let round = std::cell::Cell::new(0);
        let mut runner =
            TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
        let outcome = runner.run(&any_plan(), |plan| {
            // `nodes.a` carries whatever the plans before left.
            converge(&nodes.a, &plan);
            prop_assert_eq!(converge(&nodes.a, &plan), 0);
            // The same plan on a node that never had another.
            round.set(round.get() + 1);
            let name = format!("fresh-{}", round.get());
            let fresh = namespace(&name);
            inside(&fresh, |netlink| netlink.make_underlay(&"eth0".into(), ip("172.31.0.11"), 24)).unwrap();
            converge(&fresh, &plan);
            let (now, alone) = (observed(&nodes.a), observed(&fresh));
            netns::remove(&netns::world::netns_path(&name)).unwrap();
            let default_route = |text: &str| {
                text.lines().filter(|line| !line.contains("eth0\t00000000")).collect::<Vec<_>>().join("\n")
            };
            prop_assert_eq!(default_route(&now), default_route(&alone));
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{error}"));
    });
}
