//! Pods that are ports of the node's bridge.

use std::process::Command;

use netns::{Netns, run_in};
use plan::{BridgePort, PodBridge, PodNetwork};
use sealane_apply_netlink::{Netlink, NetlinkError};
use types::{Attachment, NetworkMode, POD_BRIDGE, PodLink, Prefix, pod_bridge_mac};

use crate::killed::{Connection, kill_everywhere};
use crate::world::{
    Way, attachment, converge, greet, inside, ip, namespace, plan, pod, pod_link, pod_with, range, set,
    try_converge, two_nodes,
};

const A: [&str; 2] = ["10.244.0.5", "fd00:10:244::5"];
const B: [&str; 2] = ["10.244.0.6", "fd00:10:244::6"];

fn bridge_link() -> PodLink {
    PodLink { mode: NetworkMode::Bridge, ..pod_link(&[range("10.244.0.0/24"), range("fd00:10:244::/64")]) }
}

fn bridged(name: &str, addresses: &[&str]) -> Attachment {
    Attachment { link: Some(bridge_link()), ..attachment(name, addresses) }
}

/// The plan of a node with such ports.
fn bridge_plan(ports: &[Attachment]) -> PodNetwork {
    let ranges = [range("10.244.0.0/24"), range("fd00:10:244::/64")];
    let port = |attachment: &Attachment| {
        let addresses = attachment.addresses.iter().copied().collect();
        (attachment.host_link.clone(), BridgePort { mac: attachment.pod_mac, addresses })
    };
    let bridge = PodBridge {
        link: POD_BRIDGE.into(),
        mac: pod_bridge_mac(),
        routes: ranges.into(),
        ports: ports.iter().map(port).collect(),
    };
    PodNetwork { pod_cidrs: ranges.to_vec(), bridge: Some(bridge), ..PodNetwork::default() }
}

fn both() -> [Attachment; 2] {
    [bridged("a", &A), bridged("b", &B)]
}

fn bridge_pod(node: &Netns, name: &str, addresses: &[&str]) -> Netns {
    pod_with(node, name, addresses, &bridge_link())
}

/// A node always has some address.
fn node() -> Netns {
    let node = namespace("node");
    set(&node, "ipv6/conf/default/accept_dad", "0");
    inside(&node, |netlink| {
        netlink.make_underlay(&"other".into(), ip("192.0.2.1"), 24).unwrap();
        netlink.add_underlay_address(&"other".into(), ip("2001:db8::1"), 64).unwrap();
    });
    node
}

/// Whether there is the program that plays the vandal.
fn has_ip(test: &str) -> bool {
    let has_ip = Command::new("ip").arg("-V").output().is_ok();
    if !has_ip {
        println!("sealane-skip: {test}: no program `ip`");
    }
    has_ip
}

fn ip_command(node: &Netns, arguments: &str) {
    let run = || Command::new("ip").args(arguments.split(' ')).status().expect("iproute2 is there");
    assert!(run_in(node, run).expect("the namespace is there").success(), "ip {arguments}");
}

/// Everybody reaches everybody, in both families, with their own addresses.
fn all_talk(node: &Netns, a: &Netns, b: &Netns) {
    for family in [0, 1] {
        assert_eq!(greet(a, b, B[family]).expect("a to b"), ip(A[family]));
        assert_eq!(greet(b, a, A[family]).expect("b to a"), ip(B[family]));
        assert_eq!(greet(a, a, A[family]).expect("a to itself"), ip(A[family]));
        greet(node, a, A[family]).expect("node to a");
    }
}

fn missing(node: &Netns, pod: &Netns, attachment: &Attachment) -> Vec<String> {
    inside(node, |netlink| netlink.verify(pod, attachment)).expect("the kernel answers")
}

#[test]
fn pods_on_the_bridge_talk_and_see_each_others_address() {
    netns::world::test(|| {
        let node = node();
        converge(&node, &bridge_plan(&[]));
        let (a, b) = (bridge_pod(&node, "a", &A), bridge_pod(&node, "b", &B));
        all_talk(&node, &a, &b);
        let facts = inside(&node, |netlink| netlink.facts(&POD_BRIDGE.into())).unwrap();
        assert_eq!((facts.mtu, facts.mac, facts.addresses), (65_535, Some(pod_bridge_mac()), Vec::new()));
        // What ADD made is what the agent wants.
        assert_eq!(converge(&node, &bridge_plan(&both())), 0);
        assert_eq!(missing(&node, &a, &both()[0]), Vec::<String>::new());
    });
}

