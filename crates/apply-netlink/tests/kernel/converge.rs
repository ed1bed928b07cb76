//! The kernel's state becomes the plan, and nothing else is touched.

use plan::{LocalAddress, Peer, PeerPath, PodNetwork, Via};
use sealane_apply_netlink::{LOCAL_LINK, Netlink};
use types::{Mac, NodeName};

use crate::world::{
    Way, converge, greet, inside, ip, namespace, plan, pod, range, set, try_converge, two_nodes,
};

fn full_plan() -> PodNetwork {
    let mut plan = plan('a', Way::Vxlan);
    plan.local_addresses.insert(ip("10.96.0.10"), LocalAddress::Dns);
    plan.local_addresses.insert(ip("172.31.0.200"), LocalAddress::LoadBalancer);
    plan
}

#[test]
fn a_second_time_writes_nothing_even_from_a_new_process() {
    netns::world::test(|| {
        let nodes = two_nodes();
        for plan in [full_plan(), plan('a', Way::Direct), full_plan()] {
            inside(&nodes.a, |netlink| {
                assert!(netlink.converge(&plan).written > 0);
                assert_eq!(netlink.converge(&plan).written, 0);
            });
            // `converge` opens another socket, and nothing else is remembered.
            assert_eq!(converge(&nodes.a, &plan), 0);
        }
    });
}

#[test]
fn pods_come_and_go_without_a_write() {
    netns::world::test(|| {
        let nodes = two_nodes();
        converge(&nodes.a, &full_plan());
        let a = pod(&nodes.a, "a", &["10.244.0.5"]);
        assert_eq!(converge(&nodes.a, &full_plan()), 0);
        assert_eq!(greet(&nodes.a, &a, "10.244.0.5").unwrap(), ip("172.31.0.11"));
    });
}

#[test]
fn what_is_foreign_survives() {
    netns::world::test(|| {
        let nodes = two_nodes();
        converge(&nodes.a, &full_plan());
        let foreign = |netlink: &mut Netlink| {
            netlink.make_underlay(&"foreign".into(), ip("192.0.2.1"), 24)?;
            netlink.route_through(range("198.51.100.0/24"), ip("192.0.2.2"))?;
            // Inside the range of a node that is yet to come.
            netlink.route_through(range("10.244.7.0/24"), ip("192.0.2.2"))
        };
        inside(&nodes.a, foreign).unwrap();
        assert_eq!(converge(&nodes.a, &full_plan()), 0);

        let mut more = full_plan();
        let via = Via::Vxlan { address: ip("10.244.7.0"), mac: Mac::derived("node-h") };
        let path = PeerPath { via, mtu: 1450 };
        let paths = [range("10.244.7.0/24"), range("10.244.8.0/24")].map(|range| (range, path)).into();
        let peer = Peer { underlay: ip("172.31.0.17"), paths, failing: None };
        more.peers.insert(NodeName::from("node-h"), peer);
        let report = try_converge(&nodes.a, &more);
        assert_eq!(report.failures.len(), 1, "{:?}", report.failures);
        assert_eq!(report.failures[0].what, "route 10.244.7.0/24");
        assert!(report.failures[0].why.contains("File exists"), "{}", report.failures[0].why);
        // Forwarding entry, neighbour and the other route were written all the same.
        assert_eq!(report.written, 3);

        converge(&nodes.a, &PodNetwork::default());
        let routes =
            netns::run_in(&nodes.a, || std::fs::read_to_string("/proc/thread-self/net/route").unwrap())
                .unwrap();
        // 198.51.100.0 and 10.244.7.0 in the byte order that the file has on a little-endian machine.
        let has = |bytes: [u8; 4]| {
            let shown = format!("{:08X}", u32::from_ne_bytes(bytes));
            routes.lines().any(|line| line.starts_with("foreign") && line.contains(&shown))
        };
        assert!(has([198, 51, 100, 0]) && has([10, 244, 7, 0]), "{routes}");
        assert!(!routes.contains("sealane"), "{routes}");
    });
}

