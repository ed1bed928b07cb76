//! What a node's agent tells the cluster of the node: once, again when it changes, and again when somebody took it away.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use apply_netlink::Netlink;
use model::Told;
use netns::world;
use serde_json::{Value, json};
use types::{AgentRequest, Attachment, LinkName, Mac, NETWORK_ANNOTATION, NodeFacts, TunnelMode};

use crate::test_node::{NEIGHBOUR_PORT, TestNode};

fn told(node: &TestNode) -> Option<NodeFacts> {
    let text = node.node_object()["metadata"]["annotations"][NETWORK_ANNOTATION].as_str()?.to_owned();
    match Told::parse(&text) {
        Told::Facts(facts) => Some(*facts),
        other => panic!("{other:?}: {text}"),
    }
}

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().expect("a version").to_owned()
}

#[test]
fn a_node_tells_of_its_underlay_and_of_changes_but_not_of_pods() {
    world::test(|| {
        let mut node = TestNode::new();
        node.start_agent();
        let facts = node.eventually("the Node is told of", told);
        assert_eq!((facts.underlay.mtu, facts.tunnel), (1500, TunnelMode::Vxlan));
        let addresses: Vec<String> = facts.underlay.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["172.31.0.11/24"]);
        let before = version(&node.node_object());
        node.create(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "db", "namespace": "default" },
            "spec": { "nodeName": "node-a", "containers": [{ "name": "main", "image": "example" }] },
        }));
        node.set_mtu("eth0", 1400);
        let plan_mtu = |node: &TestNode| {
            let plan: Value = serde_json::from_str(&node.admin("/plan")?).ok()?;
            plan["podnet"]["link"]["pathMtu"].as_u64().filter(|mtu| *mtu == 1350)
        };
        node.eventually("the plan has the new MTU", plan_mtu);
        node.eventually("the Node is told of the new MTU", |node| {
            told(node).filter(|facts| facts.underlay.mtu == 1400)
        });
        assert_ne!(version(&node.node_object()), before);
        node.annotate(&json!({ NETWORK_ANNOTATION: null }));
        node.eventually("what was taken away is written again", told);
    });
}

/// How long two agents need to find out the size of a path, or that it is mended: a search of some seconds, and the pause
/// before a path that failed is looked at again.
const SEARCH_LIMIT: Duration = Duration::from_secs(90);

/// The size that the node's kernel holds packets to an address to.
fn route_mtu(node: &TestNode, to: IpAddr) -> Option<u32> {
    let (any, level, name): (IpAddr, _, _) = match to {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), libc::IPPROTO_IP, libc::IP_MTU),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    let socket = node.inside(|| {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((to, 9)).map(|()| socket)
    });
    let socket = socket.ok()?;
    let (mut mtu, mut len) = (0_u32, libc::socklen_t::try_from(size_of::<u32>()).expect("small"));
    // SAFETY: both values outlive the call, and the length is right.
    let done = unsafe {
        let value = (&raw mut mtu).cast();
        libc::getsockopt(socket.as_raw_fd(), level, name, value, &raw mut len)
    };
    (done == 0).then_some(mtu)
}

/// A Pod of the other node, the size that Pods send to it where the underlay carries 1500, and what passes a port of 1400.
fn narrow_path(mut node: TestNode, pod: IpAddr, (sends, passes): (u32, u32)) {
    node.start_agent();
    // A bridge drops what its port cannot take and tells nobody.
    let neighbour = node.start_neighbour(1400);
    let facts = node.within(SEARCH_LIMIT, "the narrow path is told of", |node| {
        told(node).filter(|facts| facts.paths.probed && !facts.paths.failing.is_empty())
    });
    let path = facts.paths.failing[&"node-b".into()];
    assert_eq!((path.sends, path.passes), (sends, Some(passes)));
    let held = |wanted| move |node: &TestNode| route_mtu(node, pod).filter(|mtu| *mtu == wanted);
    node.eventually("packets are held to what passes", held(passes));
    Netlink::open().expect("netlink").set_mtu(&NEIGHBOUR_PORT.into(), 1500).expect("mended");
    let facts = node.within(SEARCH_LIMIT, "the mended path is told of", |node| {
        told(node).filter(|facts| facts.paths.failing.is_empty())
    });
    assert!(facts.paths.probed);
    node.eventually("packets have their full size", held(sends));
    drop(neighbour);
}

