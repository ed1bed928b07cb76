//! ADD: results, addresses, and what becomes of a failed one.

use std::collections::BTreeSet;
use std::thread;
use std::time::Instant;

use netns::run_in;
use serde_json::json;
use types::{AgentAnswer, AgentRequest, Attachment};

use crate::node::{Node, address, call, container, pod_links};

#[test]
fn results_have_the_shape_of_their_version() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        for (index, version) in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"].into_iter().enumerate() {
            let name = format!("c{index}");
            let _netns = container(&name);
            let result = node.call("ADD", &name, &node.config(version)).ok();
            let links = result["interfaces"].clone();
            let mut host = json!({"name": links[0]["name"], "mac": links[0]["mac"]});
            let mut pod =
                json!({"name": "eth0", "mac": links[1]["mac"], "sandbox": format!("/run/netns/{name}")});
            let mut ip = json!({
                "address": format!("10.244.1.{}/32", index + 1), "gateway": "169.254.1.1", "interface": 1,
            });
            let mut default = json!({"dst": "0.0.0.0/0", "gw": "169.254.1.1"});
            if version < "1.0.0" {
                ip["version"] = json!("4");
            }
            if version == "1.1.0" {
                host["mtu"] = json!(65535);
                pod["mtu"] = json!(65535);
                default["mtu"] = json!(1450);
            }
            let wanted = json!({
                "cniVersion": version,
                "interfaces": [host, pod],
                "ips": [ip],
                "routes": [default, {"dst": "10.244.1.0/24", "gw": "169.254.1.1"}],
                "dns": {},
            });
            assert_eq!(result, wanted);
        }
    });
}

#[test]
fn the_agent_is_asked_when_everything_is_there() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        let netns = container("a");
        let result = node.add("a").ok();
        let request = AgentRequest::Added { container_id: "a".into(), ifname: "eth0".into() };
        assert_eq!(node.asked(), [request]);
        let file = std::fs::read(node.state.join("attachments/a-eth0.json")).unwrap();
        let attachment: Attachment = serde_json::from_slice(&file).unwrap();
        assert_eq!(format!("{}/32", attachment.addresses[0]), address(&result));
        assert_eq!(attachment.pod, Some(types::PodName::new("shop", "web-0")));
        assert_eq!(attachment.host_link.0, result["interfaces"][0]["name"].as_str().unwrap());
        assert_eq!(pod_links(), [attachment.host_link.0]);
        run_in(&netns, || std::net::TcpListener::bind("10.244.1.1:80").unwrap()).unwrap();
    });
}

#[test]
fn dual_stack_gives_two_addresses() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24", "fd00:10:244:1::/64"]);
        let _netns = container("a");
        let result = node.add("a").ok();
        assert_eq!(result["ips"][1]["address"], "fd00:10:244:1::1/128");
        assert_eq!(result["ips"][1]["gateway"], "fe80::1");
        assert_eq!(result["routes"][2], json!({"dst": "::/0", "gw": "fe80::1", "mtu": 1450}));
        assert_eq!(result["routes"][3], json!({"dst": "fd00:10:244:1::/64", "gw": "fe80::1"}));
    });
}

#[test]
fn fifty_at_once_get_fifty_addresses() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/26"]);
        let names: Vec<_> = (0..50).map(|n| format!("c{n}")).collect();
        let _netns: Vec<_> = names.iter().map(|name| container(name)).collect();
        let add = |name: &String| address(&node.add(name).ok()).to_owned();
        let addresses: BTreeSet<_> = thread::scope(|scope| {
            let calls: Vec<_> = names.iter().map(|name| scope.spawn(|| add(name))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        assert_eq!(addresses.len(), 50);
        thread::scope(|scope| {
            for name in &names {
                scope.spawn(|| node.del(name).ok());
            }
        });
        assert_eq!(node.attachments(), Vec::<String>::new());
        assert_eq!(pod_links(), Vec::<String>::new());
    });
}

