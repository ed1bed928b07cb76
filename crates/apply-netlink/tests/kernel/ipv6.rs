//! What IPv6 needs that IPv4 does not: routers that are heeded, and neighbours that are answered.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::{Duration, Instant};

use netns::{Netns, run_in};
use plan::{LocalAddress, Peer, PeerPath, PodNetwork, Via, Vxlan};
use socket2::{Domain, Protocol, Socket, Type};

use sealane_apply_netlink::Netlink;
use sealane_apply_netlink::underlay::Port;
use types::{LinkName, Mac, NodeName};

use crate::mtu::{arrive, connect, datagrams, exchange, learns, segment};
use crate::world::{TwoNodes, converge, greet, inside, ip, namespace, pod_with, range, set, two_nodes};

const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(50);

/// Two nodes that have IPv6 on the underlay.
fn nodes() -> TwoNodes {
    let nodes = two_nodes();
    Netlink::open().unwrap().add_underlay_address(&"underlay".into(), ip("fd00:172:31::1"), 64).unwrap();
    for (node, address) in [(&nodes.a, "fd00:172:31::11"), (&nodes.b, "fd00:172:31::12")] {
        inside(node, |netlink| netlink.add_underlay_address(&"eth0".into(), ip(address), 64)).unwrap();
    }
    nodes
}

fn plan(addresses: &[&str]) -> PodNetwork {
    PodNetwork {
        pod_cidrs: vec![range("fd00:10:244::/64")],
        uplink: Some("eth0".into()),
        local_addresses: addresses.iter().map(|address| (ip(address), LocalAddress::LoadBalancer)).collect(),
        ..PodNetwork::default()
    }
}

#[test]
fn neighbours_find_a_load_balancer_address_on_the_node_that_holds_it() {
    netns::world::test(|| {
        const ADDRESS: &str = "fd00:172:31::200";
        let nodes = nodes();
        converge(&nodes.b, &plan(&[]));
        converge(&nodes.a, &plan(&[ADDRESS, "fd00:172:31::201"]));
        assert_eq!(converge(&nodes.a, &plan(&[ADDRESS, "fd00:172:31::201"])), 0);
        assert_eq!(greet(&nodes.b, &nodes.a, ADDRESS).unwrap(), ip("fd00:172:31::12"));
        // It moves; who held it finds it like any other neighbour.
        converge(&nodes.a, &plan(&[]));
        converge(&nodes.b, &plan(&[ADDRESS]));
        assert_eq!(converge(&nodes.a, &plan(&[])), 0);
        assert_eq!(greet(&nodes.a, &nodes.b, ADDRESS).unwrap(), ip("fd00:172:31::11"));
    });
}

/// Says to all nodes of a link, as a router, that it is one (RFC 4861 section 4.2); fails until the link has an address.
fn advertise(link: u32) -> std::io::Result<()> {
    let socket = Socket::new(Domain::IPV6, Type::from(libc::SOCK_RAW), Some(Protocol::ICMPV6))?;
    socket.set_multicast_hops_v6(255)?;
    socket.set_multicast_if_v6(link)?;
    let mut message = [0_u8; 16];
    message[0] = 134;
    // Hop limit 64, and 1800 seconds to be a router.
    message[4] = 64;
    message[6..8].copy_from_slice(&1800_u16.to_be_bytes());
    let everybody = SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0, 0, link);
    socket.send_to(&message, &everybody.into()).map(drop)
}

/// Whether a node has a default route that a router has advertised (RTF_DEFAULT, RTF_ADDRCONF).
fn has_router(node: &Netns) -> bool {
    let table =
        run_in(node, || std::fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap()).unwrap();
    table.lines().any(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let flags = u32::from_str_radix(columns[8], 16).unwrap();
        flags & 0x0005_0000 == 0x0005_0000
    })
}

fn setting(node: &Netns, name: &str) -> String {
    let path = format!("/proc/sys/net/{name}");
    run_in(node, || std::fs::read_to_string(path).unwrap()).unwrap().trim().to_owned()
}

