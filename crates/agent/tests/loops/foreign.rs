//! Pods on links of another plugin, with ours behind it: policies hold for real packets.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use apply_netlink::Netlink;
use apply_netlink::underlay::Port;
use netns::{Netns, run_in, world};
use serde_json::{Value, json};
use types::IpFamily;

use crate::test_node::TestNode;

const PORT: u16 = 8080;
/// Where Debian has the CNI project's plugins.
const PLUGINS: &str = "/usr/lib/cni";
/// How long a client waits: all is on one machine, and what is dropped must be told from what is slow.
const PATIENCE: Duration = Duration::from_millis(700);

/// The plugin that makes the links.
#[derive(Clone, Copy, Debug)]
enum Other {
    /// A bridge per Pod, made by hand.
    Bridges(IpFamily),
    /// The CNI project's `ptp` and `host-local`, with addresses of both families.
    Ptp,
}

/// A Pod that another plugin has joined and ours has registered, with a server.
struct ForeignPod {
    netns: Netns,
    addresses: Vec<IpAddr>,
    _servers: Vec<TcpListener>,
}

impl Other {
    /// Joins a namespace to the node, and answers as a plugin does.
    fn join(self, node: &TestNode, name: &str, index: u8, netns: &Netns) -> Value {
        match self {
            Self::Bridges(family) => {
                let (gateway, address, prefix_len) = match family {
                    IpFamily::V4 => (format!("10.88.{index}.1"), format!("10.88.{index}.5"), 24),
                    IpFamily::V6 => (format!("fd88:0:0:{index}::1"), format!("fd88:0:0:{index}::5"), 64),
                };
                let (bridge, host_link) = (format!("cni{index}"), format!("veth{index}"));
                let gateway: IpAddr = gateway.parse().expect("an address");
                let port = Port {
                    bridge: types::LinkName(bridge.clone()),
                    host_link: types::LinkName(host_link.clone()),
                    link: "eth0".into(),
                    address: address.parse().expect("an address"),
                    prefix_len,
                    gateway: Some(gateway),
                };
                let join = || {
                    let mut netlink = Netlink::open()?;
                    netlink.make_underlay(&port.bridge, gateway, prefix_len)?;
                    netlink.join_underlay(netns, &port)
                };
                node.inside(join).expect("joined");
                // As the plugins `bridge` and `ptp` do; where the node has no Pod range, we do not.
                let setting = match family {
                    IpFamily::V4 => "/proc/sys/net/ipv4/ip_forward",
                    IpFamily::V6 => "/proc/sys/net/ipv6/conf/all/forwarding",
                };
                node.inside(|| std::fs::write(setting, "1")).expect("a setting");
                json!({
                    "cniVersion": "1.0.0",
                    "interfaces": [
                        {"name": bridge},
                        {"name": host_link},
                        {"name": "eth0", "sandbox": world::netns_path(name)},
                    ],
                    "ips": [{"address": format!("{address}/{prefix_len}"), "interface": 2}],
                })
            }
            Self::Ptp => {
                let config = json!({
                    "cniVersion": "1.0.0", "name": "other", "type": "ptp",
                    "ipam": {
                        "type": "host-local", "dataDir": world::scratch("ipam"),
                        "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd88::/64"}]],
                        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
                    },
                });
                let mut plugin = Command::new(Path::new(PLUGINS).join("ptp"));
                plugin.envs(environment("ADD", name)).stdin(Stdio::piped()).stdout(Stdio::piped());
                let output = node.inside(|| {
                    let mut plugin = plugin.spawn()?;
                    plugin.stdin.take().expect("piped").write_all(config.to_string().as_bytes())?;
                    plugin.wait_with_output()
                });
                let output = output.expect("the plugin runs");
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(output.status.success(), "{text}");
                serde_json::from_str(&text).expect("JSON")
            }
        }
    }

    /// A Pod of the API, and the whole list of plugins for it.
    fn add(self, node: &TestNode, name: &str, index: u8) -> ForeignPod {
        node.create(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
            "spec": {"nodeName": "node-a", "containers": [{"name": "main", "image": "example"}]},
        }));
        let netns = Netns::create(&world::netns_path(name)).expect("the name is free");
        let result = self.join(node, name, index, &netns);
        let addresses: Vec<IpAddr> = result["ips"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|ip| {
                let text = ip["address"].as_str().expect("an address");
                text.split('/').next().expect("an address").parse().expect("an address")
            })
            .collect();
        let config = json!({
            "cniVersion": "1.0.0", "name": "other", "type": "sealane", "chained": true,
            "stateDir": node.state_dir(), "prevResult": result,
        });
        let call = || cni::run(&environment("ADD", name), config.to_string().as_bytes());
        let (text, status) = node.inside(call);
        assert_eq!(status, 0, "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), result, "handed on as it came");
        let listen = |address: &IpAddr| TcpListener::bind((*address, PORT)).expect("bound");
        let servers = run_in(&netns, || addresses.iter().map(listen).collect()).expect("entered");
        ForeignPod { netns, addresses, _servers: servers }
    }
}

