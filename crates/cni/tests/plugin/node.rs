//! A node: a state directory, an agent that answers as told, and the runtime's calls.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use apply_netlink::Netlink;
use apply_netlink::underlay::Port;
use netns::Netns;
use plan::{BridgePort, PodBridge, PodNetwork};
use serde_json::{Value, json};
use types::{AgentAnswer, AgentRequest, Attachment, NetworkMode, POD_BRIDGE, Prefix, pod_bridge_mac};

/// Bridge and port that another plugin makes.
pub(crate) const FOREIGN: [&str; 2] = ["cni0", "veth1"];

/// The node that is the test's own namespace.
pub(crate) struct Node {
    pub(crate) state: PathBuf,
    asked: Arc<Mutex<Vec<AgentRequest>>>,
}

impl Node {
    /// A node with these Pod ranges and no agent.
    pub(crate) fn without_agent(ranges: &[&str]) -> Self {
        Self::with_links(ranges, NetworkMode::Routed)
    }

    /// A node whose Pods are joined in this way, whose agent says yes to everything.
    pub(crate) fn joining(ranges: &[&str], links: NetworkMode) -> Self {
        let node = Self::with_links(ranges, links);
        if links == NetworkMode::Bridge {
            let report = Netlink::open().expect("a socket").converge(&node.plan(ranges));
            assert_eq!(report.failures, []);
        }
        node.start_agent(AgentAnswer::Ready { revision: 7 });
        node
    }

    /// What the agent would plan of a bridge and the Pods that have a file.
    pub(crate) fn plan(&self, ranges: &[&str]) -> PodNetwork {
        let pod_cidrs: Vec<Prefix> = ranges.iter().map(|range| range.parse().expect("a range")).collect();
        let files = self.attachments().into_iter();
        let ports = files.map(|file| {
            let text = fs::read(self.state.join("attachments").join(file)).expect("readable");
            let attachment: Attachment = serde_json::from_slice(&text).expect("JSON");
            assert!(attachment.is_bridged());
            let addresses = attachment.addresses.into_iter().collect();
            (attachment.host_link, BridgePort { mac: attachment.pod_mac, addresses })
        });
        let bridge = PodBridge {
            link: POD_BRIDGE.into(),
            mac: pod_bridge_mac(),
            routes: pod_cidrs.iter().copied().collect(),
            ports: ports.collect(),
        };
        PodNetwork { pod_cidrs, bridge: Some(bridge), ..PodNetwork::default() }
    }

    fn with_links(ranges: &[&str], links: NetworkMode) -> Self {
        let state = netns::world::scratch("state");
        let network = json!({
            "podCidrs": ranges,
            "link": {"mode": links, "mtu": 65535, "pathMtu": 1450, "local": ranges},
        });
        fs::write(state.join("network.json"), network.to_string()).expect("the directory is there");
        Self { state, asked: Arc::default() }
    }

    /// Another plugin's state for the same namespace, with an agent that says yes to everything.
    pub(crate) fn beside(node: &Self, range: &str) -> Self {
        let state = node.state.join("other");
        fs::create_dir_all(&state).expect("the directory is ours");
        let network = json!({
            "podCidrs": [range],
            "link": {"mode": "routed", "mtu": 1450, "pathMtu": 1450, "local": [range]},
        });
        fs::write(state.join("network.json"), network.to_string()).expect("the directory is there");
        let other = Self { state, asked: Arc::default() };
        other.start_agent(AgentAnswer::Ready { revision: 7 });
        other
    }

    /// A node whose agent says yes to everything.
    pub(crate) fn new(ranges: &[&str]) -> Self {
        let node = Self::without_agent(ranges);
        node.start_agent(AgentAnswer::Ready { revision: 7 });
        node
    }

    /// Starts an agent that always answers this.
    pub(crate) fn start_agent(&self, answer: AgentAnswer) {
        let socket = UnixListener::bind(self.state.join("agent.sock")).expect("the name is free");
        let asked = Arc::clone(&self.asked);
        thread::spawn(move || {
            for stream in socket.incoming() {
                let mut stream = stream.expect("the socket is open");
                let mut line = String::new();
                // Whoever asked may have been killed before it did.
                if BufReader::new(&stream).read_line(&mut line).is_ok_and(|length| length == 0) {
                    continue;
                }
                asked.lock().expect("no panic").push(serde_json::from_str(&line).expect("a request"));
                // A runtime that no longer waits is its own affair.
                let _ = writeln!(stream, "{}", serde_json::to_string(&answer).expect("plain data"));
            }
        });
    }