#[test]
fn a_foreign_link_of_our_name_is_reported_and_left() {
    netns::world::test(|| {
        let nodes = two_nodes();
        inside(&nodes.a, |netlink| netlink.make_underlay(&"sealane-vx".into(), ip("192.0.2.1"), 24)).unwrap();
        let report = try_converge(&nodes.a, &full_plan());
        let what: Vec<_> = report.failures.iter().map(|failure| failure.what.as_str()).collect();
        assert_eq!(what, ["link sealane-vx"]);
        assert!(report.failures[0].why.contains("rename or delete it"), "{}", report.failures[0].why);
        let facts = inside(&nodes.a, |netlink| netlink.facts(&"sealane-vx".into())).unwrap();
        assert_eq!(facts.addresses, [(ip("192.0.2.1"), 24)]);
        // The rest is done.
        let local = inside(&nodes.a, |netlink| netlink.facts(&LOCAL_LINK.into())).unwrap();
        assert_eq!(local.addresses.len(), 2);
    });
}

#[test]
fn what_somebody_removed_is_restored() {
    netns::world::test(|| {
        let nodes = two_nodes();
        converge(&nodes.a, &full_plan());
        converge(&nodes.b, &plan('b', Way::Vxlan));
        let a = pod(&nodes.a, "a", &["10.244.0.5"]);
        let b = pod(&nodes.b, "b", &["10.244.1.5"]);
        greet(&a, &b, "10.244.1.5").unwrap();

        // A plan without anything removes all, which is the most thorough vandal.
        converge(&nodes.a, &PodNetwork::default());
        set(&nodes.a, "ipv4/ip_forward", "0");
        assert!(inside(&nodes.a, |netlink| netlink.facts(&LOCAL_LINK.into())).is_err());
        assert!(converge(&nodes.a, &full_plan()) >= 8);
        assert_eq!(greet(&a, &b, "10.244.1.5").unwrap(), ip("10.244.0.5"));
        assert_eq!(converge(&nodes.a, &full_plan()), 0);
    });
}

#[test]
fn changes_of_a_peer_are_followed() {
    netns::world::test(|| {
        let nodes = two_nodes();
        converge(&nodes.a, &full_plan());
        let mut changed = full_plan();
        let peer = changed.peers.get_mut(&NodeName::from("node-b")).unwrap();
        peer.underlay = ip("172.31.0.99");
        let path = peer.paths.values_mut().next().unwrap();
        path.via = Via::Vxlan { address: ip("10.244.1.0"), mac: Mac::derived("another") };
        // One entry added, one removed, one neighbour rewritten.
        assert_eq!(converge(&nodes.a, &changed), 3);
        assert_eq!(converge(&nodes.a, &changed), 0);
        let peer = changed.peers.get_mut(&NodeName::from("node-b")).unwrap();
        peer.underlay = ip("172.31.0.98");
        assert_eq!(converge(&nodes.a, &changed), 1);
        assert_eq!(converge(&nodes.a, &changed), 0);
        // Another tunnel means another link, and all that was on it.
        changed.vxlan.as_mut().unwrap().vni = 4097;
        assert!(converge(&nodes.a, &changed) >= 5);
        assert_eq!(converge(&nodes.a, &changed), 0);
        changed.vxlan.as_mut().unwrap().mtu = 1400;
        assert_eq!(converge(&nodes.a, &changed), 1);
        changed.peers.clear();
        assert_eq!(converge(&nodes.a, &changed), 3);
        assert_eq!(converge(&nodes.a, &changed), 0);
    });
}

#[test]
fn local_addresses_answer_and_are_never_a_source() {
    netns::world::test(|| {
        let nodes = two_nodes();
        converge(&nodes.a, &full_plan());
        let a = pod(&nodes.a, "a", &["10.244.0.5"]);
        assert_eq!(greet(&a, &nodes.a, "10.96.0.10").expect("Pod to DNS"), ip("10.244.0.5"));
        assert_eq!(greet(&nodes.b, &nodes.a, "172.31.0.200").expect("from outside"), ip("172.31.0.12"));
        let alone = namespace("alone");
        let mut plan = full_plan();
        plan.vxlan = None;
        plan.peers.clear();
        converge(&alone, &plan);
        // Made after the link with the local addresses, which the kernel would therefore prefer.
        inside(&alone, |netlink| netlink.make_underlay(&"late".into(), ip("192.0.2.1"), 24)).unwrap();
        let pod_alone = pod(&alone, "b", &["10.244.0.6"]);
        assert_eq!(greet(&alone, &pod_alone, "10.244.0.6").expect("node to Pod"), ip("192.0.2.1"));
    });
}

