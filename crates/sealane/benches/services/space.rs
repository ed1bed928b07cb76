//! A node with two Pods, joined as ours are: one route per Pod. One per subject and size, all at once.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use netns::Netns;

use crate::cluster::{CLIENT, MEASURED, NODE_ADDRESS, SERVERS};
use crate::load::Load;
use crate::own_path;
use crate::serve::ECHO_PORT;

/// How long the server may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);
const MTU: u32 = 1500;

/// The namespaces of one subject.
pub(crate) struct Space {
    server: Option<Child>,
    spaces: BTreeMap<&'static str, Netns>,
    name: String,
}

impl Space {
    pub(crate) fn make(name: &str) -> Self {
        let name = name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        let mut spaces = BTreeMap::new();
        for space in ["node", "client", "server"] {
            let path = format!("/run/netns/{name}-{space}");
            spaces.insert(space, Netns::create(Path::new(&path)).unwrap());
        }
        for space in spaces.values() {
            netns::run_in(space, netns::bring_up_loopback).unwrap().unwrap();
        }
        let forward = || std::fs::write("/proc/sys/net/ipv4/ip_forward", "1");
        netns::run_in(&spaces["node"], forward).unwrap().unwrap();
        let mut space = Self { server: None, spaces, name };
        // As a link to other nodes would be: it has the node's address.
        space.ip("node", "link add eth0 type bridge");
        space.ip("node", &format!("addr add {NODE_ADDRESS}/24 dev eth0"));
        space.ip("node", "link set eth0 up");
        space.ip("node", "route add default dev eth0");
        space.join("client", &[CLIENT]);
        space.join("server", &SERVERS);
        let mut server = Command::new(own_path());
        server.arg("serve").args(SERVERS.map(|address| address.to_string()));
        space.spaces["server"].enter_on_exec(&mut server).unwrap();
        space.server = Some(server.spawn().unwrap());
        space
    }

    /// The node's namespace.
    pub(crate) fn node(&self) -> &Netns {
        &self.spaces["node"]
    }

    /// Traffic to the measured Service, or straight to one of its endpoints.
    pub(crate) fn run(&self, load: Load, is_direct: bool, seconds: u64) -> f64 {
        netns::run_in(&self.spaces["client"], || load.run(aim(is_direct), seconds)).unwrap()
    }

    /// Waits until a connection succeeds; whether one did.
    pub(crate) fn answers(&self, is_direct: bool) -> bool {
        let to = SocketAddr::new(aim(is_direct), ECHO_PORT);
        let start = Instant::now();
        let connect = || TcpStream::connect_timeout(&to, Duration::from_secs(1)).is_ok();
        while start.elapsed() < PATIENCE {
            if netns::run_in(&self.spaces["client"], connect).unwrap() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// A veth pair whose name on the node is as our Pods' are, and a route to each address.
    fn join(&self, pod: &str, addresses: &[std::net::Ipv4Addr]) {
        let space = format!("{}-{pod}", self.name);
        let link = format!("sl{pod}");
        self.ip("node", &format!("link add {link} mtu {MTU} type veth peer name eth0 netns {space}"));
        self.ip("node", &format!("link set {link} up"));
        self.ip("node", &format!("addr add 169.254.1.1/32 dev {link}"));
        self.ip(pod, &format!("link set eth0 mtu {MTU} up"));
        for address in addresses {
            self.ip("node", &format!("route add {address}/32 dev {link}"));
            self.ip(pod, &format!("addr add {address}/32 dev eth0"));
        }
        self.ip(pod, "route add default via 169.254.1.1 dev eth0 onlink");
    }

    fn ip(&self, space: &str, arguments: &str) {
        let mut command = Command::new("ip");
        self.spaces[space].enter_on_exec(&mut command).unwrap();
        let status = command.args(arguments.split(' ')).status().unwrap();
        assert!(status.success(), "ip {arguments}");
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // It may have ended by itself.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

fn aim(is_direct: bool) -> IpAddr {
    if is_direct { SERVERS[0].into() } else { MEASURED.into() }
}
