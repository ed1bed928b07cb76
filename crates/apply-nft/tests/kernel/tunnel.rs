//! The tunnel's outer packets: between nodes they pass and leave no trace, and no Pod can send any.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use apply_netlink::Netlink;
use apply_netlink::underlay::Port;
use netns::{Netns, world};
use plan::{LocalAddress, Peer, PeerPath, PodNetwork, Via, Vxlan};
use types::{IpFamily, Mac, Prefix};

use crate::fixture::{From, Lab, load, pod_name};

const PORT: u16 = 8472;

/// The lab's plan with the outside as a peer behind the tunnel, a Node with two addresses.
fn tunnelled(lab: &Lab) -> plan::NodePlan {
    let mut plan = lab.plan();
    let at = &lab.at;
    let give =
        || Netlink::open()?.add_underlay_address(&"underlay".into(), at.outside_second, at.underlay_len);
    lab.within(From::Outside, give).expect("a second address");
    let mac = Mac::derived("peer");
    plan.podnet.vxlan = Some(Vxlan {
        link: "sealane-vxlan".into(),
        vni: 1,
        port: PORT,
        underlay: at.node,
        addresses: [at.pod_range.first()].into(),
        mac,
        mtu: 1450,
    });
    let path = PeerPath { via: Via::Vxlan { address: at.outside, mac }, mtu: 1450 };
    let peer = Peer { underlay: at.outside, paths: [(Prefix::host(at.outside), path)].into(), failing: None };
    plan.podnet.peers.insert("node-b".into(), peer);
    plan.podnet.other_nodes = [at.outside, at.outside_second].into();
    plan
}

fn socket(lab: &Lab, at: From, address: IpAddr) -> UdpSocket {
    let socket = lab.within(at, || UdpSocket::bind(SocketAddr::new(address, PORT))).expect("bound");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    socket
}

fn received(socket: &UdpSocket) -> (String, IpAddr) {
    let mut text = [0; 32];
    let (len, from) = socket.recv_from(&mut text).expect("something arrives");
    (String::from_utf8_lossy(&text[..len]).into_owned(), from.ip())
}

fn tracked(lab: &Lab) -> String {
    let count = || std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count");
    lab.in_node(count).expect("connection tracking is there").trim().to_owned()
}

/// The lab's network, whose node has an address more.
fn holding(lab: &Lab, address: IpAddr) -> PodNetwork {
    let local_addresses = [(address, LocalAddress::Dns)].into();
    PodNetwork { local_addresses, ..(*lab.plan().podnet).clone() }
}

/// Sockets where nodes listen: at this one's address and at both of the other's.
struct Ends {
    node: UdpSocket,
    peer: UdpSocket,
    peers_second: UdpSocket,
}

impl Ends {
    fn open(lab: &Lab) -> Self {
        Self {
            node: socket(lab, From::Node, lab.at.node),
            peer: socket(lab, From::Outside, lab.at.outside),
            peers_second: socket(lab, From::Outside, lab.at.outside_second),
        }
    }

    /// A Pod's packets do not arrive; what is sent after them does.
    fn hear_nothing_of(&self, lab: &Lab, pod: &UdpSocket) {
        let at = &lab.at;
        let ways = [
            (at.node, &self.peer, &self.node),
            (at.outside, &self.node, &self.peer),
            (at.outside_second, &self.node, &self.peers_second),
        ];
        for (to, honest, receiver) in ways {
            pod.send_to(b"a Pod's", (to, PORT)).expect("sent");
            honest.send_to(b"a node's", (to, PORT)).expect("sent");
            assert_eq!(received(receiver).0, "a node's", "to {to}");
        }
    }
}

/// Sends to an address that the node has only just got, until it is heard: of the first packets some are lost while
/// neighbours still learn of it.
fn say_until_heard(from: &UdpSocket, to: &UdpSocket, address: IpAddr) {
    to.set_read_timeout(Some(Duration::from_millis(200))).expect("a time");
    let mut text = [0; 32];
    let is_heard = (0..50).any(|_| {
        from.send_to(b"hello", (address, PORT + 1)).expect("sent");
        to.recv_from(&mut text).is_ok_and(|(len, _)| text[..len] == *b"hello")
    });
    assert!(is_heard, "{address} is not reached");
}

