//! The tunnel's outer packets: between nodes they pass and leave no trace, and no Pod can send any.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use apply_netlink::Netlink;
use netns::world;
use plan::{LocalAddress, Peer, PeerPath, PodNetwork, Via, Vxlan};
use types::{IpFamily, Mac, Prefix};

use crate::fixture::{From, Lab, load};

const PORT: u16 = 8472;

/// The lab's plan with the outside as a peer behind the tunnel.
fn tunnelled(lab: &Lab) -> plan::NodePlan {
    let mut plan = lab.plan();
    let at = &lab.at;
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
    PodNetwork { local_addresses, ..lab.plan().podnet }
}

fn check(family: IpFamily) {
    let lab = Lab::new(family);
    load(&mut lab.nft(), &tunnelled(&lab));
    let at = &lab.at;
    let (node, peer) = (socket(&lab, From::Node, at.node), socket(&lab, From::Outside, at.outside));
    let before = tracked(&lab);
    node.send_to(b"there", (at.outside, PORT)).expect("sent");
    assert_eq!(received(&peer), ("there".to_owned(), at.node));
    peer.send_to(b"back", (at.node, PORT)).expect("sent");
    assert_eq!(received(&node), ("back".to_owned(), at.outside));
    assert_eq!(tracked(&lab), before, "the tunnel's packets are not tracked");
    // A Pod's packets do not arrive; what is sent after them does.
    let pod = socket(&lab, From::Pod(1), at.pods[0]);
    for (to, honest, receiver) in [(at.node, &peer, &node), (at.outside, &node, &peer)] {
        pod.send_to(b"a Pod's", (to, PORT)).expect("sent");
        honest.send_to(b"a node's", (to, PORT)).expect("sent");
        assert_eq!(received(receiver).0, "a node's");
    }
    // The kernel listens at every address of the node; a Pod gets to none.
    let inner = at.pod_range.first();
    lab.in_node(|| Netlink::open().map(|mut netlink| netlink.converge(&holding(&lab, inner)))).expect("open");
    let tunnel = socket(&lab, From::Node, inner);
    pod.send_to(b"a Pod's", (inner, PORT)).expect("sent");
    // On another port the same address is reached, and what was sent before has come or never will.
    let open = lab.within(From::Node, || UdpSocket::bind((inner, PORT + 1))).expect("bound");
    open.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    pod.send_to(b"hello", (inner, PORT + 1)).expect("sent");
    assert_eq!(received(&open).0, "hello");
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