#[test]
fn one_failure_does_not_stop_the_rest() {
    netns::world::test(|| {
        let nodes = two_nodes();
        let mut plan = plan('a', Way::Direct);
        let path = PeerPath { via: Via::Direct { nexthop: ip("203.0.113.9") }, mtu: 1500 };
        let far = Peer {
            underlay: ip("203.0.113.9"),
            paths: [(range("10.244.3.0/24"), path)].into(),
            failing: None,
        };
        plan.peers.insert(NodeName::from("a-far-node"), far);
        let report = try_converge(&nodes.a, &plan);
        assert_eq!(report.failures.len(), 1);
        assert_eq!(report.failures[0].what, "route 10.244.3.0/24");
        assert!(report.failures[0].why.contains("invalid gateway"), "{}", report.failures[0].why);
        assert!(report.written >= 1);
        assert_eq!(try_converge(&nodes.a, &plan).written, 0);
    });
}

#[test]
fn facts_are_read() {
    netns::world::test(|| {
        let nodes = two_nodes();
        let facts = inside(&nodes.a, |netlink| netlink.facts(&"eth0".into())).unwrap();
        assert_eq!(facts.addresses, [(ip("172.31.0.11"), 24)]);
        assert_eq!(facts.mtu, 1500);
        assert!(facts.mac.is_some());
        let link = inside(&nodes.a, |netlink| netlink.link_with(ip("172.31.0.11"))).unwrap();
        assert_eq!(link, Some("eth0".into()));
        assert!(inside(&nodes.a, |netlink| netlink.facts(&"eth9".into())).is_err());
    });
}

#[test]
fn a_nodes_change_touches_that_peer_alone() {
    netns::world::test(|| {
        let nodes = two_nodes();
        let peer = |number: u8, third: u8| {
            let address = ip(&format!("10.244.{third}.0"));
            let via = Via::Vxlan { address, mac: Mac::derived(&format!("node-{number}")) };
            let paths = [(range(&format!("10.244.{third}.0/24")), PeerPath { via, mtu: 1450 })].into();
            Peer { underlay: ip(&format!("172.31.0.{number}")), paths, failing: None }
        };
        let name = |number: u8| NodeName::from(format!("node-{number}"));
        let mut plan = full_plan();
        plan.peers = (20..60).map(|number| (name(number), peer(number, number))).collect();
        converge(&nodes.a, &plan);

        // Forwarding entry, neighbour and route.
        plan.peers.insert(name(60), peer(60, 60));
        assert_eq!(converge(&nodes.a, &plan), 3, "join");
        plan.peers.remove(&name(30));
        assert_eq!(converge(&nodes.a, &plan), 3, "leave");
        plan.peers.get_mut(&name(31)).unwrap().underlay = ip("172.31.0.131");
        assert_eq!(converge(&nodes.a, &plan), 1, "another address");
        // Its link-layer address in the tunnel stays; neighbour and route are another's.
        plan.peers.insert(name(32), peer(32, 132));
        assert_eq!(converge(&nodes.a, &plan), 4, "another Pod range");
        let direct = Via::Direct { nexthop: ip("172.31.0.33") };
        plan.peers.get_mut(&name(33)).unwrap().paths.values_mut().next().unwrap().via = direct;
        assert_eq!(converge(&nodes.a, &plan), 3, "another way");
        plan.peers.get_mut(&name(34)).unwrap().paths.values_mut().next().unwrap().mtu = 1400;
        assert_eq!(converge(&nodes.a, &plan), 1, "a narrower path");
        // This node's own range: the address inside the tunnel, and nothing of any peer.
        plan.pod_cidrs = vec![range("10.244.200.0/24")];
        plan.vxlan.as_mut().unwrap().addresses = [ip("10.244.200.0")].into();
        assert_eq!(converge(&nodes.a, &plan), 2, "its own Pod range");
        assert_eq!(converge(&nodes.a, &plan), 0);
    });
}
