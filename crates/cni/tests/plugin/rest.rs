//! DEL, CHECK, GC and STATUS.

use std::fs;

use apply_netlink::Netlink;
use netns::run_in;
use serde_json::json;

use crate::node::{Node, call, container, pod_links};

#[test]
fn del_needs_neither_namespace_nor_agent_nor_state() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        node.del("never-added").ok();
        for name in ["a", "b", "c"] {
            drop(container(name));
            node.add(name).ok();
        }
        netns::remove(&netns::world::netns_path("a")).unwrap();
        node.del("a").ok();
        node.del("a").ok();

        fs::remove_file(node.state.join("agent.sock")).unwrap();
        let config = node.config("1.1.0").to_string();
        let bare = [("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "b"), ("CNI_IFNAME", "eth0")];
        call(&bare, config.as_bytes()).ok();
        assert_eq!(node.attachments(), ["c-eth0.json"]);

        fs::remove_dir_all(&node.state).unwrap();
        node.del("c").ok();
        assert_eq!(pod_links(), Vec::<String>::new());
        assert!(!node.state.exists());
    });
}

#[test]
fn check_passes_after_add_and_names_what_is_gone() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        let netns = container("a");
        let result = node.add("a").ok();
        let mut config = node.config("1.1.0");
        config["prevResult"] = result.clone();
        node.call("CHECK", "a", &config).ok();

        // A later plugin may add.
        let mut more = config.clone();
        more["prevResult"]["ips"] = json!([{"address": "192.0.2.1/24"}, result["ips"][0]]);
        node.call("CHECK", "a", &more).ok();
        more["prevResult"]["ips"] = json!([{"address": "192.0.2.1/24"}]);
        assert_eq!(node.call("CHECK", "a", &more).code(), 103);

        let mut netlink = Netlink::open().unwrap();
        let link = netlink.pod_links().unwrap().remove(0);
        netlink.detach(&link).unwrap();
        let outcome = node.call("CHECK", "a", &config);
        assert_eq!(outcome.code(), 103);
        assert!(outcome.json["msg"].as_str().unwrap().contains("is missing"), "{}", outcome.json);
        node.del("a").ok();
        assert_eq!(node.call("CHECK", "a", &config).code(), 103);
        drop(netns);
    });
}

#[test]
fn check_and_status_fail_without_agent() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        let _netns = container("a");
        let mut config = node.config("1.1.0");
        config["prevResult"] = node.add("a").ok();
        node.call("STATUS", "", &node.config("1.1.0")).ok();
        fs::remove_file(node.state.join("agent.sock")).unwrap();
        assert_eq!(node.call("CHECK", "a", &config).code(), 11);
        assert_eq!(node.call("STATUS", "", &node.config("1.1.0")).code(), 50);
    });
}

#[test]
fn gc_keeps_what_is_valid_and_removes_all_else() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        for name in ["a", "b", "c"] {
            drop(container(name));
            node.add(name).ok();
        }
        // `c` has a link without a file, and there are files without a link.
        fs::remove_file(node.state.join("attachments/c-eth0.json")).unwrap();
        fs::write(node.state.join("attachments/d-eth0.json"), "{").unwrap();
        fs::write(node.state.join("attachments/e-eth0.tmp"), "{").unwrap();
        // Somebody else's link.
        let mut netlink = Netlink::open().unwrap();
        netlink.make_underlay(&"slow".into(), "192.0.2.1".parse().unwrap(), 24).unwrap();

        let mut config = node.config("1.1.0");
        config["cni.dev/valid-attachments"] = json!([{"containerID": "a", "ifname": "eth0"}]);
        node.call("GC", "", &config).ok();
        assert_eq!(node.attachments(), ["a-eth0.json"]);
        let kept = node.call("CHECK", "a", &{
            let mut config = node.config("1.1.0");
            config["prevResult"] = json!({"ips": [{"address": "10.244.1.1/32"}]});
            config
        });
        kept.ok();
        assert_eq!(pod_links().len(), 2, "{:?}", pod_links());
        node.call("GC", "", &config).ok();

        // An empty list, as libcni writes it; without any list, nothing is removed.
        assert_eq!(node.call("GC", "", &node.config("1.1.0")).code(), 7);
        assert_eq!(node.attachments(), ["a-eth0.json"]);
        config["cni.dev/valid-attachments"] = json!(null);
        node.call("GC", "", &config).ok();
        assert_eq!((node.attachments(), pod_links()), (Vec::new(), vec!["slow".to_owned()]));
    });
}

#[test]
fn pods_made_by_the_plugin_talk() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        let (a, b) = (container("a"), container("b"));
        node.add("a").ok();
        node.add("b").ok();
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        let server = run_in(&b, || std::net::TcpListener::bind("10.244.1.2:80").unwrap()).unwrap();
        let _client = run_in(&a, || std::net::TcpStream::connect("10.244.1.2:80").unwrap()).unwrap();
        assert_eq!(server.accept().unwrap().1.ip().to_string(), "10.244.1.1");
    });
}
