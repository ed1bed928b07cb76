//! The same plugin where Pods are ports of the node's bridge.

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::thread;

use apply_netlink::Netlink;
use netns::run_in;
use serde_json::json;
use types::NetworkMode;

use crate::node::{Node, address, container, pod_links};

const RANGES: [&str; 2] = ["10.244.1.0/24", "fd00:10:244:1::/64"];

fn node() -> Node {
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    Node::joining(&RANGES, NetworkMode::Bridge)
}

/// What an agent would write if it looked now.
fn written(node: &Node) -> usize {
    let report = Netlink::open().unwrap().converge(&node.plan(&RANGES));
    assert_eq!(report.failures, []);
    report.written
}

#[test]
fn pods_come_talk_and_go() {
    netns::world::test(|| {
        let node = node();
        let (a, b) = (container("a"), container("b"));
        let result = node.add("a").ok();
        // To a container runtime it is the same as a routed link.
        assert_eq!(result["ips"][0]["gateway"], "169.254.1.1");
        assert_eq!(result["routes"][0], json!({"dst": "0.0.0.0/0", "gw": "169.254.1.1", "mtu": 1450}));
        node.add("b").ok();
        assert_eq!(written(&node), 0, "ADD made all there is");
        let server = run_in(&b, || TcpListener::bind("10.244.1.2:80").unwrap()).unwrap();
        let _client = run_in(&a, || TcpStream::connect("10.244.1.2:80").unwrap()).unwrap();
        assert_eq!(server.accept().unwrap().1.ip().to_string(), "10.244.1.1");

        let mut config = node.config("1.1.0");
        config["prevResult"] = result;
        node.call("CHECK", "a", &config).ok();
        config["cni.dev/valid-attachments"] = json!([{"containerID": "a", "ifname": "eth0"}]);
        node.call("GC", "", &config).ok();
        assert_eq!((node.attachments(), written(&node)), (vec!["a-eth0.json".to_owned()], 0));
        let link = Netlink::open().unwrap().pod_links().unwrap().remove(0);
        Netlink::open().unwrap().detach(&link).unwrap();
        assert_eq!(node.call("CHECK", "a", &config).code(), 103);
        node.del("a").ok();
        node.del("a").ok();
        assert_eq!((node.attachments(), pod_links(), written(&node)), (Vec::new(), Vec::new(), 0));
    });
}

#[test]
fn an_add_without_the_bridge_may_be_tried_again() {
    netns::world::test(|| {
        let node = node();
        let _netns = container("a");
        Netlink::open().unwrap().converge(&plan::PodNetwork::default());
        let outcome = node.add("a");
        assert_eq!(outcome.code(), 11);
        assert!(
            outcome.json["msg"].as_str().unwrap().contains("bridge sealane-br is not there"),
            "{}",
            outcome.json
        );
        assert_eq!((node.attachments(), pod_links()), (Vec::new(), Vec::new()));
        assert!(written(&node) > 0);
        node.add("a").ok();
    });
}

#[test]
fn fifty_pods_at_once_get_fifty_ports() {
    netns::world::test(|| {
        let node = node();
        let names: Vec<String> = (0..50).map(|number| format!("c{number}")).collect();
        let _netns: Vec<_> = names.iter().map(|name| container(name)).collect();
        let given: BTreeSet<String> = thread::scope(|scope| {
            let adds: Vec<_> =
                names.iter().map(|name| scope.spawn(|| address(&node.add(name).ok()).to_owned())).collect();
            adds.into_iter().map(|add| add.join().unwrap()).collect()
        });
        assert_eq!((given.len(), written(&node)), (50, 0));
    });
}
