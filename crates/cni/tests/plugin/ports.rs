//! Capability `portMappings`: noted for the agent, refused when somebody has the port.

use std::fs;

use serde_json::{Value, json};
use types::{AgentAnswer, Attachment};

use crate::node::{Node, container, pod_links};

fn with_ports(node: &Node, mappings: Value) -> Value {
    let mut config = node.config("1.1.0");
    config["runtimeConfig"] = json!({"portMappings": mappings});
    config
}

#[test]
fn ports_are_noted_where_the_agent_finds_them() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        let _netns = container("a");
        let mapping = json!({"hostPort": 8080, "containerPort": 80, "protocol": "tcp"});
        node.call("ADD", "a", &with_ports(&node, json!([mapping]))).ok();
        let file = fs::read(node.state.join("attachments/a-eth0.json")).unwrap();
        let attachment: Attachment = serde_json::from_slice(&file).unwrap();
        assert_eq!(attachment.port_mappings.len(), 1);
        assert_eq!(attachment.port_mappings[0].host_port.number(), 8080);
        // DEL gets the same configuration, and needs none of it.
        node.call("DEL", "a", &with_ports(&node, json!([{"hostPort": -1}]))).ok();
        assert_eq!(node.attachments(), Vec::<String>::new());
    });
}

#[test]
fn a_taken_port_is_refused_with_the_name_of_its_owner() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        let _netns = ["a", "b"].map(container);
        let port = |host_ip: &str, protocol: &str| {
            let mapping =
                json!({"hostPort": 8080, "containerPort": 80, "protocol": protocol, "hostIP": host_ip});
            with_ports(&node, json!([mapping]))
        };
        node.call("ADD", "a", &port("192.0.2.1", "tcp")).ok();
        for host_ip in ["", "192.0.2.1"] {
            let outcome = node.call("ADD", "b", &port(host_ip, "tcp"));
            assert_eq!(outcome.code(), 105);
            assert_eq!(
                outcome.json["msg"],
                "runtimeConfig.portMappings[0].hostPort: 8080/TCP already belongs to Pod shop/web-0 (container a)"
            );
        }
        assert_eq!((node.attachments().len(), pod_links().len()), (1, 1));
        node.call("ADD", "b", &port("", "udp")).ok();
        node.del("b").ok();
        node.call("ADD", "b", &port("192.0.2.2", "tcp")).ok();
        node.del("a").ok();
        node.del("b").ok();
        node.call("ADD", "b", &port("", "tcp")).ok();
    });
}

#[test]
fn what_the_agent_refuses_is_an_error_and_undone() {
    netns::world::test(|| {
        let node = Node::without_agent(&["10.244.1.0/24"]);
        let reason =
            "runtimeConfig.portMappings[0].hostPort: 80/TCP already belongs to Service shop/web".to_owned();
        node.start_agent(AgentAnswer::Refused { reason: reason.clone() });
        let _netns = container("a");
        let outcome =
            node.call("ADD", "a", &with_ports(&node, json!([{"hostPort": 80, "containerPort": 80}])));
        assert_eq!((outcome.code(), &outcome.json["msg"]), (105, &json!(reason)));
        assert_eq!((node.attachments(), pod_links()), (Vec::new(), Vec::new()));
    });
}

#[test]
fn a_wrong_port_is_named_with_its_field() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        let _netns = container("a");
        let outcome =
            node.call("ADD", "a", &with_ports(&node, json!([{"hostPort": 80, "containerPort": 0}])));
        assert_eq!(outcome.code(), 7);
        let message = outcome.json["msg"].as_str().unwrap();
        assert!(
            message.contains("runtimeConfig.portMappings[0].containerPort: 0 is not a port"),
            "{message}"
        );
        assert_eq!(node.attachments(), Vec::<String>::new());
    });
}