fn environment(command: &str, name: &str) -> BTreeMap<String, String> {
    let variables = [
        ("CNI_COMMAND", command.to_owned()),
        ("CNI_CONTAINERID", name.to_owned()),
        ("CNI_NETNS", world::netns_path(name).display().to_string()),
        ("CNI_IFNAME", "eth0".to_owned()),
        ("CNI_PATH", PLUGINS.to_owned()),
        ("CNI_ARGS", format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={name}")),
    ];
    variables.map(|(key, value)| (key.to_owned(), value)).into()
}

/// Whether connections to each address of a Pod are made; all or none of them.
fn reaches(client: &ForeignPod, server: &ForeignPod) -> bool {
    let connect =
        |address: &IpAddr| match TcpStream::connect_timeout(&SocketAddr::new(*address, PORT), PATIENCE) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{address}: policy drops and does not refuse");
                false
            }
        };
    let made: Vec<bool> =
        run_in(&client.netns, || server.addresses.iter().map(connect).collect()).expect("entered");
    made.iter().all(|made| *made)
}

/// Waits until each of a Pod's addresses is reached, or none of them.
fn becomes(node: &TestNode, what: &str, client: &ForeignPod, server: &ForeignPod, is_open: bool) {
    node.eventually(what, |_| (reaches(client, server) == is_open).then_some(()));
}

fn policy(node: &TestNode, name: &str, spec: &Value) {
    node.create(&json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    }));
}

fn check(mut node: TestNode, other: Other) {
    node.start_agent();
    let config = json!({
        "cniVersion": "1.1.0", "name": "other", "type": "sealane", "chained": true, "stateDir": node.state_dir(),
    });
    let status = || cni::run(&environment("STATUS", ""), config.to_string().as_bytes());
    node.eventually("STATUS succeeds", |node| (node.inside(status).1 == 0).then_some(()));
    let (client, stranger) = (other.add(&node, "client", 1), other.add(&node, "stranger", 2));
    let server = other.add(&node, "server", 3);
    for pod in [&client, &stranger] {
        becomes(&node, "nothing isolates", pod, &server, true);
    }
    let isolated = json!([{"key": "app", "operator": "In", "values": ["server", "late"]}]);
    policy(
        &node,
        "deny",
        &json!({"podSelector": {"matchExpressions": isolated}, "policyTypes": ["Ingress"]}),
    );
    for pod in [&client, &stranger] {
        becomes(&node, "default deny", pod, &server, false);
    }
    policy(
        &node,
        "allow",
        &json!({
            "podSelector": {"matchLabels": {"app": "server"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}]}],
        }),
    );
    becomes(&node, "one may", &client, &server, true);
    assert!(!reaches(&stranger, &server), "the other still may not");

    // A Pod that comes when there is a policy: its rules are there when ADD returns.
    let late = other.add(&node, "late", 4);
    assert!(!reaches(&client, &late), "denied from the first packet");
    becomes(&node, "and free to speak", &late, &client, true);

    policy(
        &node,
        "mute",
        &json!({"podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Egress"]}),
    );
    becomes(&node, "egress is denied", &client, &server, false);
}

#[test]
fn policies_hold_on_bridges_of_another_plugin() {
    world::test(|| check(TestNode::new(), Other::Bridges(IpFamily::V4)));
}

#[test]
fn policies_hold_on_bridges_of_another_plugin_over_ipv6() {
    world::test(|| check(TestNode::with_ipv6(), Other::Bridges(IpFamily::V6)));
}

#[test]
fn policies_hold_where_the_node_has_no_pod_range() {
    world::test(|| {
        let node = TestNode::new();
        node.take_pod_cidrs();
        check(node, Other::Bridges(IpFamily::V4));
    });
}

#[test]
fn policies_hold_on_links_of_the_plugin_ptp() {
    world::test(|| {
        if !["ptp", "host-local"].iter().all(|plugin| Path::new(PLUGINS).join(plugin).exists()) {
            println!("sealane-skip: policies_hold_on_links_of_the_plugin_ptp: no plugins in {PLUGINS}");
            return;
        }
        check(TestNode::new(), Other::Ptp);
    });
}