#[test]
fn a_path_that_loses_large_packets_silently_is_found_and_told_until_it_is_mended() {
    world::test(|| narrow_path(TestNode::new(), Ipv4Addr::new(10, 244, 1, 9).into(), (1450, 1350)));
}

#[test]
fn a_path_of_ipv6_that_loses_large_packets_is_found_too() {
    world::test(|| {
        let pod = Ipv6Addr::new(0xfd00, 0x10, 0x244, 1, 0, 0, 0, 9);
        // A port has room for a VLAN tag besides, which frames without one may use.
        narrow_path(TestNode::with_ipv6(), pod.into(), (1430, 1400 + 4 - 70));
    });
}

/// The next packet that crossed the underlay, if one did: its length, and its head from the IP header on.
fn next_packet(socket: &OwnedFd) -> Option<(usize, [u8; 28])> {
    let mut head = [0_u8; 28];
    // SAFETY: the buffer outlives the call and is as long as said; with `MSG_TRUNC` the packet's own length comes back.
    let len = unsafe {
        let flags = libc::MSG_TRUNC | libc::MSG_DONTWAIT;
        libc::recv(socket.as_raw_fd(), head.as_mut_ptr().cast(), head.len(), flags)
    };
    Some((usize::try_from(len).ok()?, head))
}

#[test]
fn what_pods_forbid_to_cut_is_not_cut_in_the_tunnel_either() {
    world::test(|| {
        // A bridge takes packets before those who ask for IP alone see them.
        let protocol = i32::from(u16::try_from(libc::ETH_P_ALL).expect("16 bits").to_be());
        // SAFETY: no pointer is passed.
        let raw = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, protocol) };
        assert!(raw >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: it was just opened and belongs to nobody else.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        let mut node = TestNode::new();
        node.start_agent();
        let neighbour = node.start_neighbour(1500);
        // Both agents' probes have DF, and their answers have not: the kernel lets those be cut.
        let mut seen = [false; 2];
        node.eventually("outer packets with DF and without", |_| {
            while let Some((len, head)) = next_packet(&socket) {
                let is_tunnels = head[0] == 0x45 && head[9] == 17 && head[22..24] == 8472_u16.to_be_bytes();
                if is_tunnels && len == 1500 {
                    seen[usize::from(head[6] & 0x40 != 0)] = true;
                }
            }
            (seen == [true; 2]).then_some(())
        });
        drop(neighbour);
    });
}

fn mk_attachment(last: u8) -> Attachment {
    Attachment {
        container_id: format!("c{last}"),
        ifname: "eth0".into(),
        netns: "/run/netns/none".into(),
        pod: None,
        addresses: vec![Ipv4Addr::new(10, 244, 0, last).into()],
        host_link: format!("sl{last}").as_str().into(),
        host_mac: Mac::derived("host"),
        pod_mac: Mac::derived("pod"),
        origin: types::LinkOrigin::Own,
        port_mappings: Vec::new(),
        bandwidth: types::Bandwidth::default(),
        link: None,
    }
}

#[test]
fn a_full_range_is_told_and_taken_back_when_addresses_are_free() {
    world::test(|| {
        let mut node = TestNode::new();
        node.start_agent();
        let pool = |node: &TestNode| told(node)?.pools.first().copied();
        let empty = node.eventually("an empty range", pool);
        assert_eq!((empty.size, empty.used, empty.resting), (254, 0, 0));
        let ifname = || LinkName::from("eth0");
        for last in 1..=254 {
            node.attach(&mk_attachment(last));
            node.ask_agent(&AgentRequest::Added { container_id: format!("c{last}"), ifname: ifname() });
        }
        node.eventually("a full range", |node| pool(node).filter(|pool| pool.used == 254));
        let attachments = node.state_dir().join("attachments");
        let released = node.state_dir().join("released");
        std::fs::create_dir_all(&released).expect("directory");
        for last in 1..=100 {
            std::fs::remove_file(attachments.join(format!("c{last}-eth0.json"))).expect("removed");
            if last <= 40 {
                std::fs::write(released.join(format!("10.244.0.{last}")), "").expect("written");
            }
            node.ask_agent(&AgentRequest::Removed { container_id: format!("c{last}"), ifname: ifname() });
        }
        let freed = node.eventually("free addresses", |node| pool(node).filter(|pool| pool.used < 254));
        assert_eq!((freed.used, freed.resting), (154, 40));
    });
}
