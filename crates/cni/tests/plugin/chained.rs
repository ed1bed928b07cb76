//! Behind a plugin that made the Pod's link: only the agent hears of it.

use std::fs;

use apply_netlink::Netlink;
use netns::{Netns, run_in};
use serde_json::{Value, json};
use types::{AgentRequest, Attachment, LinkOrigin};

use crate::node::{Node, call, container, join_elsewhere, pod_links};

/// What another plugin did: a link of its own making, and its result.
fn previous(node: &Node, name: &str, address: &str) -> (Netns, Value) {
    let netns = container(name);
    // A Pod's link as good as any, and then no longer ours.
    let other = Node::beside(node, &format!("{address}/29"));
    let path = format!("/run/netns/{name}");
    let add =
        [("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "other"), ("CNI_NETNS", &path), ("CNI_IFNAME", "eth0")];
    call(&add, other.config("1.1.0").to_string().as_bytes()).ok();
    fs::remove_dir_all(other.state.join("attachments")).unwrap();
    let mut netlink = Netlink::open().unwrap();
    let link = netlink.pod_links().unwrap().pop().unwrap();
    let facts = run_in(&netns, || Netlink::open().unwrap().facts(&"eth0".into()).unwrap()).unwrap();
    let result = json!({
        "cniVersion": "1.1.0",
        "interfaces": [{"name": link}, {"name": "eth0", "sandbox": format!("/run/netns/{name}"), "futureKey": 1}],
        "ips": [{"address": format!("{}/29", facts.addresses[0].0), "interface": 1}],
        "dns": {"nameservers": ["192.0.2.53"]},
    });
    (netns, result)
}

fn behind(node: &Node, result: &Value) -> Value {
    let mut config = node.config("1.1.0");
    config["prevResult"] = result.clone();
    config
}

#[test]
fn the_pod_is_registered_and_the_result_is_passed_on() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        let (_netns, result) = previous(&node, "a", "192.0.2.0");
        let links = pod_links();
        let config = behind(&node, &result);
        assert_eq!(node.call("ADD", "a", &config).ok(), result);
        let request = AgentRequest::Added { container_id: "a".into(), ifname: "eth0".into() };
        assert_eq!(node.asked(), [request]);
        let file = fs::read(node.state.join("attachments/a-eth0.json")).unwrap();
        let attachment: Attachment = serde_json::from_slice(&file).unwrap();
        assert_eq!(attachment.origin, LinkOrigin::Previous);
        assert_eq!(attachment.addresses, ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
        assert_eq!(attachment.host_link.0, result["interfaces"][0]["name"].as_str().unwrap());

        node.call("CHECK", "a", &config).ok();
        assert_eq!(node.call("ADD", "a", &config).code(), 100);
        let mut valid = node.config("1.1.0");
        valid["cni.dev/valid-attachments"] = json!([{"containerID": "a", "ifname": "eth0"}]);
        node.call("DEL", "b", &config).ok();
        assert_eq!(node.attachments(), ["a-eth0.json"]);

        // Only our note goes; the link is another's, and so is the address's rest.
        node.call("DEL", "a", &config).ok();
        node.call("DEL", "a", &config).ok();
        assert_eq!((node.attachments(), pod_links()), (Vec::new(), links));
        assert!(!node.state.join("released").exists());
        assert_eq!(node.call("CHECK", "a", &config).code(), 103);
    });
}

#[test]
fn gc_forgets_what_is_not_valid_and_leaves_the_link() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        let (_netns, result) = previous(&node, "a", "192.0.2.0");
        // Kept in a link that does not look like one of ours.
        let address = "192.0.2.9".parse().unwrap();
        Netlink::open().unwrap().make_underlay(&"cni0".into(), address, 29).unwrap();
        let mut foreign = result;
        foreign["interfaces"][0]["name"] = json!("cni0");
        node.call("ADD", "a", &behind(&node, &foreign)).ok();
        let mut config = node.config("1.1.0");
        config["cni.dev/valid-attachments"] = json!([{"containerID": "a", "ifname": "eth0"}]);
        node.call("GC", "", &config).ok();
        assert_eq!(node.attachments(), ["a-eth0.json"]);
        config["cni.dev/valid-attachments"] = json!([]);
        node.call("GC", "", &config).ok();
        assert_eq!(node.attachments(), Vec::<String>::new());
        Netlink::open().unwrap().facts(&"cni0".into()).unwrap();
    });
}

