//! Links that are larger than the path: what stays inside the node may be large, and what leaves gets there.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use netns::{Netns, run_in};
use plan::{PodBridge, PodNetwork, Via};
use sealane_apply_netlink::Netlink;
use types::{NetworkMode, POD_BRIDGE, PodLink, pod_bridge_mac};

use crate::world::{Way, converge, inside, ip, plan, pod, pod_link, pod_with, range, set, two_nodes};

const PATIENCE: Duration = Duration::from_secs(10);

/// A connection, its client's side first.
pub(crate) fn connect(client: &Netns, server: &Netns, to: &str) -> (TcpStream, TcpStream) {
    let listener = run_in(server, || TcpListener::bind((ip(to), 0)).unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let stream = run_in(client, || TcpStream::connect_timeout(&address, PATIENCE).unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    for end in [&stream, &accepted] {
        end.set_read_timeout(Some(PATIENCE)).unwrap();
        end.set_write_timeout(Some(PATIENCE)).unwrap();
    }
    (stream, accepted)
}

/// Sends a megabyte each way; all of it must arrive.
pub(crate) fn exchange((a, b): &mut (TcpStream, TcpStream)) {
    for (from, to) in [(&*a, &*b), (&*b, &*a)] {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let sent: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let wanted = sent.clone();
        let sender = thread::spawn(move || from.write_all(&sent));
        let mut got = vec![0; wanted.len()];
        to.read_exact(&mut got).unwrap();
        sender.join().unwrap().unwrap();
        assert_eq!(got, wanted);
    }
}

/// An option of a socket that is a number.
pub(crate) fn number(socket: &impl AsRawFd, level: i32, name: i32) -> i32 {
    let (mut value, mut length) = (0_i32, 4);
    // SAFETY: value and length are as large as the kernel is told.
    let answer = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length)
    };
    assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    value
}

/// Largest segment a connection sends now.
pub(crate) fn segment(stream: &TcpStream) -> i32 {
    number(stream, libc::IPPROTO_TCP, libc::TCP_MAXSEG)
}

/// A UDP socket connected to another, which is bound to this address.
pub(crate) fn datagrams(client: &Netns, server: &Netns, to: &str) -> (UdpSocket, UdpSocket) {
    let server = run_in(server, || UdpSocket::bind((ip(to), 0)).unwrap()).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let address: SocketAddr = server.local_addr().unwrap();
    let any: IpAddr = if address.is_ipv4() { ip("0.0.0.0") } else { ip("::") };
    let client = run_in(client, || {
        let socket = UdpSocket::bind((any, 0)).unwrap();
        socket.connect(address).unwrap();
        socket
    })
    .unwrap();
    (client, server)
}

/// Every one of these sizes arrives, and at the first try.
pub(crate) fn arrive((client, server): &(UdpSocket, UdpSocket), sizes: &[usize]) {
    let mut buffer = vec![0; 65_536];
    for size in sizes {
        assert_eq!(client.send(&vec![7; *size]).unwrap(), *size);
        let got = server.recv(&mut buffer).unwrap_or_else(|error| panic!("{size} bytes: {error}"));
        assert_eq!(got, *size);
    }
}

/// From below a path's MTU to the largest that UDP has.
const SIZES: [usize; 6] = [1000, 1422, 1423, 9000, 40_000, 65_507];

fn nodes(way: Way) -> (crate::world::TwoNodes, Netns, Netns, Netns) {
    joined_nodes(way, NetworkMode::Routed)
}

