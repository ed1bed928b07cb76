//! Pods of different nodes.

use crate::world::{Way, converge, greet, ip, plan, pod, set, two_nodes};

fn traffic_flows(way: Way) {
    let nodes = two_nodes();
    // The strictest default that a distribution ships.
    for node in [&nodes.a, &nodes.b] {
        set(node, "ipv4/conf/all/rp_filter", "0");
        set(node, "ipv4/conf/default/rp_filter", "1");
        set(node, "ipv4/conf/eth0/rp_filter", "1");
    }
    converge(&nodes.a, &plan('a', way));
    converge(&nodes.b, &plan('b', way));
    let a = pod(&nodes.a, "a", &["10.244.0.5"]);
    let b = pod(&nodes.b, "b", &["10.244.1.5"]);
    assert_eq!(greet(&a, &b, "10.244.1.5").expect("Pod to Pod"), ip("10.244.0.5"));
    assert_eq!(greet(&b, &a, "10.244.0.5").expect("and back"), ip("10.244.1.5"));
    let own = match way {
        Way::Vxlan => "10.244.0.0",
        Way::Direct => "172.31.0.11",
    };
    assert_eq!(greet(&nodes.a, &b, "10.244.1.5").expect("node to Pod"), ip(own));
    assert_eq!(greet(&a, &nodes.b, "172.31.0.12").expect("Pod to node"), ip("10.244.0.5"));
}

#[test]
fn pods_of_two_nodes_talk_through_vxlan() {
    netns::world::test(|| traffic_flows(Way::Vxlan));
}

#[test]
fn pods_of_two_nodes_talk_over_direct_routes() {
    netns::world::test(|| traffic_flows(Way::Direct));
}

#[test]
fn the_way_can_be_changed_while_pods_run() {
    netns::world::test(|| {
        let nodes = two_nodes();
        let a = pod(&nodes.a, "a", &["10.244.0.5"]);
        let b = pod(&nodes.b, "b", &["10.244.1.5"]);
        for way in [Way::Vxlan, Way::Direct, Way::Vxlan] {
            converge(&nodes.a, &plan('a', way));
            converge(&nodes.b, &plan('b', way));
            assert_eq!(greet(&a, &b, "10.244.1.5").expect("Pod to Pod"), ip("10.244.0.5"));
        }
    });
}
