//! What IPv6 needs that IPv4 does not: routers that are heeded, and neighbours that are answered.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::{Duration, Instant};

use netns::{Netns, run_in};
use plan::{LocalAddress, PodNetwork};
use socket2::{Domain, Protocol, Socket, Type};

use crate::world::{TwoNodes, converge, greet, inside, ip, range, set, two_nodes};

const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(50);

/// Two nodes that have IPv6 on the underlay.
fn nodes() -> TwoNodes {
    let nodes = two_nodes();
    sealane_apply_netlink::Netlink::open()
        .unwrap()
        .add_underlay_address(&"underlay".into(), ip("fd00:172:31::1"), 64)
        .unwrap();
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