fn joined_nodes(way: Way, mode: NetworkMode) -> (crate::world::TwoNodes, Netns, Netns, Netns) {
    let nodes = two_nodes();
    for (node, letter) in [(&nodes.a, 'a'), (&nodes.b, 'b')] {
        let mut plan = plan(letter, way);
        plan.bridge = (mode == NetworkMode::Bridge).then(|| PodBridge {
            link: POD_BRIDGE.into(),
            mac: pod_bridge_mac(),
            routes: plan.pod_cidrs.iter().copied().collect(),
            ports: BTreeMap::new(),
        });
        converge(node, &plan);
    }
    let pod = |node: &Netns, name: &str, address: &str, own: &str| {
        pod_with(node, name, &[address], &PodLink { mode, ..pod_link(&[range(own)]) })
    };
    let a = pod(&nodes.a, "a", "10.244.0.5", "10.244.0.0/24");
    let near = pod(&nodes.a, "n", "10.244.0.6", "10.244.0.0/24");
    let far = pod(&nodes.b, "f", "10.244.1.5", "10.244.1.0/24");
    (nodes, a, near, far)
}

fn both_kinds_of_peers(way: Way, mode: NetworkMode) {
    let (nodes, a, near, far) = joined_nodes(way, mode);
    let mut within = connect(&a, &near, "10.244.0.6");
    let mut across = connect(&a, &far, "10.244.1.5");
    exchange(&mut within);
    exchange(&mut across);
    for end in [&within.0, &within.1] {
        assert!(segment(end) > 60_000, "inside the node: {}", segment(end));
    }
    for end in [&across.0, &across.1] {
        assert!(segment(end) <= 1410, "between nodes: {}", segment(end));
    }
    exchange(&mut connect(&nodes.a, &near, "10.244.0.6"));
    exchange(&mut connect(&near, &nodes.a, "172.31.0.11"));
    exchange(&mut connect(&nodes.a, &far, "10.244.1.5"));
    exchange(&mut connect(&far, &nodes.a, "172.31.0.11"));
    arrive(&datagrams(&a, &near, "10.244.0.6"), &SIZES);
    arrive(&datagrams(&a, &far, "10.244.1.5"), &SIZES);
    arrive(&datagrams(&far, &a, "10.244.0.5"), &SIZES);
}

#[test]
fn a_pod_talks_to_both_kinds_of_peers_through_vxlan() {
    netns::world::test(|| both_kinds_of_peers(Way::Vxlan, NetworkMode::Routed));
}

#[test]
fn a_pod_on_a_bridge_talks_to_both_kinds_of_peers_through_vxlan() {
    netns::world::test(|| both_kinds_of_peers(Way::Vxlan, NetworkMode::Bridge));
}

#[test]
fn a_pod_on_a_bridge_talks_to_both_kinds_of_peers_over_direct_routes() {
    netns::world::test(|| both_kinds_of_peers(Way::Direct, NetworkMode::Bridge));
}

#[test]
fn a_pod_talks_to_both_kinds_of_peers_over_direct_routes() {
    netns::world::test(|| both_kinds_of_peers(Way::Direct, NetworkMode::Routed));
}

#[test]
fn a_datagram_of_the_links_size_is_one_packet_inside_the_node() {
    netns::world::test(|| one_packet(NetworkMode::Routed));
}

#[test]
fn a_datagram_of_the_links_size_is_one_packet_on_a_bridge() {
    netns::world::test(|| one_packet(NetworkMode::Bridge));
}

fn one_packet(mode: NetworkMode) {
    let (_nodes, a, near, far) = joined_nodes(Way::Vxlan, mode);
    let fragments = || counter(&a, "Ip", "FragCreates");
    arrive(&datagrams(&a, &near, "10.244.0.6"), &[65_507]);
    assert_eq!(fragments(), 0);
    arrive(&datagrams(&a, &far, "10.244.1.5"), &[65_507]);
    assert!(fragments() > 40, "the Pod cuts what leaves the node: {}", fragments());
}

/// A counter of a namespace, from `/proc/net/snmp`: a line of names, and one of values.
fn counter(netns: &Netns, protocol: &str, name: &str) -> u64 {
    let text = run_in(netns, || std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap()).unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(": "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let column = names.split(' ').position(|found| found == name).unwrap();
    values.split(' ').nth(column).unwrap().parse().unwrap()
}

/// The path's MTU that a connected socket knows of, once it is this one (`IP_MTU` of ip(7)).
pub(crate) fn learns(socket: &UdpSocket, wanted: i32) {
    let (level, name) = match socket.local_addr().unwrap() {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let known = number(socket, level, name);
        if known == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "the Pod knows of {known}");
    }
}

