//! Nodes and Pods as network namespaces, and traffic between them.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use netns::{Netns, run_in};
use plan::{Peer, PeerPath, PodNetwork, Report, Via, Vxlan};
use sealane_apply_netlink::Netlink;
use sealane_apply_netlink::underlay::Port;
use types::{Attachment, LinkName, Mac, NodeName, PodLink, Prefix};

const PATIENCE: Duration = Duration::from_secs(5);

/// A namespace with a name.
pub(crate) fn namespace(name: &str) -> Netns {
    Netns::create(&netns::world::netns_path(name)).expect("the name is free")
}

/// An attachment of a container called `name`.
pub(crate) fn attachment(name: &str, addresses: &[&str]) -> Attachment {
    Attachment {
        container_id: name.into(),
        ifname: "eth0".into(),
        netns: netns::world::netns_path(name).to_string_lossy().into_owned(),
        pod: None,
        addresses: addresses.iter().map(|address| address.parse().expect("an address")).collect(),
        host_link: LinkName(format!("sl{name}")),
        host_mac: Mac::derived(&format!("{name} host")),
        pod_mac: Mac::derived(&format!("{name} pod")),
        link: None,
        origin: types::LinkOrigin::Own,
        port_mappings: Vec::new(),
        bandwidth: types::Bandwidth::default(),
    }
}

/// Makes a Pod on `node`, with the ranges of its addresses (24 and 64 bits) as the node's own.
pub(crate) fn pod(node: &Netns, name: &str, addresses: &[&str]) -> Netns {
    let len = |address: IpAddr| if address.is_ipv4() { 24 } else { 64 };
    let own = |address: &&str| Prefix::new(ip(address), len(ip(address))).expect("a prefix");
    let local: Vec<_> = addresses.iter().map(own).collect();
    pod_with(node, name, addresses, &pod_link(&local))
}

/// Makes a Pod on `node` with such a link.
pub(crate) fn pod_with(node: &Netns, name: &str, addresses: &[&str], link: &PodLink) -> Netns {
    let pod = namespace(name);
    let attachment = attachment(name, addresses);
    inside(node, |netlink| netlink.attach(&pod, &attachment, link)).expect("attaches");
    pod
}

/// A large link in front of a path of 1450 bytes.
pub(crate) fn pod_link(local: &[Prefix]) -> PodLink {
    PodLink { mtu: 65_535, path_mtu: 1450, local: local.to_vec(), ..PodLink::default() }
}

/// Does something with a fresh socket in a namespace.
pub(crate) fn inside<T: Send>(netns: &Netns, action: impl FnOnce(&mut Netlink) -> T + Send) -> T {
    run_in(netns, || action(&mut Netlink::open().expect("a socket"))).expect("the namespace is there")
}

/// Writes a file under `/proc/sys/net` of a namespace.
pub(crate) fn set(netns: &Netns, name: &str, value: &str) {
    let path = format!("/proc/sys/net/{name}");
    run_in(netns, || std::fs::write(path, value))
        .expect("the namespace is there")
        .expect("the setting exists");
}

/// Sends a greeting over TCP and back; returns the source address that the server saw.
pub(crate) fn greet(client: &Netns, server: &Netns, to: &str) -> std::io::Result<IpAddr> {
    let to: IpAddr = to.parse().expect("an address");
    let listener = run_in(server, || TcpListener::bind((to, 0))).expect("the namespace is there")?;
    let address: SocketAddr = listener.local_addr()?;
    let mut stream =
        run_in(client, || TcpStream::connect_timeout(&address, PATIENCE)).expect("the namespace is there")?;
    let (mut accepted, from) = listener.accept()?;
    stream.write_all(b"hello")?;
    let mut bytes = [0; 5];
    accepted.set_read_timeout(Some(PATIENCE))?;
    accepted.read_exact(&mut bytes)?;
    assert_eq!(&bytes, b"hello");
    Ok(from.ip())
}

/// `node-a` and `node-b` on one underlay.
pub(crate) struct TwoNodes {
    pub(crate) a: Netns,
    pub(crate) b: Netns,
}

/// Makes both nodes and joins them by a bridge in the test's own namespace.
pub(crate) fn two_nodes() -> TwoNodes {
    let mut outside = Netlink::open().expect("a socket");
    let bridge = LinkName::from("underlay");
    outside.make_underlay(&bridge, ip("172.31.0.1"), 24).expect("the bridge is made");
    let mut node = |letter: &str, address: &str| {
        let node = namespace(&format!("node-{letter}"));
        let port = Port {
            bridge: bridge.clone(),
            host_link: LinkName(format!("port-{letter}")),
            link: "eth0".into(),
            address: ip(address),
            prefix_len: 24,
            gateway: Some(ip("172.31.0.1")),
        };
        outside.join_underlay(&node, &port).expect("the node is joined");
        node
    };
    TwoNodes { a: node("a", "172.31.0.11"), b: node("b", "172.31.0.12") }
}

/// Which way Pods' packets take between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Vxlan,
    Direct,
}

/// The plan of node `a` (10.244.0.0/24) or `b` (10.244.1.0/24).
pub(crate) fn plan(letter: char, way: Way) -> PodNetwork {
    let node = |letter: char| match letter {
        'a' => (ip("172.31.0.11"), range("10.244.0.0/24")),
        _ => (ip("172.31.0.12"), range("10.244.1.0/24")),
    };
    let mac = |letter: char| Mac::derived(&format!("node-{letter}"));
    let other = if letter == 'a' { 'b' } else { 'a' };
    let (underlay, own) = node(letter);
    let (peer_underlay, peer_range) = node(other);
    let path = match way {
        Way::Vxlan => {
            PeerPath { via: Via::Vxlan { address: peer_range.first(), mac: mac(other) }, mtu: 1450 }
        }
        Way::Direct => PeerPath { via: Via::Direct { nexthop: peer_underlay }, mtu: 1500 },
    };
    let vxlan = (way == Way::Vxlan).then(|| Vxlan {
        link: "sealane-vx".into(),
        vni: 4096,
        port: 8472,
        underlay,
        addresses: [own.first()].into(),
        mac: mac(letter),
        mtu: 1450,
    });
    let peer = Peer { underlay: peer_underlay, paths: [(peer_range, path)].into(), failing: None };
    PodNetwork {
        pod_cidrs: vec![own],
        vxlan,
        peers: [(NodeName::from(format!("node-{other}")), peer)].into(),
        ..PodNetwork::default()
    }
}

/// Converges once, which must not fail.
pub(crate) fn converge(node: &Netns, plan: &PodNetwork) -> usize {
    let report = try_converge(node, plan);
    assert_eq!(report.failures, []);
    report.written
}

/// Converges once.
pub(crate) fn try_converge(node: &Netns, plan: &PodNetwork) -> Report {
    inside(node, |netlink| netlink.converge(plan))
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn range(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}
