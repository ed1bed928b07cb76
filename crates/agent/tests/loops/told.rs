//! What a node's agent tells the cluster of the node: once, again when it changes, and again when somebody took it away.

use model::Told;
use netns::world;
use serde_json::{Value, json};
use types::{NETWORK_ANNOTATION, NodeFacts, TunnelMode};

use crate::test_node::TestNode;

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