#[test]
fn without_the_bridge_there_is_no_pod() {
    netns::world::test(|| {
        if !has_ip("without_the_bridge_there_is_no_pod") {
            return;
        }
        let (node, a) = (namespace("node"), namespace("a"));
        let attach = || inside(&node, |netlink| netlink.attach(&a, &bridged("a", &A), &bridge_link()));
        let refused = attach().unwrap_err();
        assert!(
            matches!(&refused, NetlinkError::NoLink { name } if name == POD_BRIDGE),
            "{}",
            types::with_causes(&refused)
        );
        assert_eq!(inside(&node, Netlink::pod_links).unwrap(), []);
        // And with one of somebody else neither.
        ip_command(&node, "link add sealane-br type bridge");
        ip_command(&node, "link set sealane-br alias theirs");
        assert!(matches!(attach().unwrap_err(), NetlinkError::ForeignLink { .. }));
        let report = try_converge(&node, &bridge_plan(&[]));
        let what: Vec<_> = report.failures.iter().map(|failure| failure.what.as_str()).collect();
        assert_eq!(what, ["link sealane-br"]);
        assert!(report.failures[0].why.contains("its alias is `theirs`"), "{}", report.failures[0].why);
    });
}

#[test]
fn what_somebody_removed_of_the_bridge_is_restored() {
    netns::world::test(|| {
        if !has_ip("what_somebody_removed_of_the_bridge_is_restored") {
            return;
        }
        let node = namespace("node");
        converge(&node, &bridge_plan(&[]));
        let (a, b) = (bridge_pod(&node, "a", &A), bridge_pod(&node, "b", &B));
        inside(&node, |netlink| netlink.make_underlay(&"other".into(), ip("192.0.2.1"), 24)).unwrap();
        let wanted = bridge_plan(&both());
        let mac = both()[0].pod_mac;
        let missing_of_a = || missing(&node, &a, &both()[0]);
        for (vandalism, told) in [
            ("link delete sealane-br", "bridge sealane-br of the node is missing"),
            (
                "link set sealane-br address 02:00:00:00:00:77",
                "sealane-br has another link-layer address than Pods have written down",
            ),
            ("link set sla nomaster", "link sla of the node is not a port of sealane-br"),
            ("link set sla master other", "link sla of the node is not a port of sealane-br"),
            (
                "link set sla type bridge_slave hairpin off",
                "link sla of the node has other settings of a port",
            ),
            (
                "neigh flush dev sealane-br nud permanent",
                "the node does not know the link-layer address of 10.244",
            ),
            ("route delete 10.244.0.0/24", "the node has no route to 10.244.0.5"),
            ("-6 route delete fd00:10:244::/64", "the node has no route to fd00:10:244::5"),
        ] {
            ip_command(&node, vandalism);
            let missing = missing_of_a();
            assert!(missing.iter().any(|missing| missing.starts_with(told)), "{vandalism}: {missing:?}");
            assert!(converge(&node, &wanted) > 0, "{vandalism}");
            assert_eq!(missing_of_a(), Vec::<String>::new(), "{vandalism}");
            assert_eq!(greet(&a, &b, B[0]).expect(vandalism), ip(A[0]));
            assert_eq!(greet(&b, &a, A[1]).expect(vandalism), ip(B[1]));
            assert_eq!(converge(&node, &wanted), 0, "{vandalism}");
        }
        for vandalism in
            ["link set sealane-br down", "link set sealane-br mtu 1400", "link set sealane-br alias x"]
        {
            ip_command(&node, vandalism);
            if vandalism.ends_with('x') {
                // Then it is somebody else's.
                assert_eq!(try_converge(&node, &wanted).failures.len(), 1);
                ip_command(&node, "link set sealane-br alias sealane");
            }
            converge(&node, &wanted);
            assert_eq!(greet(&a, &b, B[1]).expect(vandalism), ip(A[1]));
            assert_eq!(converge(&node, &wanted), 0, "{vandalism}");
        }
        let remove =
            || Command::new("bridge").args(["fdb", "del", &mac.to_string(), "dev", "sla", "master"]).status();
        assert!(run_in(&node, remove).unwrap().expect("iproute2 is there").success());
        assert_eq!(missing_of_a(), [format!("sealane-br does not know that {mac} is at sla")]);
        assert_eq!(converge(&node, &wanted), 1);
        assert_eq!(greet(&b, &a, A[0]).unwrap(), ip(B[0]));
    });
}

#[test]
fn a_pod_that_goes_leaves_nothing_and_other_bridges_are_untouched() {
    netns::world::test(|| {
        if !has_ip("a_pod_that_goes_leaves_nothing_and_other_bridges_are_untouched") {
            return;
        }
        let node = namespace("node");
        converge(&node, &bridge_plan(&[]));
        inside(&node, |netlink| netlink.make_underlay(&"theirs".into(), ip("192.0.2.1"), 24)).unwrap();
        ip_command(&node, "link add their-port type veth peer name their-end");
        ip_command(&node, "link set their-port master theirs");
        ip_command(&node, "neigh add 192.0.2.7 lladdr 02:00:00:00:00:07 dev theirs nud permanent");
        let theirs = || {
            let show = || Command::new("ip").args(["-d", "-o", "link", "show", "master", "theirs"]).output();
            let neighbours = || Command::new("ip").args(["neigh", "show", "dev", "theirs"]).output();
            run_in(&node, || [show().unwrap().stdout, neighbours().unwrap().stdout].concat()).unwrap()
        };
        let before = theirs();
        assert!(!before.is_empty());
        let (_a, b) = (bridge_pod(&node, "a", &A), bridge_pod(&node, "b", &B));
        converge(&node, &bridge_plan(&both()));
        let gone = bridged("a", &A);
        for _ in 0..2 {
            inside(&node, |netlink| netlink.detach(&gone.host_link).and_then(|()| netlink.forget_pod(&gone)))
                .unwrap();
        }
        // ADD and DEL are all there is to a Pod.
        assert_eq!(converge(&node, &bridge_plan(&[bridged("b", &B)])), 0);
        // Even when DEL was killed between its two steps.
        inside(&node, |netlink| netlink.detach(&bridged("b", &B).host_link)).unwrap();
        assert_eq!(converge(&node, &bridge_plan(&[])), 2);
        drop(b);
        converge(&node, &PodNetwork::default());
        assert!(inside(&node, |netlink| netlink.facts(&POD_BRIDGE.into())).is_err());
        assert_eq!(theirs(), before);
    });
}