/// The number of a link of this namespace that has an IPv6 address.
fn index_of(link: &str) -> u32 {
    let table = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
    let line =
        table.lines().find(|line| line.ends_with(&format!(" {link}"))).expect("the link has an address");
    u32::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
}

fn advertise_until(what: &str, holds: impl Fn() -> bool) {
    let link = index_of("underlay");
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        // The link's own address may still be tried out.
        let _ = advertise(link);
        std::thread::sleep(PAUSE);
    }
}

#[test]
fn a_node_that_learns_its_route_from_a_router_keeps_it() {
    netns::world::test(|| {
        let nodes = nodes();
        for node in [&nodes.a, &nodes.b] {
            set(node, "ipv6/conf/eth0/accept_ra", "1");
            set(node, "ipv6/conf/lo/accept_ra", "1");
        }
        advertise_until("both nodes know the router", || has_router(&nodes.a) && has_router(&nodes.b));
        converge(&nodes.a, &plan(&[]));
        assert_eq!(setting(&nodes.a, "ipv6/conf/all/forwarding"), "1");
        assert!(has_router(&nodes.a), "the route is still there");
        assert_eq!(setting(&nodes.a, "ipv6/conf/eth0/accept_ra"), "2");
        assert_eq!(setting(&nodes.a, "ipv6/conf/lo/accept_ra"), "1", "no router is to be heard there");
        // What the kernel does to a node whose forwarding somebody just turns on.
        set(&nodes.b, "ipv6/conf/all/forwarding", "1");
        assert!(!has_router(&nodes.b));
        converge(&nodes.b, &plan(&[]));
        assert_eq!(setting(&nodes.b, "ipv6/conf/eth0/accept_ra"), "1", "that is somebody else's decision");
    });
}

#[test]
fn a_node_that_wants_no_router_gets_none() {
    netns::world::test(|| {
        let nodes = nodes();
        set(&nodes.a, "ipv6/conf/eth0/accept_ra", "0");
        converge(&nodes.a, &plan(&[]));
        assert_eq!(setting(&nodes.a, "ipv6/conf/eth0/accept_ra"), "0");
    });
}

/// What the nodes' plans of the tests below differ in.
#[derive(Clone, Copy)]
struct Way {
    is_tunnelled: bool,
    /// Largest packet of Pods.
    mtu: u32,
}

/// The plan of node 0 or 1, whose underlay addresses are these; over the router when they do not share a subnet.
fn plan_to_peer(index: usize, underlay: [&str; 2], router: Option<&str>, way: Way) -> PodNetwork {
    let ranges = [range("fd00:10:244::/64"), range("fd00:10:244:1::/64")];
    let mac = |index: usize| Mac::derived(&format!("node-{index}"));
    let other = 1 - index;
    let via = match (way.is_tunnelled, router) {
        (true, _) => Via::Vxlan { address: ranges[other].first(), mac: mac(other) },
        (false, nexthop) => Via::Direct { nexthop: ip(nexthop.unwrap_or(underlay[other])) },
    };
    let path = PeerPath { via, mtu: way.mtu };
    let paths = [(ranges[other], path)].into();
    PodNetwork {
        pod_cidrs: vec![ranges[index]],
        uplink: Some("eth0".into()),
        vxlan: way.is_tunnelled.then(|| Vxlan {
            link: "sealane-vx".into(),
            vni: 4096,
            port: 8472,
            underlay: ip(underlay[index]),
            addresses: [ranges[index].first()].into(),
            mac: mac(index),
            mtu: way.mtu,
        }),
        peers: [(
            NodeName::from(format!("node-{other}")),
            Peer { underlay: ip(underlay[other]), paths, failing: None },
        )]
        .into(),
        ..PodNetwork::default()
    }
}

/// A Pod with a large link on each node, in front of a path of 1500 bytes.
fn pods(nodes: [&Netns; 2], path_mtu: u32) -> [Netns; 2] {
    let pod = |index: usize, name: &str, address: &str| {
        let local = [["fd00:10:244::/64", "fd00:10:244:1::/64"].map(range)[index]];
        let link = types::PodLink { path_mtu, ..crate::world::pod_link(&local) };
        pod_with(nodes[index], name, &[address], &link)
    };
    [pod(0, "a", "fd00:10:244::5"), pod(1, "f", FAR)]
}