/// The plan after the path to the peer has become narrower.
fn narrowed(mut plan: PodNetwork, mtu: u32) -> PodNetwork {
    for path in plan.peers.values_mut().flat_map(|peer| peer.paths.values_mut()) {
        path.mtu = mtu;
    }
    if let Some(vxlan) = &mut plan.vxlan {
        vxlan.mtu = mtu;
    }
    plan
}

fn path_shrinks(way: Way) {
    let (nodes, a, _near, far) = nodes(way);
    let mut tcp = connect(&a, &far, "10.244.1.5");
    let udp = datagrams(&a, &far, "10.244.1.5");
    exchange(&mut tcp);
    arrive(&udp, &[1422]);
    converge(&nodes.a, &narrowed(plan('a', way), 1300));
    converge(&nodes.b, &narrowed(plan('b', way), 1300));
    exchange(&mut tcp);
    assert!(segment(&tcp.0) <= 1260 && segment(&tcp.1) <= 1260);
    // The Pod's kernel knows by now from what TCP met, or learns it from one more datagram.
    udp.0.send(&[7; 1422]).unwrap();
    learns(&udp.0, 1300);
    // An answer to the last datagram may still be waiting to be told as the socket's error.
    let _ = udp.0.take_error();
    let fresh = datagrams(&a, &far, "10.244.1.5");
    arrive(&fresh, &SIZES);
    exchange(&mut connect(&a, &far, "10.244.1.5"));
}

#[test]
fn running_pods_learn_of_a_narrower_tunnel() {
    netns::world::test(|| path_shrinks(Way::Vxlan));
}

#[test]
fn running_pods_learn_of_a_narrower_route() {
    netns::world::test(|| path_shrinks(Way::Direct));
}

/// `node-a`'s range becomes `node-b`'s while a Pod of `node-a` is connected to an address in it.
#[test]
fn a_range_moves_to_another_node_while_connections_live() {
    netns::world::test(|| {
        let (nodes, a, near, _far) = nodes(Way::Vxlan);
        let mut tcp = connect(&a, &near, "10.244.0.6");
        let udp = datagrams(&a, &near, "10.244.0.6");
        exchange(&mut tcp);
        assert!(segment(&tcp.0) > 60_000);
        let Some((_, peer)) = plan('a', Way::Vxlan).peers.pop_first() else { panic!("there is a peer") };
        let Some((_, path)) = peer.paths.first_key_value() else { panic!("it has a path") };
        assert!(matches!(path.via, Via::Vxlan { .. }));
        // The Pod itself goes along: its link is made anew on the other node, with the sockets that are open in it.
        inside(&nodes.a, |netlink| netlink.detach(&"sln".into())).unwrap();
        let mut from = plan('a', Way::Vxlan);
        let moved = crate::world::range("10.244.0.6/32");
        from.peers.values_mut().next().unwrap().paths.insert(moved, *path);
        converge(&nodes.a, &from);
        converge(&nodes.b, &plan('b', Way::Vxlan));
        let attachment = crate::world::attachment("n", &["10.244.0.6"]);
        let local = [crate::world::range("10.244.1.0/24")];
        inside(&nodes.b, |netlink: &mut Netlink| netlink.attach(&near, &attachment, &pod_link(&local)))
            .unwrap();
        exchange(&mut tcp);
        assert!(segment(&tcp.0) <= 1410, "{}", segment(&tcp.0));
        udp.0.send(&[7; 9000]).unwrap();
        learns(&udp.0, 1450);
        let fresh = datagrams(&a, &near, "10.244.0.6");
        arrive(&fresh, &SIZES);
    });
}

