//! `check` on a node that is broken on purpose, one thing after the other.

use std::process::Command;

use netns::world;
use sealane_agent::check::{CheckSettings, Expected, Verdict, check};

use crate::test_node::TestNode;

/// What is not good: what was looked at, and the object.
fn wrong(node: &TestNode) -> Vec<(Verdict, &'static str, String)> {
    let settings = CheckSettings {
        netns: Some(world::netns_path("node-a")),
        state_dir: node.state_dir().to_owned(),
        cni_config_dir: None,
        expected: Expected {
            pod_cidrs: ["10.244.0.0/16".parse().expect("a range")].into(),
            service_cidrs: ["10.96.0.0/16".parse().expect("a range")].into(),
            underlay_link: "eth0".to_owned(),
        },
    };
    let results = check(&settings).expect("looked");
    assert!(results.len() > 10, "{results:?}");
    let wrong =
        results.into_iter().filter(|result| !matches!(result.verdict, Verdict::Good | Verdict::Skipped));
    wrong.map(|result| (result.verdict, result.check, result.object)).collect()
}

fn broken(check: &'static str, object: &str) -> Vec<(Verdict, &'static str, String)> {
    vec![(Verdict::Broken, check, object.to_owned())]
}

/// Runs `nft` in the node's namespace; whether there is one.
fn nft(node: &TestNode, command: &str) -> bool {
    let run = || Command::new("nft").arg(command).status();
    match node.inside(run) {
        Ok(status) => {
            assert!(status.success(), "nft {command}");
            true
        }
        Err(_) => false,
    }
}

/// Breaks something with `spoil`, sees it named, and mends it; the agent is not there to mend it earlier.
fn named(node: &TestNode, spoil: impl Fn(), mend: impl Fn(), expected: &[(Verdict, &'static str, String)]) {
    spoil();
    assert_eq!(wrong(node), expected);
    mend();
    assert_eq!(wrong(node), broken("agent", "agent.sock"), "mended");
}

#[test]
fn each_thing_that_is_broken_is_named_and_nothing_else() {
    world::test(|| {
        let mut node = TestNode::new();
        node.start_agent();
        let neighbour = node.start_neighbour(1500);
        node.eventually("the tunnel is there", |node| {
            let plan: serde_json::Value = serde_json::from_str(&node.admin("/plan")?).ok()?;
            plan["podnet"]["vxlan"].is_object().then_some(())
        });
        node.eventually("a healthy node is all good", |node| wrong(node).is_empty().then_some(()));
        node.kill_agent();
        drop(neighbour);
        let no_agent = broken("agent", "agent.sock");
        assert_eq!(wrong(&node), no_agent);
        let and_no_agent = |more: Vec<_>| [more, no_agent.clone()].concat();
        let set = |name: &str, value: &str| {
            let path = format!("/proc/sys/net/ipv4/{name}");
            node.inside(|| std::fs::write(path, value)).expect("written");
        };
        named(
            &node,
            || set("ip_forward", "0"),
            || set("ip_forward", "1"),
            &and_no_agent(broken("forwarding", "net/ipv4/ip_forward")),
        );
        let strict = "conf/sealane-vx/rp_filter";
        named(
            &node,
            || set(strict, "1"),
            || set(strict, "2"),
            &and_no_agent(broken("reverse path", "net/ipv4/conf/sealane-vx/rp_filter")),
        );
        named(
            &node,
            || node.set_mtu("eth0", 1400),
            || node.set_mtu("eth0", 1500),
            &and_no_agent(broken("MTU", "sealane-vx")),
        );
        if nft(&node, "add table inet other") {
            let chain = "add chain inet other forward { type filter hook forward priority 0; policy drop; }";
            named(
                &node,
                || assert!(nft(&node, chain)),
                || assert!(nft(&node, "delete chain inet other forward")),
                &and_no_agent(broken("firewall", "chain inet other forward")),
            );
            let rule = "add chain inet other input { type filter hook input priority 0; }; \
                        add rule inet other input udp dport 8472 drop";
            named(
                &node,
                || assert!(nft(&node, rule)),
                || assert!(nft(&node, "delete table inet other")),
                &and_no_agent(vec![(Verdict::Warning, "firewall", "chain inet other input".to_owned())]),
            );
        } else {
            println!("sealane-skip: rules of others are named: no program `nft`");
        }
        node.route_elsewhere("10.96.7.0/24");
        let route = broken("address ranges", "route 10.96.7.0/24 dev eth0");
        assert_eq!(wrong(&node), and_no_agent(route));
    });
}