const FAR: &str = "fd00:10:244:1::5";
const SIZES: [usize; 5] = [1000, 1382, 1383, 9000, 40_000];

#[test]
fn running_pods_learn_of_a_narrower_tunnel_over_ipv6() {
    netns::world::test(|| {
        let nodes = nodes();
        let underlay = ["fd00:172:31::11", "fd00:172:31::12"];
        let both = |mtu| {
            let way = Way { is_tunnelled: true, mtu };
            converge(&nodes.a, &plan_to_peer(0, underlay, None, way));
            converge(&nodes.b, &plan_to_peer(1, underlay, None, way));
        };
        both(1430);
        let [a, far] = pods([&nodes.a, &nodes.b], 1430);
        let mut tcp = connect(&a, &far, FAR);
        let udp = datagrams(&a, &far, FAR);
        exchange(&mut tcp);
        arrive(&udp, &SIZES);
        both(1300);
        exchange(&mut tcp);
        // An IPv6 header and one of TCP with timestamps.
        assert!(segment(&tcp.0) <= 1240 && segment(&tcp.1) <= 1240, "{}", segment(&tcp.0));
        let _ = udp.0.send(&[7; 1382]);
        learns(&udp.0, 1300);
        let _ = udp.0.take_error();
        arrive(&datagrams(&a, &far, FAR), &SIZES);
    });
}

/// Two nodes on subnets of their own, with the test's namespace as the router between them.
fn routed_nodes() -> TwoNodes {
    let mut router = Netlink::open().unwrap();
    let mut node = |index: usize, letter: &str| {
        let bridge = LinkName(format!("net-{letter}"));
        let subnet = index + 1;
        let gateway = ip(&format!("fd00:172:{subnet}::1"));
        router.make_underlay(&bridge, gateway, 64).unwrap();
        let node = namespace(&format!("node-{letter}"));
        let port = Port {
            bridge,
            host_link: LinkName(format!("port-{letter}")),
            link: "eth0".into(),
            address: ip(&format!("fd00:172:{subnet}::11")),
            prefix_len: 64,
            gateway: Some(gateway),
        };
        router.join_underlay(&node, &port).unwrap();
        router
            .route_through(["fd00:10:244::/64", "fd00:10:244:1::/64"].map(range)[index], port.address)
            .unwrap();
        node
    };
    let nodes = TwoNodes { a: node(0, "a"), b: node(1, "b") };
    std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    nodes
}

#[test]
fn pods_heed_a_router_that_says_packet_too_big() {
    netns::world::test(|| {
        let nodes = routed_nodes();
        let underlay = ["fd00:172:1::11", "fd00:172:2::11"];
        let way = Way { is_tunnelled: false, mtu: 1500 };
        converge(&nodes.a, &plan_to_peer(0, underlay, Some("fd00:172:1::1"), way));
        converge(&nodes.b, &plan_to_peer(1, underlay, Some("fd00:172:2::1"), way));
        let [a, far] = pods([&nodes.a, &nodes.b], 1500);
        let mut tcp = connect(&a, &far, FAR);
        let udp = datagrams(&a, &far, FAR);
        exchange(&mut tcp);
        arrive(&udp, &SIZES);
        assert!(segment(&tcp.0) > 1400, "{}", segment(&tcp.0));
        // The second subnet carries less from now on, and only its router knows.
        Netlink::open().unwrap().set_mtu(&"net-b".into(), 1380).unwrap();
        exchange(&mut tcp);
        assert!(segment(&tcp.0) <= 1320, "{}", segment(&tcp.0));
        let _ = udp.0.send(&[7; 1440]);
        learns(&udp.0, 1380);
        let _ = udp.0.take_error();
        arrive(&datagrams(&a, &far, FAR), &SIZES);
    });
}
