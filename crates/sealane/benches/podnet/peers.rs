//! What ours is compared with, each two nodes on a network of their own, in a world of their own.
//!
//! The world is another process: it does one thing per line that it reads, and answers with one line.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use netns::Netns;
use netns::world::{World, mount_tmpfs};

use crate::distance::Distance;
use crate::load::Load;
use crate::{Options, attach, own_path};

/// MTU of the network between the nodes, and what is left of it in a tunnel (RFC 7348 over IPv4).
const UNDERLAY_MTU: u32 = 1500;
const TUNNEL_MTU: u32 = 1450;

/// One that is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// veth pairs, routes and a tunnel made by hand; no netfilter at all.
    Plain,
    /// The same with connection tracking, without which there are no Services and no policy.
    Tracked,
    /// The plugins `bridge` and `host-local`, and a tunnel made by hand.
    Plugins,
}

/// The world as seen from outside.
pub(crate) struct Peers {
    pub(crate) subjects: Vec<Subject>,
    /// Why others are not there.
    pub(crate) missing: Vec<String>,
    world: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Subject {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tracked => "plain+conntrack",
            Self::Plugins => "bridge plugin",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tracked => "tracked",
            Self::Plugins => "plugins",
        }
    }
}

impl Peers {
    pub(crate) fn start(options: &Options) -> Self {
        let plugins = options.plugins.as_deref().unwrap_or(Path::new(""));
        let mut world = Command::new(own_path())
            .args(["peers", &options.tunnel])
            .arg(plugins)
            .arg(options.seconds.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (world.stdin.take().unwrap(), BufReader::new(world.stdout.take().unwrap()));
        let mut peers = Self { subjects: Vec::new(), missing: Vec::new(), world, to, from };
        for line in peers.read_line().split(';').filter(|line| !line.is_empty()) {
            match [Subject::Plain, Subject::Tracked, Subject::Plugins].iter().find(|it| it.word() == line) {
                Some(subject) => peers.subjects.push(*subject),
                None => peers.missing.push(line.to_owned()),
            }
        }
        peers
    }

    pub(crate) fn run(&mut self, subject: Subject, distance: Distance, load: Load) -> f64 {
        self.ask(&format!("{} {distance} {load}", subject.word()))
    }

    /// The median of ADD of the plugins, in milliseconds.
    pub(crate) fn attach(&mut self) -> f64 {
        self.ask("attach")
    }

    fn ask(&mut self, question: &str) -> f64 {
        writeln!(self.to, "{question}").unwrap();
        self.read_line().parse().unwrap()
    }

    fn read_line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.from.read_line(&mut line).unwrap() > 0, "the world of the peers has ended");
        line.trim().to_owned()
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // The whole world goes with its first process.
        let _ = self.world.kill();
        let _ = self.world.wait();
    }
}

/// The world's process.
pub(crate) fn main(tunnel: &str, plugins: &str, seconds: u64) {
    World::new().with_pids().dying_with_parent().enter().unwrap();
    netns::bring_up_loopback().unwrap();
    for directory in ["/run", "/var/lib/cni"] {
        if Path::new(directory).exists() || std::fs::create_dir_all(directory).is_ok() {
            mount_tmpfs(Path::new(directory)).unwrap();
        }
    }
    let (mut nets, mut said) = (BTreeMap::new(), Vec::new());
    nets.insert("plain", Net::make("p", tunnel, &Joined::Routed));
    let tracked = Net::make("t", tunnel, &Joined::Routed);
    match tracked.track() {
        Ok(()) => drop(nets.insert("tracked", tracked)),
        Err(reason) => said.push(format!("no plain+conntrack: {reason}")),
    }
    if !plugins.is_empty() {
        nets.insert("plugins", Net::make("c", tunnel, &Joined::ByPlugins(plugins.into())));
    }
    said.extend(nets.keys().map(|name| (*name).to_owned()));
    println!("{}", said.join(";"));
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let value = match words.as_slice() {
            ["attach"] => nets["plugins"].attach(Path::new(plugins)),
            [subject, distance, load] => {
                nets[subject].run(distance.parse().unwrap(), load.parse().unwrap(), seconds)
            }
            _ => panic!("not understood: {line}"),
        };
        println!("{value}");
    }
}