#[test]
fn what_cannot_be_used_is_refused_and_leaves_nothing() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        let (_netns, result) = previous(&node, "a", "192.0.2.0");
        let refuse = |config: Value, code: u64, wanted: &str| {
            let outcome = node.call("ADD", "a", &config);
            assert_eq!(outcome.code(), code, "{}", outcome.json);
            let message = outcome.json["msg"].as_str().unwrap();
            assert!(message.contains(wanted), "{message}");
            assert_eq!(node.attachments(), Vec::<String>::new());
        };
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut result = result.clone();
            change(&mut result);
            behind(&node, &result)
        };
        let host = result["interfaces"][0].clone();
        refuse(
            changed(&|result| result["interfaces"] = json!([host])),
            7,
            "prevResult.interfaces: none is eth0",
        );
        refuse(
            changed(&|result| drop(result["interfaces"].as_array_mut().unwrap().remove(0))),
            7,
            "none is on the node's side of eth0",
        );
        refuse(changed(&|result| result["ips"] = json!([])), 7, "prevResult.ips: none belongs to eth0");
        refuse(changed(&|result| result["ips"] = json!({})), 6, "cannot decode prevResult");
        refuse(
            changed(&|result| result["ips"][0]["address"] = json!("192.0.2.6/29")),
            7,
            "prevResult is not true: the Pod does not have address 192.0.2.6",
        );
        refuse(
            changed(&|result| result["interfaces"][0]["name"] = json!("veth9")),
            7,
            "prevResult is not true: link veth9 of the node is missing",
        );
        for (field, value) in [
            ("ips", json!(["10.244.1.5"])),
            ("mac", json!("0a:58:0a:f4:01:05")),
            ("bandwidth", json!({"ingressRate": 8_000_000, "ingressBurst": 8_000_000})),
        ] {
            let mut config = behind(&node, &result);
            config["runtimeConfig"] = json!({field: value});
            refuse(config, 2, &format!("field `runtimeConfig.{field}` is not supported"));
        }
        // A broken one keeps nobody from going.
        node.call("DEL", "a", &changed(&|result| result["ips"] = json!({}))).ok();
    });
}

#[test]
fn an_address_that_came_back_is_registered_for_its_new_pod() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        let (_netns, result) = previous(&node, "a", "192.0.2.0");
        node.call("ADD", "a", &behind(&node, &result)).ok();
        // The runtime lost `a`; the other plugin has freed the address.
        let netns = netns::world::netns_path("a");
        let environment = [
            ("CNI_COMMAND", "ADD"),
            ("CNI_CONTAINERID", "b"),
            ("CNI_NETNS", netns.to_str().unwrap()),
            ("CNI_IFNAME", "eth0"),
        ];
        call(&environment, behind(&node, &result).to_string().as_bytes()).ok();
        assert_eq!(node.attachments(), ["b-eth0.json"]);
    });
}

#[test]
fn status_behind_another_plugin_asks_for_rules_and_for_no_pod_range() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        // As on a Node that has no podCIDR.
        fs::remove_file(node.state.join("network.json")).unwrap();
        let mut config = node.config("1.1.0");
        assert_eq!(node.call("STATUS", "", &config).code(), 50);
        config["chained"] = json!(true);
        node.call("STATUS", "", &config).ok();
        assert_eq!(node.asked(), [AgentRequest::ChainedStatus]);

        let netns = container("a");
        let alone = node.call("ADD", "a", &config);
        assert_eq!(alone.code(), 7);
        assert!(alone.json["msg"].as_str().unwrap().contains("prevResult is missing"), "{}", alone.json);
        config["prevResult"] = join_elsewhere("a", &netns);
        node.call("ADD", "a", &config).ok();
        node.call("CHECK", "a", &config).ok();

        fs::remove_file(node.state.join("agent.sock")).unwrap();
        assert_eq!(node.call("STATUS", "", &config).code(), 50);
    });
}