    /// What the agent was asked so far.
    pub(crate) fn asked(&self) -> Vec<AgentRequest> {
        self.asked.lock().expect("no panic").clone()
    }

    /// The network configuration in a version of the specification.
    pub(crate) fn config(&self, version: &str) -> Value {
        json!({"cniVersion": version, "name": "cluster", "type": "sealane", "stateDir": self.state})
    }

    /// ADD for the namespace of the same name as the container.
    pub(crate) fn add(&self, container: &str) -> Outcome {
        self.call("ADD", container, &self.config("1.1.0"))
    }

    /// DEL.
    pub(crate) fn del(&self, container: &str) -> Outcome {
        self.call("DEL", container, &self.config("1.1.0"))
    }

    /// A call as kubelet's runtimes make it.
    pub(crate) fn call(&self, command: &str, container: &str, config: &Value) -> Outcome {
        let netns = netns::world::netns_path(container);
        call(
            &[
                ("CNI_COMMAND", command),
                ("CNI_CONTAINERID", container),
                ("CNI_NETNS", &netns.to_string_lossy()),
                ("CNI_IFNAME", "eth0"),
                ("CNI_PATH", "/opt/cni/bin"),
                ("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0"),
            ],
            config.to_string().as_bytes(),
        )
    }

    /// Containers that have a file.
    pub(crate) fn attachments(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.state.join("attachments")) else { return Vec::new() };
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) json: Value,
    pub(crate) status: i32,
}

impl Outcome {
    /// The document, which must be a success.
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 0, "{}", self.json);
        self.json
    }

    /// The code, which must be a failure's.
    pub(crate) fn code(&self) -> u64 {
        assert_ne!(self.status, 0, "{}", self.json);
        assert!(!self.json["msg"].as_str().expect("every failure has a message").is_empty());
        self.json["code"].as_u64().expect("every failure has a code")
    }
}

/// Any call.
pub(crate) fn call(environment: &[(&str, &str)], input: &[u8]) -> Outcome {
    let pairs = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let (text, status) = sealane_cni::run(&pairs.collect::<BTreeMap<_, _>>(), input);
    let json = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") };
    Outcome { json, status }
}

/// A container's namespace.
pub(crate) fn container(name: &str) -> Netns {
    Netns::create(&netns::world::netns_path(name)).expect("the name is free")
}

/// Joins a namespace as another plugin does, to a bridge of its own; what that one answers.
pub(crate) fn join_elsewhere(name: &str, netns: &Netns) -> Value {
    let mut netlink = Netlink::open().expect("a socket");
    netlink
        .make_underlay(&FOREIGN[0].into(), "10.88.0.1".parse().expect("an address"), 24)
        .expect("a bridge");
    let port = Port {
        bridge: FOREIGN[0].into(),
        host_link: FOREIGN[1].into(),
        link: "eth0".into(),
        address: "10.88.0.5".parse().expect("an address"),
        prefix_len: 24,
        gateway: Some("10.88.0.1".parse().expect("an address")),
    };
    netlink.join_underlay(netns, &port).expect("joined");
    json!({
        "cniVersion": "1.1.0",
        "interfaces": [
            {"name": FOREIGN[0]},
            {"name": FOREIGN[1]},
            {"name": "eth0", "sandbox": netns::world::netns_path(name)},
        ],
        "ips": [{"address": "10.88.0.5/24", "gateway": "10.88.0.1", "interface": 2}],
    })
}

/// Links of the node that belong to Pods, as the kernel lists them.
pub(crate) fn pod_links() -> Vec<String> {
    let text = fs::read_to_string(Path::new("/proc/thread-self/net/dev")).expect("/proc is mounted");
    let names = text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned());
    names.filter(|name| name.starts_with("sl")).collect()
}

/// The Pod's address in a result.
pub(crate) fn address(result: &Value) -> &str {
    result["ips"][0]["address"].as_str().expect("ADD gives an address")
}
