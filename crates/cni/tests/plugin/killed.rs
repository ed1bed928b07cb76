//! A call that is killed at any of its steps leaves nothing that DEL or GC does not remove.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use apply_netlink::Netlink;
use netns::world::{Ending, killed_at};
use netns::{Netns, run_in};
use serde_json::{Value, json};
use types::NetworkMode;

use crate::node::{FOREIGN, Node, address, call, container, join_elsewhere, pod_links};

/// More steps than any command has.
const MOST_STEPS: usize = 2000;

const RANGES: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/64"];

/// A node with two Pods that talk all the time, and the namespace `a` for a third one.
struct Bystanders {
    node: Node,
    pods: [Netns; 2],
    client: TcpStream,
    server: TcpStream,
    links: Vec<String>,
    mode: NetworkMode,
    /// The third namespace, and what the plugin before us answered about it, if there is one.
    netns: Netns,
    previous: Option<Value>,
    /// Routes and links of others, as they were.
    theirs: String,
}

impl Bystanders {
    fn new(mode: NetworkMode) -> Self {
        let node = Node::joining(&RANGES, mode);
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        let pods = ["x", "y"].map(|name| {
            let netns = container(name);
            node.add(name).ok();
            netns
        });
        let socket = run_in(&pods[1], || TcpListener::bind("10.244.0.2:80").unwrap()).unwrap();
        let client = run_in(&pods[0], || TcpStream::connect("10.244.0.2:80").unwrap()).unwrap();
        let server = socket.accept().unwrap().0;
        for end in [&client, &server] {
            end.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        }
        let (links, netns) = (pod_links(), container("a"));
        let (previous, theirs) = (None, theirs(&netns));
        Self { node, pods, client, server, links, mode, netns, previous, theirs }
    }

    /// The third namespace is joined by another plugin, and ours comes behind it.
    fn behind_another(mode: NetworkMode) -> Self {
        let mut bystanders = Self::new(mode);
        bystanders.previous = Some(join_elsewhere("a", &bystanders.netns));
        bystanders.theirs = theirs(&bystanders.netns);
        assert!(bystanders.theirs.contains("10.88.0.5"), "{}", bystanders.theirs);
        bystanders
    }

    /// The configuration of the call that is killed.
    fn config(&self) -> Value {
        let mut config = with_valid(&self.node, &["x", "y"]);
        if let Some(previous) = &self.previous {
            (config["chained"], config["prevResult"]) = (json!(true), previous.clone());
        }
        config
    }

    /// Kills the command at every step, cleans up as the runtime would in one of its two ways, and looks.
    fn kill_everywhere(&mut self, command: &str, before: impl Fn(&Node), cleanup: [&dyn Fn(&Node); 2]) {
        let config = self.config();
        let mut unfinished = 0;
        for at in 1..MOST_STEPS {
            before(&self.node);
            let ending = killed_at(at, || self.node.call(command, "a", &config).status).unwrap();
            unfinished += usize::from(pod_links() != self.links || self.node.attachments().len() > 2);
            cleanup[at % 2](&self.node);
            self.look(&format!("{command} at {at}"));
            if let Ending::Done(status) = ending {
                assert_eq!(status, 0);
                assert!(at > 5 && unfinished > 0, "{command} has no more than {at} steps");
                println!(
                    "sealane-note: {command} was killed at {} steps; {unfinished} left something",
                    at - 1
                );
                return;
            }
        }
        panic!("{command} never came to its end");
    }

    fn look(&mut self, when: &str) {
        assert_eq!(pod_links(), self.links, "{when}");
        assert_eq!(self.node.attachments(), ["x-eth0.json", "y-eth0.json"], "{when}");
        assert_eq!(theirs(&self.netns), self.theirs, "{when}");
        if self.mode == NetworkMode::Bridge {
            // The agent finds nothing to add and nothing to remove.
            let report = Netlink::open().unwrap().converge(&self.node.plan(&RANGES));
            assert_eq!((report.written, report.failures), (0, Vec::new()), "{when}");
        }
        let mut bytes = [0; 4];
        self.client.write_all(b"ping").unwrap();
        self.server.read_exact(&mut bytes).unwrap_or_else(|error| panic!("{when}: {error}"));
        self.server.write_all(b"pong").unwrap();
        self.client.read_exact(&mut bytes).unwrap_or_else(|error| panic!("{when}: {error}"));
    }
}

/// All routes of the node, and the links that another plugin has made.
fn theirs(netns: &Netns) -> String {
    let routes = fs::read_to_string("/proc/thread-self/net/route").unwrap();
    let facts = |link: &str| Netlink::open().unwrap().facts(&link.into()).map(|facts| format!("{facts:?}"));
    let on_node = FOREIGN.map(|link| facts(link).ok());
    let in_pod = run_in(netns, || facts("eth0").ok()).unwrap();
    format!("{routes}{on_node:?} {in_pod:?}")
}

fn with_valid(node: &Node, containers: &[&str]) -> Value {
    let mut config = node.config("1.1.0");
    let valid: Vec<_> =
        containers.iter().map(|name| json!({"containerID": name, "ifname": "eth0"})).collect();
    config["cni.dev/valid-attachments"] = json!(valid);
    config
}