fn check(family: IpFamily) {
    let lab = Lab::new(family);
    load(&mut lab.nft(), &tunnelled(&lab));
    let at = &lab.at;
    let Ends { node, peer, .. } = Ends::open(&lab);
    let before = tracked(&lab);
    node.send_to(b"there", (at.outside, PORT)).expect("sent");
    assert_eq!(received(&peer), ("there".to_owned(), at.node));
    peer.send_to(b"back", (at.node, PORT)).expect("sent");
    assert_eq!(received(&node), ("back".to_owned(), at.outside));
    assert_eq!(tracked(&lab), before, "the tunnel's packets are not tracked");
    drop((node, peer));
    let pod = socket(&lab, From::Pod(1), at.pods[0]);
    Ends::open(&lab).hear_nothing_of(&lab, &pod);
    // The kernel listens at every address of the node; a Pod gets to none.
    let inner = at.pod_range.first();
    lab.in_node(|| Netlink::open().map(|mut netlink| netlink.converge(&holding(&lab, inner)))).expect("open");
    let tunnel = socket(&lab, From::Node, inner);
    pod.send_to(b"a Pod's", (inner, PORT)).expect("sent");
    // On another port the same address is reached, and what was sent before has come or never will.
    let open = lab.within(From::Node, || UdpSocket::bind((inner, PORT + 1))).expect("bound");
    say_until_heard(&pod, &open, inner);
    tunnel.set_nonblocking(true).expect("set");
    let heard = tunnel.recv_from(&mut [0; 32]).map_err(|error| error.kind());
    assert_eq!(heard, Err(std::io::ErrorKind::WouldBlock), "the node's tunnel heard a Pod");
    // To others, the port is one like any other.
    let near = socket(&lab, From::Pod(2), at.pods[1]);
    pod.send_to(b"hello", (at.pods[1], PORT)).expect("sent");
    assert_eq!(received(&near), ("hello".to_owned(), at.pods[0]));
}

#[test]
fn only_nodes_speak_through_the_tunnel_and_untracked() {
    world::test(|| check(IpFamily::V4));
}

#[test]
fn only_nodes_speak_through_the_tunnel_and_untracked_over_ipv6() {
    world::test(|| check(IpFamily::V6));
}

#[test]
fn pods_of_a_range_that_was_the_nodes_do_not_speak_to_the_tunnel() {
    world::test(|| check_former_range(IpFamily::V4));
}

#[test]
fn pods_of_a_range_that_was_the_nodes_do_not_speak_to_the_tunnel_over_ipv6() {
    world::test(|| check_former_range(IpFamily::V6));
}

fn check_former_range(family: IpFamily) {
    let lab = Lab::new(family);
    let mut plan = tunnelled(&lab);
    let other = if family == IpFamily::V4 { "10.9.0.0/24" } else { "fd00:9::/64" };
    let other: Prefix = other.parse().expect("a range");
    (plan.podnet.pod_cidrs, plan.services.pod_cidrs) = (vec![other], [other].into());
    plan.podnet.masquerade.sources = [other].into();
    load(&mut lab.nft(), &plan);
    let pod = socket(&lab, From::Pod(1), lab.at.pods[0]);
    Ends::open(&lab).hear_nothing_of(&lab, &pod);
    // Nor would they if nobody knew which Pod has the address: it is on a Pod's link.
    plan.podnet.local_pods.clear();
    load(&mut lab.nft(), &plan);
    Ends::open(&lab).hear_nothing_of(&lab, &pod);
    let open = lab.within(From::Node, || UdpSocket::bind((lab.at.node, PORT + 1))).expect("bound");
    open.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    pod.send_to(b"hello", (lab.at.node, PORT + 1)).expect("sent");
    assert_eq!(received(&open).0, "hello");
}

#[test]
fn pods_on_links_of_another_plugin_do_not_speak_to_the_tunnel() {
    world::test(|| check_foreign_link(IpFamily::V4));
}

#[test]
fn pods_on_links_of_another_plugin_do_not_speak_to_the_tunnel_over_ipv6() {
    world::test(|| check_foreign_link(IpFamily::V6));
}

fn check_foreign_link(family: IpFamily) {
    let lab = Lab::new(family);
    let (gateway, address, prefix_len) = match family {
        IpFamily::V4 => ("10.88.0.1", "10.88.0.5", 24),
        IpFamily::V6 => ("fd88::1", "fd88::5", 64),
    };
    let [gateway, address]: [IpAddr; 2] = [gateway, address].map(|text| text.parse().expect("an address"));
    let netns = Netns::create(&world::netns_path("foreign")).expect("the name is free");
    let port = Port {
        bridge: "cni0".into(),
        host_link: "veth1".into(),
        link: "eth0".into(),
        address,
        prefix_len,
        gateway: Some(gateway),
    };
    let join = || {
        let mut netlink = Netlink::open()?;
        netlink.make_underlay(&port.bridge, gateway, prefix_len)?;
        netlink.join_underlay(&netns, &port)
    };
    lab.in_node(join).expect("joined");
    let mut plan = tunnelled(&lab);
    plan.podnet.local_pods.insert(address, pod_name(9));
    load(&mut lab.nft(), &plan);
    let bind = || UdpSocket::bind((address, PORT)).expect("bound");
    let pod = netns::run_in(&netns, bind).expect("entered");
    Ends::open(&lab).hear_nothing_of(&lab, &pod);
}
