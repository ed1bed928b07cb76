//! A node with an agent in a network namespace, and the API server next to it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use apply_kube::{DeleteOptions, Target, Writer};
use apply_netlink::Netlink;
use apply_netlink::underlay::Port;
use netns::{Netns, run_in, world};
use sealane_agent::ingress_controllers;
use sealane_agent::node::{CniInstall, PodLinkMtu, ResolverSettings, Settings, TunnelMode};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use types::{AgentAnswer, AgentRequest, Attachment, LinkName};

use crate::server::{TestServer, eventually};

/// How long anything may take before the test fails.
const DEADLINE: Duration = Duration::from_secs(20);
const API_PORT: u16 = 6443;
const DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10));
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9000);

/// The bridge's end of the second node's link.
pub(crate) const NEIGHBOUR_PORT: &str = "slnode-b";

/// Where things are in one family.
#[derive(Clone, Copy)]
struct At {
    outside: &'static str,
    len: u8,
    nodes: [&'static str; 2],
    ranges: [&'static str; 2],
    dns: &'static str,
    pods: &'static str,
    services: &'static str,
}

const V4: At = At {
    outside: "172.31.0.1",
    len: 24,
    nodes: ["172.31.0.11", "172.31.0.12"],
    ranges: ["10.244.0.0/24", "10.244.1.0/24"],
    dns: "10.96.0.10",
    pods: "10.244.0.0/16",
    services: "10.96.0.0/16",
};
const V6: At = At {
    outside: "fd00:172:31::1",
    len: 64,
    nodes: ["fd00:172:31::11", "fd00:172:31::12"],
    ranges: ["fd00:10:244::/64", "fd00:10:244:1::/64"],
    dns: "fd00:10:96::a",
    pods: "fd00:10:244::/56",
    services: "fd00:10:96::/112",
};

impl At {
    fn outside(&self) -> IpAddr {
        self.outside.parse().expect("an address")
    }

    fn node(&self, index: usize) -> IpAddr {
        self.nodes[index].parse().expect("an address")
    }

    /// The Node at this index.
    fn object(&self, index: usize) -> Value {
        let (name, range) = (["node-a", "node-b"][index], self.ranges[index]);
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name },
            "spec": { "podCIDR": range, "podCIDRs": [range] },
        })
    }

    /// The link of the node at this index.
    fn port(&self, index: usize, host_link: &str) -> Port {
        Port {
            bridge: "slbr0".into(),
            host_link: host_link.into(),
            link: "eth0".into(),
            address: self.node(index),
            prefix_len: self.len,
            gateway: Some(self.outside()),
        }
    }
}

/// The whole: dropped as one.
pub(crate) struct TestNode {
    runtime: Runtime,
    writer: Writer,
    netns: Netns,
    at: At,
    settings: Settings,
    agent: Option<Agent>,
    server: TestServer,
}

/// An agent in the namespace of its node.
pub(crate) struct Agent {
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

/// A second node of the same cluster.
pub(crate) struct Neighbour {
    _netns: Netns,
    agent: Option<Agent>,
}

impl Agent {
    pub(crate) fn start(node: &str, settings: Settings) -> Self {
        let netns = Netns::open(&world::netns_path(node)).expect("namespace");
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            netns.enter_for_good().expect("entered");
            // Its threads are made by this one and so are in the node's namespace.
            let runtime = Runtime::new().expect("runtime");
            runtime.block_on(async {
                tokio::select! {
                    ended = sealane_agent::node::run(settings) => panic!("the agent ended by itself: {ended:?}"),
                    _ = stopped => {}
                }
            });
        });
        Self { stop, thread }
    }

    /// Ends it between two steps.
    pub(crate) fn kill(self) {
        self.stop.send(()).expect("running");
        self.thread.join().expect("no panic");
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.kill();
        }
    }
}

impl TestNode {
    /// Makes the network, starts the API, and tells it of the Node; the agent does not run yet.
    pub(crate) fn new() -> Self {
        Self::of(V4)
    }

    /// The same with IPv6 alone.
    pub(crate) fn with_ipv6() -> Self {
        Self::of(V6)
    }