/// How Pods are joined to their node.
enum Joined {
    Routed,
    ByPlugins(PathBuf),
}

/// Two nodes and three Pods.
struct Net {
    name: &'static str,
    servers: Vec<Child>,
    /// Kept alive: namespaces by name.
    spaces: BTreeMap<&'static str, Netns>,
    addresses: BTreeMap<&'static str, IpAddr>,
}

impl Net {
    fn make(name: &'static str, tunnel: &str, joined: &Joined) -> Self {
        let bridge = format!("{name}under");
        ip(None, &format!("link add {bridge} type bridge"));
        ip(None, &format!("link set {bridge} up"));
        let mut net = Self { name, servers: Vec::new(), spaces: BTreeMap::new(), addresses: BTreeMap::new() };
        for (node, digit) in [("a", 1), ("b", 2)] {
            net.add_node(node, digit, &bridge);
        }
        for (node, own, other) in [("a", 1, 2), ("b", 2, 1)] {
            net.join_nodes(node, own, other, tunnel);
        }
        for (pod, node, address) in
            [("client", "a", "10.201.1.2"), ("near", "a", "10.201.1.3"), ("far", "b", "10.201.2.2")]
        {
            net.spaces.insert(pod, Netns::create(Path::new(&net.path(pod))).unwrap());
            let address = match joined {
                Joined::Routed => net.route_pod(pod, node, address, tunnel),
                Joined::ByPlugins(plugins) => net.call_plugins(pod, node, plugins, tunnel),
            };
            net.addresses.insert(pod, address);
        }
        for pod in ["near", "far"] {
            let mut server = Command::new(own_path());
            server.arg("serve");
            net.spaces[pod].enter_on_exec(&mut server).unwrap();
            net.servers.push(server.spawn().unwrap());
        }
        net
    }

    fn path(&self, space: &str) -> String {
        format!("/run/netns/{}-{space}", self.name)
    }

    fn ip(&self, space: &str, arguments: &str) {
        ip(Some(&format!("{}-{space}", self.name)), arguments);
    }