#[test]
fn a_link_no_larger_than_the_path_has_plain_routes() {
    netns::world::test(|| {
        let nodes = two_nodes();
        let mut link = pod_link(&[crate::world::range("10.244.0.0/24")]);
        link.mtu = link.path_mtu;
        let a = pod_with(&nodes.a, "a", &["10.244.0.5"], &link);
        let routes = run_in(&a, || std::fs::read_to_string("/proc/thread-self/net/route").unwrap()).unwrap();
        assert_eq!(routes.lines().filter(|line| line.starts_with("eth0")).count(), 1, "{routes}");
        let near = pod_with(&nodes.a, "n", &["10.244.0.6"], &link);
        let mut within = connect(&a, &near, "10.244.0.6");
        exchange(&mut within);
        assert!(segment(&within.0) <= 1410);
    });
}

#[test]
fn large_links_carry_ipv6_too() {
    netns::world::test(|| {
        let nodes = two_nodes();
        set(&nodes.a, "ipv6/conf/all/forwarding", "1");
        let a = pod(&nodes.a, "a", &["fd00:10:244::5"]);
        let near = pod(&nodes.a, "n", &["fd00:10:244::6"]);
        let mut within = connect(&a, &near, "fd00:10:244::6");
        exchange(&mut within);
        assert!(segment(&within.0) > 60_000, "{}", segment(&within.0));
        arrive(&datagrams(&a, &near, "fd00:10:244::6"), &[1000, 1423, 9000, 65_000]);
    });
}

#[test]
fn verify_compares_what_was_given() {
    netns::world::test(|| {
        let nodes = two_nodes();
        let link = pod_link(&[crate::world::range("10.244.0.0/24")]);
        let a = pod_with(&nodes.a, "a", &["10.244.0.5"], &link);
        let mut wanted = crate::world::attachment("a", &["10.244.0.5"]);
        wanted.link = Some(link.clone());
        let verify =
            |wanted: &types::Attachment| inside(&nodes.a, |netlink| netlink.verify(&a, wanted)).unwrap();
        assert_eq!(verify(&wanted), Vec::<String>::new());
        let other = types::PodLink {
            mtu: 9000,
            path_mtu: 1400,
            local: vec![crate::world::range("10.1.0.0/24")],
            ..link
        };
        wanted.link = Some(other);
        let missing = [
            "link sla of the node has MTU 65535 in place of 9000",
            "link eth0 of the Pod has MTU 65535 in place of 9000",
            "the Pod has no default route through 169.254.1.1 with MTU 1400",
            "the Pod has no route to 10.1.0.0/24 through 169.254.1.1",
        ];
        assert_eq!(verify(&wanted), missing);
    });
}

/// Nothing is sent twice here: what is lost while a link's carrier is still unknown to the kernel fails the test.
fn first_packets(mode: NetworkMode) {
    let (nodes, _, near, _) = joined_nodes(Way::Vxlan, mode);
    let receiver = run_in(&near, || UdpSocket::bind("10.244.0.6:9").unwrap()).unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let link = PodLink { mode, ..pod_link(&[range("10.244.0.0/24")]) };
    let mut bytes = [0; 8];
    for number in 10..40 {
        let address = format!("10.244.0.{number}");
        let pod = pod_with(&nodes.a, &format!("p{number}"), &[&address], &link);
        let new = run_in(&pod, || UdpSocket::bind((address.as_str(), 9)).unwrap()).unwrap();
        new.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        receiver.send_to(b"to", (address.as_str(), 9)).unwrap();
        new.recv(&mut bytes).unwrap_or_else(|error| panic!("first to {address}: {error}"));
        new.send_to(b"from", "10.244.0.6:9").unwrap();
        receiver.recv(&mut bytes).unwrap_or_else(|error| panic!("first from {address}: {error}"));
    }
}

#[test]
fn the_first_packets_of_a_pod_arrive() {
    netns::world::test(|| first_packets(NetworkMode::Routed));
}

#[test]
fn the_first_packets_of_a_pod_on_a_bridge_arrive() {
    netns::world::test(|| first_packets(NetworkMode::Bridge));
}
