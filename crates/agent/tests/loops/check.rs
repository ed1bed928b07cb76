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
            ..Expected::default()
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

/// Rules of legacy iptables: none harms, one in a chain of the user's is named, and so is a policy.
fn check_legacy(node: &TestNode, program: &str, no_agent: &[(Verdict, &'static str, String)]) {
    let run = |arguments: &str| {
        let command = || Command::new(program).args(arguments.split(' ')).output();
        node.inside(command).is_ok_and(|output| output.status.success())
    };
    if !run("-N FIREWALL") {
        println!(
            "sealane-skip: rules of legacy iptables are named: {program} is not there, or not for this kernel"
        );
        return;
    }
    let chain = |chain: &str| format!("chain {program} filter {chain}");
    assert!(run("-A FIREWALL -j RETURN") && run("-A FORWARD -j FIREWALL"));
    assert_eq!(wrong(node), no_agent, "a chain that harms nobody");
    assert!(run("-A FIREWALL -p tcp --dport 9 -j DROP") && run("-A OUTPUT -j DROP"));
    let user = (Verdict::Warning, "firewall", chain("FIREWALL"));
    assert_eq!(wrong(node), [vec![user.clone()], no_agent.to_vec()].concat());
    assert!(run("-P FORWARD DROP"));
    let policy = (Verdict::Warning, "firewall", chain("FORWARD"));
    assert_eq!(wrong(node), [vec![policy, user], no_agent.to_vec()].concat());
    assert!(run("-P FORWARD ACCEPT") && run("-F") && run("-X"));
    assert_eq!(wrong(node), no_agent, "mended");
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
            let behind = "add table ip other; add chain ip other user; add chain ip other base { type filter hook forward priority 0; }; \
                          add rule ip other base tcp dport vmap { 1 : accept, 2 : jump user }; add rule ip other user counter; \
                          add rule ip other user ip daddr 192.0.2.1 reject";
            named(
                &node,
                || assert!(nft(&node, behind)),
                || assert!(nft(&node, "delete table ip other")),
                &and_no_agent(vec![(Verdict::Warning, "firewall", "chain ip other user".to_owned())]),
            );
        } else {
            println!("sealane-skip: rules of others are named: no program `nft`");
        }
        for program in ["iptables-legacy", "ip6tables-legacy"] {
            check_legacy(&node, program, &no_agent);
        }
        node.route_elsewhere("10.96.7.0/24");
        let route = broken("address ranges", "route 10.96.7.0/24 dev eth0");
        assert_eq!(wrong(&node), and_no_agent(route));
    });
}