    fn of(at: At) -> Self {
        let netns = Netns::create(&world::netns_path("node-a")).expect("namespace");
        let mut outside = Netlink::open().expect("netlink");
        outside.make_underlay(&"slbr0".into(), at.outside(), at.len).expect("bridge");
        // Where netfilter sees bridged packets, it answers IPv6 ones that are too large as a router does; a switch does not.
        let _ = std::fs::write("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "0");
        outside.join_underlay(&netns, &at.port(0, "slnode-a")).expect("joined");
        let runtime = Runtime::new().expect("runtime");
        let server = runtime.block_on(TestServer::start_at(SocketAddr::new(at.outside(), API_PORT)));
        let settings = mk_settings(at, server.kubeconfig.clone(), world::scratch("state"));
        let writer = Writer::new(server.client.clone());
        let node = Self { runtime, writer, netns, at, settings, agent: None, server };
        node.create(&at.object(0));
        let status = json!({ "addresses": [{ "type": "InternalIP", "address": at.node(0) }] });
        node.runtime.block_on(node.writer.patch_status(&self_target(), &status)).expect("status");
        node
    }

    /// Starts `node-b`, at the other end of a bridge port of this MTU.
    pub(crate) fn start_neighbour(&self, port_mtu: u32) -> Neighbour {
        let netns = Netns::create(&world::netns_path("node-b")).expect("namespace");
        let at = self.at;
        let mut outside = Netlink::open().expect("netlink");
        outside.join_underlay(&netns, &at.port(1, NEIGHBOUR_PORT)).expect("joined");
        outside.set_mtu(&NEIGHBOUR_PORT.into(), port_mtu).expect("an MTU");
        self.create(&at.object(1));
        let mut settings = self.settings.clone();
        (settings.node, settings.state_dir) = ("node-b".into(), world::scratch("state-b"));
        let agent = Some(Agent::start("node-b", settings));
        for (name, address) in [("node-a", at.node(0)), ("node-b", at.node(1))] {
            let ready =
                json!([{ "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "" }]);
            let status = json!({
                "addresses": [{ "type": "InternalIP", "address": address }], "conditions": ready,
            });
            let target = Target::cluster("v1", "Node", name);
            self.runtime.block_on(self.writer.patch_status(&target, &status)).expect("status");
        }
        Neighbour { _netns: netns, agent }
    }

    /// Has the agent install the CNI plugin below this directory.
    pub(crate) fn install_plugin_below(&mut self, directory: &std::path::Path) {
        let (config_dir, bin_dir) = (directory.join("net.d"), directory.join("bin"));
        self.settings.cni = Some(CniInstall { config_dir, bin_dir });
    }

    /// How an agent that is started from now on joins Pods.
    pub(crate) fn join_pods(&mut self, links: types::NetworkMode) {
        self.settings.pod_links = links;
    }

    /// Starts the agent and waits until its first plan is in force.
    pub(crate) fn start_agent(&mut self) {
        self.agent = Some(Agent::start("node-a", self.settings.clone()));
        self.eventually("the agent is ready", |node| node.admin("/readyz").filter(|text| text == "ok\n"));
    }

    /// Ends the agent between two steps, as a kill would; nothing is taken down.
    pub(crate) fn kill_agent(&mut self) {
        self.agent.take().expect("started").kill();
    }

    /// Ends the API server; its objects stay.
    pub(crate) fn stop_api(&mut self) {
        self.server.stop();
    }

    /// Starts it again.
    pub(crate) fn restart_api(&mut self) {
        self.runtime.block_on(self.server.restart());
        let writer = &self.writer;
        let ask = || async { writer.merge_patch(&self_target(), &json!({})).await.ok() };
        self.runtime.block_on(eventually("the API answers", ask));
    }

    pub(crate) fn create(&self, object: &Value) -> Value {
        self.runtime.block_on(self.writer.create(object)).expect("created")
    }

    /// The Node as the API has it.
    pub(crate) fn node_object(&self) -> Value {
        self.runtime.block_on(self.writer.merge_patch(&self_target(), &json!({}))).expect("a Node")
    }

    /// Sets annotations of the Node.
    pub(crate) fn annotate(&self, annotations: &Value) {
        let patch = json!({ "metadata": { "annotations": annotations } });
        self.runtime.block_on(self.writer.merge_patch(&self_target(), &patch)).expect("annotated");
    }

    /// Gives the Node other Pod ranges, as an administrator does.
    pub(crate) fn set_pod_cidrs(&self, ranges: &[&str]) {
        let patch = json!({ "spec": { "podCIDR": ranges[0], "podCIDRs": ranges } });
        self.runtime.block_on(self.writer.merge_patch(&self_target(), &patch)).expect("other ranges");
    }

    /// Takes them away, as on a node where another plugin gives the addresses.
    pub(crate) fn take_pod_cidrs(&self) {
        let patch = json!({ "spec": { "podCIDR": null, "podCIDRs": null } });
        self.runtime.block_on(self.writer.merge_patch(&self_target(), &patch)).expect("no ranges");
    }

    /// The agent's state directory.
    pub(crate) fn state_dir(&self) -> &std::path::Path {
        &self.settings.state_dir
    }

    /// Adds a route of nobody's through the gateway.
    pub(crate) fn route_elsewhere(&self, destination: &str) {
        let (destination, gateway) = (destination.parse().expect("a range"), self.at.outside());
        self.inside(|| Netlink::open().expect("netlink").route_through(destination, gateway))
            .expect("a route");
    }

    /// Gives a link of the node another MTU.
    pub(crate) fn set_mtu(&self, link: &str, mtu: u32) {
        let link = LinkName::from(link);
        self.inside(|| Netlink::open().expect("netlink").set_mtu(&link, mtu)).expect("another MTU");
    }

    pub(crate) fn delete(&self, target: &Target) {
        self.runtime.block_on(self.writer.delete(target, &DeleteOptions::now())).expect("deleted");
    }

    /// What the admin server says; none while nobody listens.
    pub(crate) fn admin(&self, path: &str) -> Option<String> {
        let answer = self.inside(|| {
            let mut stream = TcpStream::connect(ADMIN).ok()?;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            Some(answer)
        })?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    }

    /// The address a name has, asked of the cluster DNS address.
    pub(crate) fn resolve(&self, name: &str) -> Option<Ipv4Addr> {
        resolve_in(&self.netns, name)
    }

    /// Asks the agent as the CNI plugin does.
    pub(crate) fn ask_agent(&self, request: &AgentRequest) -> AgentAnswer {
        let mut stream = UnixStream::connect(self.settings.state_dir.join("agent.sock")).expect("listening");
        let line = serde_json::to_string(request).expect("json") + "\n";
        stream.write_all(line.as_bytes()).expect("sent");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("answered");
        serde_json::from_str(&answer).expect("an answer")
    }

    /// Leaves an attachment where the CNI plugin would.
    pub(crate) fn attach(&self, attachment: &Attachment) {
        let directory = self.settings.state_dir.join("attachments");
        std::fs::create_dir_all(&directory).expect("directory");
        let file = directory.join(format!("{}-{}.json", attachment.container_id, attachment.ifname));
        std::fs::write(file, serde_json::to_vec(attachment).expect("json")).expect("written");
    }

    pub(crate) fn read_state(&self, file: &str) -> Option<Vec<u8>> {
        std::fs::read(self.settings.state_dir.join(file)).ok()
    }

    /// Does something in the node's namespace.
    pub(crate) fn inside<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        run_in(&self.netns, action).expect("entered")
    }

    /// Asks until there is an answer, or fails the test at the deadline.
    pub(crate) fn eventually<T>(&self, what: &str, ask: impl FnMut(&Self) -> Option<T>) -> T {
        self.within(DEADLINE, what, ask)
    }

    /// The same with a deadline of its own.
    pub(crate) fn within<T>(
        &self,
        limit: Duration,
        what: &str,
        mut ask: impl FnMut(&Self) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(answer) = ask(self) {
                return answer;
            }
            assert!(Instant::now() < deadline, "not within {limit:?}: {what}; {:?}", self.admin("/report"));
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn self_target() -> Target {
    Target::cluster("v1", "Node", "node-a")
}

/// The address a name has, asked of the cluster DNS address from this namespace.
pub(crate) fn resolve_in(netns: &Netns, name: &str) -> Option<Ipv4Addr> {
    let answer = run_in(netns, || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        socket.send_to(&mk_query(name), (DNS, 53)).ok()?;
        let mut buffer = [0; 512];
        let len = socket.recv(&mut buffer).ok()?;
        Some(buffer[..len].to_vec())
    })
    .expect("entered")?;
    let answers = u16::from_be_bytes([answer[6], answer[7]]);
    let (_, address) = answer.split_last_chunk::<4>()?;
    (answers == 1).then(|| Ipv4Addr::from(*address))
}

/// Settings of an agent of a cluster of IPv4.
pub(crate) fn mk_settings_v4(kubeconfig: PathBuf, state_dir: PathBuf) -> Settings {
    mk_settings(V4, kubeconfig, state_dir)
}

fn mk_settings(at: At, kubeconfig: PathBuf, state_dir: PathBuf) -> Settings {
    let prefix = |text: &str| text.to_owned().try_into().expect("prefix");
    Settings {
        node: "node-a".into(),
        kubeconfig: Some(kubeconfig),
        state_dir,
        cluster_domain: "cluster.local".into(),
        dns_addresses: BTreeSet::from([at.dns.parse().expect("an address")]),
        resolvers: ResolverSettings::default(),
        pod_cidrs: BTreeSet::from([prefix(at.pods)]),
        service_cidrs: BTreeSet::from([prefix(at.services)]),
        cni: None,
        underlay_link: "eth0".into(),
        tunnel: TunnelMode::Vxlan,
        pod_links: types::NetworkMode::default(),
        pod_link_mtu: PodLinkMtu::default(),
        masquerade: types::Masquerading::default(),
        http_port: types::Port::new(80),
        https_port: types::Port::new(443),
        ingress_controllers: ingress_controllers(),
        lb_pools: Vec::new(),
        lb_class: None,
        admin: Some(ADMIN),
    }
}

/// A query for an A record (RFC 1035, section 4.1).
fn mk_query(name: &str) -> Vec<u8> {
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).expect("a label"));
        query.extend(label.bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    query
}
