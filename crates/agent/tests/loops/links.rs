//! An agent that is told to join Pods in another way while Pods are running.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use apply_netlink::Netlink;
use netns::{Netns, run_in, world};
use types::{AgentAnswer, AgentRequest, Attachment, Mac, NetworkMode, NodeNetwork, POD_BRIDGE};

use crate::test_node::TestNode;

/// A Pod as the CNI plugin makes it, and a connection of its own to another.
fn add_pod(node: &TestNode, name: &str, last: u8) -> Netns {
    let network: NodeNetwork =
        serde_json::from_slice(&node.read_state("network.json").expect("written")).expect("JSON");
    let netns = Netns::create(&world::netns_path(name)).expect("the name is free");
    let attachment = Attachment {
        container_id: name.to_owned(),
        ifname: "eth0".into(),
        netns: String::new(),
        pod: None,
        addresses: vec![IpAddr::V4(address(last))],
        host_link: types::LinkName(format!("sl{name}")),
        host_mac: Mac::derived(&format!("{name} host")),
        pod_mac: Mac::derived(&format!("{name} pod")),
        link: Some(network.link.clone()),
        origin: types::LinkOrigin::Own,
        port_mappings: Vec::new(),
        bandwidth: types::Bandwidth::default(),
    };
    node.attach(&attachment);
    node.inside(|| Netlink::open()?.attach(&netns, &attachment, &network.link)).expect("attached");
    let request = AgentRequest::Added { container_id: name.to_owned(), ifname: "eth0".into() };
    let answer = node.ask_agent(&request);
    assert!(matches!(answer, AgentAnswer::Ready { .. }), "{answer:?}");
    netns
}

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, 0, last)
}

struct Connection(TcpStream, TcpStream);

impl Connection {
    fn open(client: &Netns, server: &Netns, to: Ipv4Addr) -> Self {
        let socket = run_in(server, || TcpListener::bind((to, 0)).expect("bound")).expect("entered");
        let to = socket.local_addr().expect("bound");
        let client = run_in(client, || TcpStream::connect_timeout(&to, Duration::from_secs(10)));
        let client = client.expect("entered").expect("connected");
        let (server, _) = socket.accept().expect("accepted");
        server.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
        Self(client, server)
    }

    fn carries(&mut self, when: &str) {
        self.0.write_all(b"?").expect(when);
        self.1.read_exact(&mut [0]).expect(when);
    }
}

fn restart(node: &mut TestNode, links: NetworkMode) {
    node.kill_agent();
    node.join_pods(links);
    node.start_agent();
    node.eventually("the plugin knows", |node| {
        let network: NodeNetwork = serde_json::from_slice(&node.read_state("network.json")?).ok()?;
        (network.link.mode == links).then_some(())
    });
    node.eventually("the Node says so", |node| {
        let object = node.node_object();
        let told = object["metadata"]["annotations"]["sealane.dev/network"].as_str()?.to_owned();
        told.contains(&format!("\"links\":\"{links}\"")).then_some(())
    });
}

#[test]
fn pods_outlive_a_change_of_how_pods_are_joined() {
    world::test(|| {
        let mut node = TestNode::new();
        node.start_agent();
        let (a, b) = (add_pod(&node, "a", 5), add_pod(&node, "b", 6));
        let mut old = Connection::open(&a, &b, address(6));
        restart(&mut node, NetworkMode::Bridge);
        old.carries("with a bridge beside");
        let (c, d) = (add_pod(&node, "c", 7), add_pod(&node, "d", 8));
        let mut both = Connection::open(&c, &a, address(5));
        let mut new = Connection::open(&d, &c, address(7));

        // No agent, and the whole network of the node goes, but for the Pods: the next agent puts it back.
        node.kill_agent();
        new.carries("without an agent");
        node.inside(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "0")).expect("a setting");
        if !node
            .inside(|| Command::new("ip").args(["link", "delete", POD_BRIDGE]).status())
            .is_ok_and(|ip| ip.success())
        {
            println!("sealane-skip: a bridge that somebody removed: no program `ip`");
        }
        node.start_agent();
        new.carries("after a restart");
        both.carries("after a restart");
        old.carries("after a restart");

        restart(&mut node, NetworkMode::Routed);
        both.carries("with routes again");
        old.carries("with routes again");
        let e = add_pod(&node, "e", 9);
        Connection::open(&e, &c, address(7)).carries("to a Pod that is still on the bridge");
        node.inside(|| Netlink::open()?.facts(&POD_BRIDGE.into())).expect("it stays for that Pod");
    });
}

/// The ranges that the plugin gives addresses from.
fn ranges(node: &TestNode) -> Option<Vec<String>> {
    let network: NodeNetwork = serde_json::from_slice(&node.read_state("network.json")?).ok()?;
    Some(network.pod_cidrs.iter().map(ToString::to_string).collect())
}

#[test]
fn a_node_gets_further_ranges_and_another_one_while_its_agent_lives() {
    world::test(|| {
        let mut node = TestNode::new();
        node.start_agent();
        let neighbour = node.start_neighbour(1500);
        let (a, b) = (add_pod(&node, "a", 5), add_pod(&node, "b", 6));
        let mut old = Connection::open(&a, &b, address(6));
        let peer_routes = |node: &TestNode| {
            let routes = node.inside(|| std::fs::read_to_string("/proc/thread-self/net/route")).ok()?;
            // 10.244.1.0, the other node's range, in the byte order of the file.
            let shown = format!("{:08X}", u32::from_ne_bytes([10, 244, 1, 0]));
            let found = routes.lines().filter(|line| line.contains(&shown)).count();
            (found == 1).then_some(())
        };
        node.eventually("the other node is reached", peer_routes);

        for wanted in [&["10.244.0.0/24", "10.244.9.0/24"][..], &["10.244.9.0/24"]] {
            node.set_pod_cidrs(wanted);
            node.eventually("the plugin knows of the ranges", |node| {
                ranges(node).filter(|ranges| ranges == wanted)
            });
            node.eventually("the plan has them", |node| {
                let plan: serde_json::Value = serde_json::from_str(&node.admin("/plan")?).ok()?;
                (plan["podnet"]["podCidrs"] == serde_json::json!(wanted)).then_some(())
            });
            let tunnel = wanted.last().and_then(|range| range.split('/').next()).expect("an address");
            node.eventually("the tunnel has its address in them", |node| {
                let held = node.inside(|| Netlink::open()?.facts(&"sealane-vx".into())).ok()?;
                held.addresses.iter().any(|(address, _)| address.to_string() == tunnel).then_some(())
            });
            old.carries("while the ranges change");
            peer_routes(&node).expect("the other node's route stays");
        }
        // Pods of the range that is gone go on, and new ones come from the other.
        let mut again = Connection::open(&a, &b, address(6));
        again.carries("between Pods of the old range");
        // Beyond the node nobody has a way back to them.
        let outside = TcpListener::bind(("172.31.0.1", 0)).expect("bound");
        let to = outside.local_addr().expect("bound");
        let leave = || TcpStream::connect_timeout(&to, Duration::from_secs(10));
        let _left = run_in(&a, leave).expect("entered").expect("answered");
        let (_, from) = outside.accept().expect("accepted");
        assert_eq!(from.ip(), IpAddr::from([172, 31, 0, 11]), "the node's address");
        drop(neighbour);
    });
}