#[test]
fn pods_of_both_kinds_live_side_by_side() {
    netns::world::test(|| {
        let node = node();
        let routed_plan = PodNetwork { bridge: None, ..bridge_plan(&[]) };
        converge(&node, &routed_plan);
        let a = pod(&node, "a", &A);
        let old = pod(&node, "old", &["10.244.0.9", "fd00:10:244::9"]);
        let mut before = Connection::open(&a, &old, "10.244.0.9");
        converge(&node, &bridge_plan(&[]));
        let b = bridge_pod(&node, "b", &B);
        before.carries("after the bridge was made");
        all_talk(&node, &a, &b);
        let mut across = Connection::open(&a, &b, B[1]);

        // Back again: the bridge stays for as long as there is a Pod on it, with a route for that Pod alone.
        let mut back = bridge_plan(&[bridged("b", &B)]);
        let bridge = back.bridge.as_mut().unwrap();
        bridge.routes = B.into_iter().map(|address| Prefix::host(ip(address))).collect();
        converge(&node, &back);
        before.carries("after routing again");
        across.carries("after routing again");
        all_talk(&node, &a, &b);
        // A plan that knows of no such Pod does not cut it off from a bridge that it is still on.
        converge(&node, &routed_plan);
        assert!(inside(&node, |netlink| netlink.facts(&POD_BRIDGE.into())).is_ok());
        converge(&node, &back);
        across.carries("after a plan without it");
    });
}

#[test]
fn the_bridge_is_as_narrow_as_its_narrowest_pod() {
    netns::world::test(|| {
        let node = namespace("node");
        converge(&node, &bridge_plan(&[]));
        let mtu = || inside(&node, |netlink| netlink.facts(&POD_BRIDGE.into())).unwrap().mtu;
        let _a = bridge_pod(&node, "a", &A);
        assert_eq!(mtu(), 65_535);
        let narrow = PodLink { mtu: 1450, ..bridge_link() };
        let _b = pod_with(&node, "b", &B, &narrow);
        assert_eq!(mtu(), 1450);
        assert_eq!(converge(&node, &bridge_plan(&both())), 0);
        inside(&node, |netlink| netlink.detach(&bridged("b", &B).host_link)).unwrap();
        converge(&node, &bridge_plan(&[bridged("a", &A)]));
        assert_eq!(mtu(), 65_535);
    });
}

#[test]
fn a_bridge_killed_at_any_step_is_finished_by_the_next_process() {
    netns::world::test(|| {
        if !has_ip("a_bridge_killed_at_any_step_is_finished_by_the_next_process") {
            return;
        }
        let nodes = two_nodes();
        let mut full = bridge_plan(&both());
        full.peers = plan('a', Way::Direct).peers;
        converge(&nodes.a, &full);
        let (a, b) = (bridge_pod(&nodes.a, "a", &A), bridge_pod(&nodes.a, "b", &B));
        let mut connection = Connection::open(&a, &b, B[0]);
        // Without the one port, then with it again: its neighbours and nothing else come and go.
        let less = bridge_plan(&both()[..1]);
        let mut look = |when: &str| connection.carries(when);
        kill_everywhere(&nodes.a, &less, &full, &mut look);
        // And from nothing but Pods that fell off their bridge.
        let mut steps = 0;
        let vandal = || ip_command(&nodes.a, "link delete sealane-br");
        for at in 1..2000 {
            vandal();
            let ending = netns::world::killed_at(at, || {
                run_in(&nodes.a, || i32::from(!try_converge(&nodes.a, &full).failures.is_empty())).unwrap()
            });
            converge(&nodes.a, &full);
            assert_eq!(converge(&nodes.a, &full), 0, "killed at {at}");
            connection.carries(&format!("killed at {at}"));
            steps = at;
            if let netns::world::Ending::Done(status) = ending.unwrap() {
                assert_eq!(status, 0);
                break;
            }
        }
        assert!(steps > 20, "{steps} steps");
        println!("sealane-note: a bridge was killed at {steps} steps");
    });
}