    fn add_node(&mut self, node: &'static str, digit: u8, bridge: &str) {
        self.spaces.insert(node, Netns::create(Path::new(&self.path(node))).unwrap());
        let (port, space) = (format!("{}{node}", self.name), format!("{}-{node}", self.name));
        ip(None, &format!("link add {port} type veth peer name eth0 netns {space}"));
        ip(None, &format!("link set {port} master {bridge} up"));
        self.ip(node, "link set eth0 up");
        self.ip(node, &format!("addr add 10.200.0.{digit}/24 dev eth0"));
        netns::run_in(&self.spaces[node], || std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"))
            .unwrap()
            .unwrap();
    }

    fn join_nodes(&self, node: &str, own: u8, other: u8, tunnel: &str) {
        if tunnel == "direct" {
            return self.ip(node, &format!("route add 10.201.{other}.0/24 via 10.200.0.{other}"));
        }
        let local = format!("local 10.200.0.{own} dstport 8472 nolearning");
        self.ip(node, &format!("link add vx address 02:00:00:00:00:0{own} type vxlan id 42 {local}"));
        self.ip(node, &format!("link set vx mtu {TUNNEL_MTU} up"));
        self.ip(node, &format!("addr add 10.201.{own}.0/32 dev vx"));
        let mac = format!("02:00:00:00:00:0{other}");
        self.ip(node, &format!("neigh add 10.201.{other}.0 lladdr {mac} dev vx nud permanent"));
        let entry = format!("fdb append {mac} dev vx dst 10.200.0.{other}");
        run("bridge", Some(&format!("{}-{node}", self.name)), &entry);
        self.ip(node, &format!("route add 10.201.{other}.0/24 via 10.201.{other}.0 dev vx onlink"));
    }

    /// A veth pair and a route to one address: as one would by hand.
    fn route_pod(&self, pod: &str, node: &str, address: &str, tunnel: &str) -> IpAddr {
        let space = format!("{}-{pod}", self.name);
        self.ip(node, &format!("link add {pod} mtu {UNDERLAY_MTU} type veth peer name eth0 netns {space}"));
        self.ip(node, &format!("link set {pod} up"));
        self.ip(node, &format!("addr add 169.254.1.1/32 dev {pod}"));
        self.ip(node, &format!("route add {address}/32 dev {pod}"));
        self.ip(pod, &format!("link set eth0 mtu {UNDERLAY_MTU} up"));
        self.ip(pod, &format!("addr add {address}/32 dev eth0"));
        self.ip(pod, "route add 10.201.1.0/24 via 169.254.1.1 dev eth0 onlink");
        let mtu = if tunnel == "direct" { UNDERLAY_MTU } else { TUNNEL_MTU };
        self.ip(pod, &format!("route add default via 169.254.1.1 dev eth0 onlink mtu {mtu}"));
        address.parse().unwrap()
    }

    fn config(node: &str, tunnel: &str) -> String {
        let mtu = if tunnel == "direct" { UNDERLAY_MTU } else { TUNNEL_MTU };
        let subnet = if node == "a" { "10.201.1.0/24" } else { "10.201.2.0/24" };
        serde_json::json!({
            "cniVersion": "1.0.0", "name": format!("bench-{node}"), "type": "bridge", "bridge": "cni0",
            "isGateway": true, "ipMasq": false, "hairpinMode": true, "mtu": mtu,
            "ipam": {
                "type": "host-local", "ranges": [[{"subnet": subnet}]], "routes": [{"dst": "0.0.0.0/0"}],
            },
        })
        .to_string()
    }

    fn call_plugins(&self, pod: &str, node: &str, plugins: &Path, tunnel: &str) -> IpAddr {
        let mut command = Command::new(plugins.join("bridge"));
        command
            .env("CNI_COMMAND", "ADD")
            .env("CNI_CONTAINERID", pod)
            .env("CNI_NETNS", self.path(pod))
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", plugins)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        self.spaces[node].enter_on_exec(&mut command).unwrap();
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(Self::config(node, tunnel).as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let address = result["ips"][0]["address"].as_str().unwrap_or_else(|| panic!("{result}"));
        address.split('/').next().unwrap().parse().unwrap()
    }

    /// Turns on connection tracking on both nodes, with one rule that looks at it.
    fn track(&self) -> Result<(), String> {
        let rules = "table inet bench { chain forward { type filter hook forward priority 0; \
                     ct state established,related accept; }; }";
        for node in ["a", "b"] {
            let mut nft = Command::new("nft");
            nft.arg(rules);
            self.spaces[node].enter_on_exec(&mut nft).unwrap();
            let status = nft.status().map_err(|error| format!("cannot run the program nft ({error})"))?;
            assert!(status.success(), "nft refused its rules");
        }
        Ok(())
    }

    fn run(&self, distance: Distance, load: Load, seconds: u64) -> f64 {
        let address = self.addresses[distance.to_string().as_str()];
        netns::run_in(&self.spaces["client"], || load.run(address, seconds)).unwrap()
    }

    fn attach(&self, plugins: &Path) -> f64 {
        let config = Self::config("a", "vxlan");
        let add = || attach::median_add(&plugins.join("bridge"), plugins, &config);
        netns::run_in(&self.spaces["a"], add).unwrap()
    }
}

fn ip(space: Option<&str>, arguments: &str) {
    run("ip", space, arguments);
}

/// Runs a program of iproute2, in a namespace below `/run/netns` or in this one.
fn run(program: &str, space: Option<&str>, arguments: &str) {
    let mut command = Command::new(program);
    if let Some(space) = space {
        let space = Netns::open(&Path::new("/run/netns").join(space)).unwrap();
        space.enter_on_exec(&mut command).unwrap();
    }
    let status = command.args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "{program} {arguments}");
}
