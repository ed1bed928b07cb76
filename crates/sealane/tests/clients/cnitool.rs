//! The plugin as the CNI project's own tool calls it: every version and verb, before and behind the project's plugins.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use netns::Netns;
use serde_json::{Value, json};
use types::{NetworkMode, POD_BRIDGE, pod_bridge_mac};

use crate::tools;

const VERSIONS: [&str; 4] = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// A node whose agent says yes to everything, and the tool.
struct Node {
    tool: PathBuf,
    /// Folders of plugins.
    path: String,
}

/// Where our plugin stands in the list.
#[derive(Clone, Copy, Debug)]
enum Place {
    Alone,
    /// With `portmap`, `bandwidth` and `tuning` behind.
    First,
    /// Behind `ptp` or `bridge`, which have `host-local` give the address.
    Behind(&'static str),
}

impl Node {
    fn new(test: &str, ranges: &[&str]) -> Option<Self> {
        Self::joining(test, ranges, NetworkMode::Routed)
    }

    fn joining(test: &str, ranges: &[&str], links: NetworkMode) -> Option<Self> {
        let tool = tools::find(test, "cnitool")?;
        let plugins = tools::find(test, "cni/portmap")?.parent().unwrap().to_owned();
        // The tool keeps its cache there, and `host-local` what it gave out.
        netns::world::mount_tmpfs(Path::new("/var/lib")).unwrap();
        let own = netns::world::scratch("bin");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_sealane"), own.join("sealane")).unwrap();
        let state = netns::world::scratch("state");
        let network = json!({
            "podCidrs": ranges,
            "link": {"mode": links, "mtu": 1450, "pathMtu": 1450, "local": ranges},
        });
        fs::write(state.join("network.json"), network.to_string()).unwrap();
        if links == NetworkMode::Bridge {
            tools::of_this_machine(test, "ip", &["-V"])?;
            make_bridge(ranges);
        }
        let socket = UnixListener::bind(state.join("agent.sock")).unwrap();
        thread::spawn(move || {
            for mut stream in socket.incoming().flatten() {
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                drop(writeln!(stream, r#"{{"ready": {{"revision": 1}}}}"#));
            }
        });
        Some(Self { tool, path: format!("{}:{}", own.display(), plugins.display()) })
    }

    fn configure(&self, version: &str, place: Place) {
        let state = netns::world::scratch("state");
        let sealane =
            |capabilities: Value| json!({"type": "sealane", "stateDir": state, "capabilities": capabilities});
        let local = json!({"type": "host-local", "dataDir": "/var/lib/ipam", "ranges": [[{"subnet": "10.88.0.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}]});
        let all = json!({"portMappings": true, "bandwidth": true, "ips": true});
        let plugins = match place {
            Place::Alone => json!([sealane(all)]),
            Place::First => json!([
                sealane(json!({"ips": true})),
                {"type": "portmap", "backend": "nftables", "capabilities": {"portMappings": true}},
                {"type": "bandwidth", "capabilities": {"bandwidth": true}},
                {"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}},
            ]),
            Place::Behind(plugin) => json!([
                {"type": plugin, "bridge": "cni0", "isGateway": true, "ipam": local},
                sealane(json!({"portMappings": true})),
            ]),
        };
        let list = json!({"cniVersion": version, "name": "cluster", "plugins": plugins});
        let folder = netns::world::scratch("net.d");
        fs::write(folder.join("10-cluster.conflist"), list.to_string()).unwrap();
    }

    /// What the tool prints; an error with its words.
    fn call(&self, verb: &str, container: &str) -> Result<Value, String> {
        let mut command = Command::new(&self.tool);
        command.args([verb, "cluster"]).arg(netns::world::netns_path(container));
        command.env("CNI_PATH", &self.path).env("NETCONFPATH", netns::world::scratch("net.d"));
        let wishes = json!({
            "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}],
            "bandwidth": {"ingressRate": 8_000_000, "ingressBurst": 8_000_000, "egressRate": 8_000_000,
                "egressBurst": 8_000_000},
        });
        if ["a", "dual"].contains(&container) {
            command.env("CAP_ARGS", wishes.to_string());
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}

/// As an agent makes it.
fn make_bridge(ranges: &[&str]) {
    let ip = |arguments: String| {
        let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
        assert!(status.success(), "ip {arguments}");
    };
    ip(format!("link add {POD_BRIDGE} address {} type bridge", pod_bridge_mac()));
    ip(format!("link set {POD_BRIDGE} alias sealane up"));
    ranges.iter().for_each(|range| ip(format!("route add {range} dev {POD_BRIDGE} proto 94")));
}

fn attachments() -> Vec<Value> {
    let Ok(entries) = fs::read_dir(netns::world::scratch("state").join("attachments")) else {
        return Vec::new();
    };
    let read = |path: PathBuf| serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    entries.map(|entry| read(entry.unwrap().path())).collect()
}

fn pod_links() -> usize {
    let text = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    text.lines().filter(|line| line.trim_start().starts_with("sl")).count()
}

/// One round of every verb.
fn round(node: &Node, version: &str, place: Place) {
    let when = format!("{version} {place:?}");
    let call = |verb: &str| node.call(verb, "a").unwrap_or_else(|error| panic!("{when} {verb}: {error}"));
    node.configure(version, place);
    call("status");
    let result = call("add");
    assert_eq!(result["cniVersion"], version, "{when}: {result}");
    let address = result["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap().to_owned();
    let range = if matches!(place, Place::Behind(_)) { "10.88.0." } else { "10.244.1." };
    assert!(address.starts_with(range), "{when}: {result}");
    let noted = attachments();
    assert_eq!((noted.len(), &noted[0]["addresses"]), (1, &json!([address])), "{when}");
    let port = if matches!(place, Place::First) { Value::Null } else { json!(8080) };
    assert_eq!(noted[0]["portMappings"][0]["hostPort"], port, "{when}");
    match (version, node.call("check", "a")) {
        ("0.3.1", Err(error)) => assert!(error.contains("does not support the CHECK command"), "{error}"),
        (_, result) => drop(result.unwrap_or_else(|error| panic!("{when} check: {error}"))),
    }
    call("del");
    call("del");
    assert_eq!((attachments().len(), pod_links()), (0, 0), "{when}");
    // The tool knows of no valid attachment and calls DEL for the one it has made; then it asks for GC without the list
    // of valid ones, which to take for an empty one would remove every Pod. Before 1.1.0 there is no GC.
    call("add");
    match (version, node.call("gc", "a")) {
        ("1.1.0", Err(error)) => {
            assert!(error.contains("cni.dev/valid-attachments is required for GC"), "{when}: {error}");
        }
        (_, result) => assert!(version != "1.1.0" && result.is_ok(), "{when}: {result:?}"),
    }
    if version == "1.1.0" {
        assert_eq!((attachments().len(), pod_links()), (0, 0), "{when}");
    }
    call("del");
    assert_eq!((attachments().len(), pod_links()), (0, 0), "{when}");
}

#[test]
fn every_version_and_verb_passes_alone_and_in_chains() {
    let test = "every_version_and_verb_passes_alone_and_in_chains";
    netns::world::test(|| every_version(test, NetworkMode::Routed));
}

#[test]
fn every_version_and_verb_passes_on_a_bridge() {
    let test = "every_version_and_verb_passes_on_a_bridge";
    netns::world::test(|| every_version(test, NetworkMode::Bridge));
}

fn every_version(test: &str, links: NetworkMode) {
    let Some(node) = Node::joining(test, &["10.244.1.0/24"], links) else { return };
    let _netns = Netns::create(&netns::world::netns_path("a")).unwrap();
    let mut places = vec![Place::Alone, Place::Behind("ptp"), Place::Behind("bridge")];
    if tools::of_this_machine(test, "nft", &["--version"]).is_some() {
        places.push(Place::First);
    }
    for place in places {
        VERSIONS.iter().for_each(|version| round(&node, version, place));
    }
}

#[test]
fn fifty_calls_of_the_tool_at_once_get_fifty_addresses() {
    netns::world::test(|| {
        let test = "fifty_calls_of_the_tool_at_once_get_fifty_addresses";
        let Some(node) = Node::new(test, &["10.244.1.0/24"]) else { return };
        node.configure("1.1.0", Place::Alone);
        let names: Vec<_> = (0..50).map(|n| format!("c{n}")).collect();
        let _netns: Vec<_> =
            names.iter().map(|name| Netns::create(&netns::world::netns_path(name)).unwrap()).collect();
        let add =
            |name: &String| node.call("add", name).unwrap()["ips"][0]["address"].as_str().unwrap().to_owned();
        let addresses: BTreeSet<String> = thread::scope(|scope| {
            let calls: Vec<_> = names.iter().map(|name| scope.spawn(move || add(name))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        assert_eq!((addresses.len(), attachments().len()), (50, 50));
        thread::scope(|scope| {
            names.iter().for_each(|name| drop(scope.spawn(|| node.call("del", name).unwrap())));
        });
        assert_eq!((attachments().len(), pod_links()), (0, 0));
    });
}

#[test]
fn the_tool_gets_two_addresses_of_a_dual_stack_node() {
    netns::world::test(|| {
        let test = "the_tool_gets_two_addresses_of_a_dual_stack_node";
        let Some(node) = Node::new(test, &["10.244.1.0/24", "fd00:10:244:1::/64"]) else { return };
        node.configure("1.1.0", Place::Alone);
        let _netns = Netns::create(&netns::world::netns_path("dual")).unwrap();
        let result = node.call("add", "dual").unwrap();
        assert_eq!(result["ips"][0]["address"], "10.244.1.1/32");
        assert_eq!(result["ips"][1]["address"], "fd00:10:244:1::1/128");
        node.call("check", "dual").unwrap();
        node.call("del", "dual").unwrap();
        assert_eq!((attachments().len(), pod_links()), (0, 0));
    });
}