fn gc(node: &Node) {
    node.call("GC", "", &with_valid(node, &["x", "y"])).ok();
}

fn del(node: &Node) {
    node.del("a").ok();
}

#[test]
fn an_add_killed_at_any_step_leaves_nothing_that_del_or_gc_leaves() {
    netns::world::test(|| kill_add(NetworkMode::Routed));
}

#[test]
fn on_a_bridge_an_add_killed_at_any_step_leaves_nothing_that_del_or_gc_leaves() {
    netns::world::test(|| kill_add(NetworkMode::Bridge));
}

fn kill_add(mode: NetworkMode) {
    let mut bystanders = Bystanders::new(mode);
    bystanders.kill_everywhere("ADD", |_| (), [&del, &gc]);
    // And after all that, the same container gets an address as ever.
    let result = bystanders.node.add("a").ok();
    assert!(address(&result).starts_with("10.244."), "{result}");
    drop(bystanders.pods);
}

#[test]
fn an_add_follows_a_killed_one_of_another_container_at_once() {
    netns::world::test(|| {
        let mut bystanders = Bystanders::new(NetworkMode::Routed);
        let _netns = container("b");
        let add = |node: &Node| {
            node.add("b").ok();
            node.del("b").ok();
            node.del("a").ok();
        };
        bystanders.kill_everywhere("ADD", |_| (), [&add, &add]);
    });
}

#[test]
fn a_del_killed_at_any_step_is_finished_by_another_or_by_gc() {
    netns::world::test(|| kill_del(NetworkMode::Routed));
}

#[test]
fn on_a_bridge_a_del_killed_at_any_step_is_finished_by_another_or_by_gc() {
    netns::world::test(|| kill_del(NetworkMode::Bridge));
}

fn kill_del(mode: NetworkMode) {
    let mut bystanders = Bystanders::new(mode);
    let released = bystanders.node.state.join("released");
    let add = |node: &Node| {
        node.add("a").ok();
        let _ = fs::remove_dir_all(&released);
    };
    // Both addresses rest, wherever the first DEL was broken off.
    let rests = |node: &Node| assert_eq!(fs::read_dir(node.state.join("released")).unwrap().count(), 2);
    let del = |node: &Node| {
        del(node);
        rests(node);
    };
    let gc = |node: &Node| {
        gc(node);
        rests(node);
    };
    bystanders.kill_everywhere("DEL", add, [&del, &gc]);
}

#[test]
fn a_gc_killed_at_any_step_is_finished_by_another_or_by_del() {
    netns::world::test(|| {
        let mut bystanders = Bystanders::new(NetworkMode::Routed);
        let add = |node: &Node| {
            node.add("a").ok();
            fs::write(node.state.join("attachments/d-eth0.tmp"), "{").unwrap();
        };
        let del = |node: &Node| {
            del(node);
            let _ = fs::remove_file(node.state.join("attachments/d-eth0.tmp"));
        };
        bystanders.kill_everywhere("GC", add, [&del, &gc]);
    });
}

#[test]
fn behind_another_plugin_an_add_killed_at_any_step_leaves_no_note_that_del_or_gc_leaves() {
    netns::world::test(|| {
        let mut bystanders = Bystanders::behind_another(NetworkMode::Routed);
        bystanders.kill_everywhere("ADD", |_| (), [&del, &gc]);
        let add = bystanders.config();
        assert_eq!(bystanders.node.call("ADD", "a", &add).ok()["ips"], add["prevResult"]["ips"]);
        // Nothing of all that was an address of ours that would have to rest.
        assert!(!bystanders.node.state.join("released").exists());
    });
}

#[test]
fn behind_another_plugin_a_del_killed_at_any_step_is_finished_by_another_or_by_gc() {
    netns::world::test(|| {
        let mut bystanders = Bystanders::behind_another(NetworkMode::Routed);
        let config = bystanders.config();
        let add = |node: &Node| drop(node.call("ADD", "a", &config).ok());
        bystanders.kill_everywhere("DEL", add, [&del, &gc]);
        assert!(!bystanders.node.state.join("released").exists());
    });
}

#[test]
fn behind_another_plugin_the_next_pod_gets_an_address_whose_add_was_killed() {
    netns::world::test(|| {
        let mut bystanders = Bystanders::behind_another(NetworkMode::Routed);
        let config = bystanders.config();
        // The runtime lost `a` and calls for `b`, to whom the other plugin gives the same link and address.
        let path = netns::world::netns_path("a");
        let next = |command: &str| {
            let environment = [
                ("CNI_COMMAND", command),
                ("CNI_CONTAINERID", "b"),
                ("CNI_NETNS", path.to_str().unwrap()),
                ("CNI_IFNAME", "eth0"),
            ];
            call(&environment, config.to_string().as_bytes()).ok()
        };
        let and_next = |node: &Node| {
            next("ADD");
            let noted = node.attachments().into_iter().filter(|name| name.ends_with(".json"));
            assert_eq!(noted.collect::<Vec<_>>(), ["b-eth0.json", "x-eth0.json", "y-eth0.json"]);
            next("DEL");
            del(node);
        };
        bystanders.kill_everywhere("ADD", |_| (), [&and_next, &and_next]);
    });
}