#[test]
fn a_freed_address_is_not_given_again_at_once() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/29"]);
        let mut config = node.config("1.1.0");
        config["quarantineSeconds"] = json!(0);
        let give = |name: &str, config: &serde_json::Value| {
            let _netns = container(name);
            let given = node.call("ADD", name, config);
            node.del(name).ok();
            netns::remove(&netns::world::netns_path(name)).unwrap();
            given
        };
        let last = |result: serde_json::Value| address(&result)[9..10].to_owned();
        let given = ["a", "b", "c", "d", "e", "f", "g"].map(|name| last(give(name, &config).ok()));
        assert_eq!(given, ["1", "2", "3", "4", "5", "6", "1"]);

        // The last one rests already; then all six do, and nobody gets one before its time is up.
        let given = ["a", "b", "c", "d", "e"].map(|name| last(give(name, &node.config("1.1.0")).ok()));
        assert_eq!(given, ["2", "3", "4", "5", "6"]);
        let outcome = give("h", &node.config("1.1.0"));
        assert_eq!(outcome.code(), 11);
        assert!(outcome.json["msg"].as_str().unwrap().contains("another Pod's until just now"));
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(31);
        let freed = std::fs::File::open(node.state.join("released/10.244.1.4")).unwrap();
        freed.set_modified(long_ago).unwrap();
        assert_eq!(last(give("i", &node.config("1.1.0")).ok()), "4");
        // But who asks for an address by name gets it.
        config["quarantineSeconds"] = json!(30);
        config["runtimeConfig"] = json!({"ips": ["10.244.1.5"]});
        assert_eq!(last(give("j", &config).ok()), "5");
    });
}

#[test]
fn a_full_range_is_an_error_and_status_says_so() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/30"]);
        for name in ["a", "b"] {
            let _netns = container(name);
            node.add(name).ok();
        }
        let _netns = container("c");
        let outcome = node.add("c");
        assert_eq!(outcome.code(), 102);
        let message = outcome.json["msg"].as_str().unwrap();
        assert!(
            message.contains("no address is free in 10.244.1.1-10.244.1.2: 2 are in use, 0 were"),
            "{message}"
        );
        let status = node.call("STATUS", "", &node.config("1.1.0"));
        assert_eq!(status.code(), 50);
        assert!(status.json["msg"].as_str().unwrap().contains("10.244.1.1-10.244.1.2: 2 are in use"));
        node.del("a").ok();
        // One that rests is no address to give, and the runtime may come again.
        let outcome = node.add("c");
        assert_eq!(outcome.code(), 11);
        assert!(outcome.json["msg"].as_str().unwrap().contains("1 are in use, 1 were"), "{}", outcome.json);
        node.call("STATUS", "", &node.config("1.1.0")).ok();
        let mut config = node.config("1.1.0");
        config["quarantineSeconds"] = json!(0);
        node.call("ADD", "c", &config).ok();
    });
}

#[test]
fn a_wished_link_layer_address_is_given_or_refused() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        let mut config = node.config("1.1.0");
        config["runtimeConfig"] = json!({"mac": "0a:58:0a:f4:01:05"});
        let netns = container("a");
        let result = node.call("ADD", "a", &config).ok();
        assert_eq!(result["interfaces"][1]["mac"], "0a:58:0a:f4:01:05");
        config["prevResult"] = result;
        let seen = run_in(&netns, || {
            let mut all = nix::ifaddrs::getifaddrs().unwrap().filter(|found| found.interface_name == "eth0");
            all.find_map(|found| found.address?.as_link_addr()?.addr())
        });
        assert_eq!(seen.unwrap(), Some([0x0a, 0x58, 0x0a, 0xf4, 0x01, 0x05]));
        node.call("CHECK", "a", &config).ok();
        for mac in ["01:00:5e:00:00:01", "00:00:00:00:00:00", "0a:58", "x"] {
            let _netns = container("b");
            config["prevResult"] = json!(null);
            config["runtimeConfig"] = json!({"mac": mac});
            assert_eq!(node.call("ADD", "b", &config).code(), 7, "{mac}");
            netns::remove(&netns::world::netns_path("b")).unwrap();
        }
    });
}

#[test]
fn a_wished_address_is_given_or_refused() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        let mut config = node.config("1.1.0");
        config["runtimeConfig"] = json!({"ips": ["10.244.1.77/24"]});
        let _a = container("a");
        let _b = container("b");
        assert_eq!(address(&node.call("ADD", "a", &config).ok()), "10.244.1.77/32");
        assert_eq!(node.call("ADD", "b", &config).code(), 102);
        assert_eq!(node.attachments(), ["a-eth0.json"]);
        for (ips, wanted) in [
            (json!(["fd00::5"]), "address fd00::5 is asked for, and the node has no Pod range of its family"),
            (json!(["10.244.1.5", "10.244.1.6"]), "10.244.1.6 is asked for, and another of the same family"),
            (json!(["10.244.1"]), "runtimeConfig.ips[0]: `10.244.1` is not an address"),
        ] {
            config["runtimeConfig"] = json!({"ips": ips});
            let outcome = node.call("ADD", "b", &config);
            assert_eq!(outcome.code(), 7);
            assert!(outcome.json["msg"].as_str().unwrap().contains(wanted), "{}", outcome.json);
        }
        config["runtimeConfig"] = json!({"ips": ["10.244.2.5"]});
        let outcome = node.call("ADD", "b", &config);
        assert_eq!(outcome.code(), 102);
        assert!(outcome.json["details"].as_str().unwrap().contains("is not in 10.244.1.1-10.244.1.254"));
    });
}

#[test]
fn an_address_is_asked_for_in_the_arguments_too() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        let _netns = container("a");
        let add = |args: &str| {
            let mut environment = [
                ("CNI_COMMAND", "ADD"),
                ("CNI_CONTAINERID", "a"),
                ("CNI_NETNS", "/run/netns/a"),
                ("CNI_IFNAME", "eth0"),
                ("CNI_ARGS", args),
            ];
            let outcome = call(&environment, node.config("1.1.0").to_string().as_bytes());
            environment[0].1 = "DEL";
            call(&environment, node.config("1.1.0").to_string().as_bytes()).ok();
            outcome
        };
        assert_eq!(address(&add("IgnoreUnknown=1;IP=10.244.1.9").ok()), "10.244.1.9/32");
        let outcome = add("IP=10.244.1.x");
        assert_eq!(outcome.code(), 4);
        assert!(
            outcome.json["msg"].as_str().unwrap().contains("CNI_ARGS has IP=`10.244.1.x`"),
            "{}",
            outcome.json
        );
    });
}

#[test]
fn an_add_without_agent_is_undone() {
    netns::world::test(|| {
        let node = Node::without_agent(&["10.244.1.0/24"]);
        let netns = container("a");
        let outcome = node.add("a");
        assert_eq!(outcome.code(), 11);
        assert!(outcome.json["msg"].as_str().unwrap().contains("agent.sock"), "{}", outcome.json);
        assert_eq!(node.attachments(), Vec::<String>::new());
        assert_eq!(pod_links(), Vec::<String>::new());
        run_in(&netns, || {
            let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
            assert!(!text.contains("eth0"), "{text}");
        })
        .unwrap();
        // And the same container can be added once the agent is there.
        node.start_agent(AgentAnswer::Ready { revision: 1 });
        node.add("a").ok();
    });
}

#[test]
fn an_add_that_the_agent_refuses_is_undone() {
    netns::world::test(|| {
        let node = Node::without_agent(&["10.244.1.0/24"]);
        node.start_agent(AgentAnswer::TryLater { reason: "policy is not in the kernel yet".into() });
        let _netns = container("a");
        let outcome = node.add("a");
        assert_eq!(outcome.code(), 11);
        assert!(outcome.json["msg"].as_str().unwrap().contains("policy is not in the kernel yet"));
        assert_eq!((node.attachments(), pod_links()), (Vec::new(), Vec::new()));
    });
}

#[test]
fn a_second_add_fails_without_damage() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        let _netns = container("a");
        let result = node.add("a").ok();
        let links = pod_links();
        assert_eq!(node.add("a").code(), 100);
        // Even when the state directory forgot it.
        std::fs::remove_file(node.state.join("attachments/a-eth0.json")).unwrap();
        assert_eq!(node.add("a").code(), 101);
        assert_eq!(pod_links(), links);
        let _ = result;
    });
}

#[test]
fn an_unknown_container_is_refused() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        assert_eq!(node.add("ghost").code(), 3);
        assert_eq!((node.attachments(), pod_links()), (Vec::new(), Vec::new()));
    });
}

#[test]
fn adds_are_quick() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.0.0/16"]);
        let names: Vec<_> = (0..200).map(|n| format!("c{n}")).collect();
        let _netns: Vec<_> = names.iter().map(|name| container(name)).collect();
        let timed = |call: &dyn Fn(&str)| {
            let mut times: Vec<_> = names
                .iter()
                .map(|name| {
                    let begin = Instant::now();
                    call(name);
                    begin.elapsed()
                })
                .collect();
            times.sort();
            (times[times.len() / 2], times[times.len() * 99 / 100])
        };
        let (p50, p99) = timed(&|name| drop(node.add(name).ok()));
        println!("ADD p50 {p50:?} p99 {p99:?}");
        let (p50, p99) = timed(&|name| drop(node.del(name).ok()));
        println!("DEL p50 {p50:?} p99 {p99:?}");
    });
}
