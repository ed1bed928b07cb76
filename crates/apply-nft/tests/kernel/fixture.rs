//! A node with three Pods and an outside, in network namespaces of a test, and clients and servers in them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use apply_netlink::Netlink;
use apply_netlink::underlay::Port;
use netns::{Netns, run_in, world};
use plan::{
    Backend, BackendState, BridgePort, Candidate, DnsPlan, EndpointOrigin, Exclusion, Frontend,
    FrontendAddress, FrontendRule, FrontendScope, Isolation, Masquerade, NodePlan, Outcome, PodBridge,
    PodNetwork, PodPolicy, Report, ServiceTable, SourceAddress,
};
use sealane_apply_nft::{Look, Nft};
use types::{
    Attachment, IpFamily, Mac, NamespacedName, NetworkMode, POD_BRIDGE, PodLink, Prefix, Protocol, SharedMap,
    pod_bridge_mac,
};

/// How long a client waits: all is on one machine, and what is dropped must be told from what is slow.
const PATIENCE: Duration = Duration::from_millis(700);
/// Where Pods listen.
pub(crate) const PORT: u16 = 8080;

/// Addresses of one family's world.
pub(crate) struct Addresses {
    pub(crate) outside: IpAddr,
    /// One that it has where a test gives it.
    pub(crate) outside_second: IpAddr,
    pub(crate) node: IpAddr,
    pub(crate) pods: [IpAddr; 3],
    pub(crate) cluster_ip: IpAddr,
    pub(crate) unused_ip: IpAddr,
    pub(crate) load_balancer: IpAddr,
    pub(crate) pod_range: Prefix,
    cluster_range: Prefix,
    service_range: Prefix,
    pub(crate) underlay_len: u8,
}

impl Addresses {
    fn of(family: IpFamily) -> Self {
        let a =
            |v4: &str, v6: &str| -> IpAddr { if family == IpFamily::V4 { v4 } else { v6 }.parse().unwrap() };
        let p =
            |v4: &str, v6: &str| -> Prefix { if family == IpFamily::V4 { v4 } else { v6 }.parse().unwrap() };
        Self {
            outside: a("172.31.0.1", "fd31::1"),
            outside_second: a("172.31.0.2", "fd31::2"),
            node: a("172.31.0.11", "fd31::11"),
            pods: [a("10.244.1.2", "fd00:1::2"), a("10.244.1.3", "fd00:1::3"), a("10.244.1.4", "fd00:1::4")],
            cluster_ip: a("10.96.0.20", "fd96::20"),
            unused_ip: a("10.96.0.99", "fd96::99"),
            load_balancer: a("172.31.0.200", "fd31::200"),
            pod_range: p("10.244.1.0/24", "fd00:1::/64"),
            cluster_range: p("10.244.0.0/16", "fd00::/16"),
            service_range: p("10.96.0.0/16", "fd96::/112"),
            underlay_len: if family == IpFamily::V4 { 24 } else { 64 },
        }
    }
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Outside,
    Node,
    Pod(usize),
}

/// The namespaces, with servers running in every Pod.
pub(crate) struct Lab {
    pub(crate) at: Addresses,
    outside: Netns,
    node: Netns,
    pods: Vec<Netns>,
    bridge: Option<PodBridge>,
}

/// How Pods are joined to the node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Links {
    Routed,
    /// As ports of the bridge, whose packets the kernel shows to nftables a first time, or not.
    Bridge {
        is_filtered: bool,
    },
}

impl Lab {
    /// With routed links.
    pub(crate) fn new(family: IpFamily) -> Self {
        Self::with(family, Links::Routed)
    }

    pub(crate) fn with(family: IpFamily, links: Links) -> Self {
        let at = Addresses::of(family);
        let outside = Netns::current().unwrap();
        let node = Netns::create(&world::netns_path("node-a")).unwrap();
        let mut here = Netlink::open().unwrap();
        here.make_underlay(&"underlay".into(), at.outside, at.underlay_len).unwrap();
        let port = Port {
            bridge: "underlay".into(),
            host_link: "node-a".into(),
            link: "eth0".into(),
            address: at.node,
            prefix_len: at.underlay_len,
            gateway: Some(at.outside),
        };
        here.join_underlay(&node, &port).unwrap();
        for destination in [at.pod_range, at.service_range, Prefix::host(at.load_balancer)] {
            here.route_through(destination, at.node).unwrap();
        }
        let pods: Vec<Netns> =
            (1..=3).map(|pod| Netns::create(&world::netns_path(&format!("pod-{pod}"))).unwrap()).collect();
        let mode = match links {
            Links::Routed => NetworkMode::Routed,
            Links::Bridge { .. } => NetworkMode::Bridge,
        };
        let bridge = matches!(links, Links::Bridge { .. }).then(|| bridge(&at));
        let lab = Self { at, outside, node, pods, bridge };
        lab.in_node(|| {
            let mut netlink = Netlink::open().unwrap();
            if let Links::Bridge { is_filtered } = links {
                for tables in ["iptables", "ip6tables"] {
                    let setting = format!("/proc/sys/net/bridge/bridge-nf-call-{tables}");
                    let set = std::fs::write(setting, u8::from(is_filtered).to_string());
                    assert!(set.is_ok() || !is_filtered, "this kernel has no br_netfilter");
                }
            }
            let podnet = PodNetwork {
                pod_cidrs: vec![lab.at.pod_range],
                bridge: lab.bridge.clone(),
                ..PodNetwork::default()
            };
            let link = PodLink { mode, mtu: 1500, path_mtu: 1500, ..PodLink::default() };
            let report = netlink.converge(&podnet);
            assert!(report.failures.is_empty(), "{report:?}");
            for (index, (netns, address)) in lab.pods.iter().zip(lab.at.pods).enumerate() {
                netlink.attach(netns, &attachment(index, address), &link).unwrap();
            }
            assert_eq!(netlink.converge(&podnet).written, 0, "a second time");
        });
        for (index, netns) in lab.pods.iter().enumerate() {
            run_in(netns, netns::bring_up_loopback).unwrap().unwrap();
            serve(netns, &format!("pod-{}", index + 1), lab.at.pods[index]);
        }
        serve(&lab.outside, "outside", lab.at.outside);
        serve(&lab.node, "node", lab.at.node);
        lab
    }

    pub(crate) fn in_node<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        run_in(&self.node, action).unwrap()
    }

    pub(crate) fn within<T: Send>(&self, from: From, action: impl FnOnce() -> T + Send) -> T {
        run_in(self.netns(from), action).unwrap()
    }

    pub(crate) fn nft(&self) -> Nft {
        self.in_node(|| Nft::open().unwrap())
    }

    fn netns(&self, from: From) -> &Netns {
        match from {
            From::Outside => &self.outside,
            From::Node => &self.node,
            From::Pod(number) => &self.pods[number - 1],
        }
    }

    /// One TCP connection; what the server says.
    pub(crate) fn tcp(&self, from: From, to: IpAddr, port: u16) -> Answer {
        run_in(self.netns(from), || {
            let ask = || {
                let mut stream = TcpStream::connect_timeout(&SocketAddr::new(to, port), PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                let mut text = String::new();
                stream.read_to_string(&mut text)?;
                Ok(text)
            };
            Answer::of(ask())
        })
        .unwrap()
    }

    /// One UDP question; what the server says.
    pub(crate) fn udp(&self, from: From, to: IpAddr, port: u16) -> Answer {
        Client::open(self, from, to, port).ask()
    }

    /// The plan that forwards nothing and isolates nobody.
    pub(crate) fn plan(&self) -> NodePlan {
        let at = &self.at;
        let pods = at.pods.iter().enumerate();
        NodePlan {
            node: "node-a".into(),
            podnet: PodNetwork {
                pod_cidrs: vec![at.pod_range],
                bridge: self.bridge.clone(),
                local_pods: pods.map(|(index, pod)| (*pod, pod_name(index + 1))).collect(),
                masquerade: Masquerade {
                    sources: [at.pod_range].into(),
                    except: [at.cluster_range, Prefix::host(at.node)].into(),
                },
                ..PodNetwork::default()
            }
            .into(),
            services: ServiceTable {
                frontends: SharedMap::new(),
                node_addresses: [at.node].into(),
                pod_cidrs: [at.cluster_range].into(),
                service_cidrs: [at.service_range].into(),
                local_vips: BTreeSet::new(),
                served_elsewhere: SharedMap::new(),
                health_checks: BTreeMap::new(),
            },
            policy: Default::default(),
            dns: DnsPlan::default(),
            gateway: Default::default(),
            lb: Default::default(),
        }
    }

    /// A Pod that is on its way out and still serves.
    pub(crate) fn terminating(&self, pod: usize) -> Candidate {
        Candidate {
            backend: Backend { address: self.at.pods[pod - 1], port: port(PORT) },
            pod: None,
            node: None,
            state: BackendState { ready: false, serving: true, terminating: true },
            excluded_internal: Some(Exclusion::Terminating),
            excluded_external: Some(Exclusion::Terminating),
        }
    }

    /// A Service's outcome that leads to these Pods.
    pub(crate) fn forward(&self, pods: &[usize], source: SourceAddress) -> Outcome {
        let backend = |pod: &usize| Backend { address: self.at.pods[pod - 1], port: port(PORT) };
        Outcome::Forward { backends: pods.iter().map(backend).collect(), source }
    }
}

pub(crate) fn port(number: u16) -> types::Port {
    types::Port::new(number).unwrap()
}

pub(crate) fn pod_name(number: usize) -> NamespacedName {
    NamespacedName::new("default", format!("pod-{number}"))
}

/// A frontend of Service default/echo, for both protocols.
pub(crate) fn expose(
    plan: &mut NodePlan,
    (scope, vip, number): (FrontendScope, Option<IpAddr>, u16),
    internal: Outcome,
    external: Outcome,
) {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let address = vip.map_or(FrontendAddress::NodePort, FrontendAddress::Vip);
        let rule = FrontendRule {
            owner: NamespacedName::new("default", "echo"),
            port_name: "http".into(),
            scope,
            internal: internal.clone(),
            external: external.clone(),
            affinity_seconds: None,
            scheduling: plan::Scheduling::default(),
            source_ranges: None,
            endpoints: EndpointOrigin::Selector,
            candidates: Vec::new(),
        };
        plan.services.frontends.insert(Frontend { address, protocol, port: port(number) }, rule);
    }
}

/// Sets something on every frontend.
pub(crate) fn on_frontends(plan: &mut NodePlan, mut change: impl FnMut(&mut FrontendRule)) {
    plan.services.frontends.values_mut().for_each(&mut change);
}

/// Isolates a Pod in one or both directions.
pub(crate) fn isolate(
    plan: &mut NodePlan,
    pod: (usize, IpAddr),
    ingress: Option<Isolation>,
    egress: Option<Isolation>,
) {
    plan.policy.pods.insert(pod.1, PodPolicy { pod: pod_name(pod.0), ingress, egress });
}

/// Loads a plan, and checks that doing so again writes nothing and that the kernel has what was loaded.
pub(crate) fn load(nft: &mut Nft, plan: &NodePlan) -> Report {
    let report = nft.converge_plan(plan, Look::IfChanged);
    assert_eq!(report.failures, []);
    let again = nft.converge_plan(plan, Look::IfChanged);
    assert_eq!((again.written, again.failures), (0, Vec::new()), "a second time");
    for desired in &[ruleset::render_frames(plan), ruleset::render(plan)] {
        let actual = nft.read_back(desired.family).unwrap();
        let difference = ruleset::diff(&actual, desired);
        assert!(difference.is_empty(), "what was read back differs: {difference:#?}");
    }
    report
}

fn bridge(at: &Addresses) -> PodBridge {
    let port = |(index, address): (usize, &IpAddr)| {
        let attachment = attachment(index, *address);
        (attachment.host_link, BridgePort { mac: attachment.pod_mac, addresses: [*address].into() })
    };
    PodBridge {
        link: POD_BRIDGE.into(),
        mac: pod_bridge_mac(),
        routes: [at.pod_range].into(),
        ports: at.pods.iter().enumerate().map(port).collect(),
    }
}

fn attachment(index: usize, address: IpAddr) -> Attachment {
    Attachment {
        container_id: format!("c{index}"),
        ifname: "eth0".into(),
        netns: String::new(),
        pod: Some(pod_name(index + 1)),
        addresses: vec![address],
        host_link: types::LinkName(format!("slpod{index}")),
        host_mac: Mac::derived(&format!("host {index}")),
        pod_mac: Mac::derived(&format!("pod {index}")),
        link: None,
        origin: types::LinkOrigin::Own,
        port_mappings: Vec::new(),
        bandwidth: types::Bandwidth::default(),
    }
}

/// How a connection went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Who answered, and the address it saw.
    Reached { server: String, seen: IpAddr },
    /// A TCP reset or an ICMP error.
    Refused,
    /// Nothing.
    Silence,
    /// Something else.
    Other(String),
}

impl Answer {
    fn of(result: io::Result<String>) -> Self {
        match result {
            Ok(text) => match text.split_once(' ').map(|(server, seen)| (server, seen.parse())) {
                Some((server, Ok(seen))) => Self::Reached { server: server.to_owned(), seen },
                _ => Self::Other(text),
            },
            Err(error) => match error.kind() {
                // A node's own packet is refused where it is sent.
                io::ErrorKind::ConnectionRefused | io::ErrorKind::PermissionDenied => Self::Refused,
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Silence,
                _ => Self::Other(error.to_string()),
            },
        }
    }

    /// The server, when one was reached.
    pub(crate) fn server(self) -> String {
        match self {
            Self::Reached { server, .. } => server,
            other => format!("{other:?}"),
        }
    }

    /// The address the server saw.
    pub(crate) fn seen(self) -> IpAddr {
        match self {
            Self::Reached { seen, .. } => seen,
            other => panic!("{other:?}"),
        }
    }
}

/// A UDP socket that asks one destination, again and again: one connection to conntrack.
pub(crate) struct Client {
    socket: UdpSocket,
}

impl Client {
    pub(crate) fn open(lab: &Lab, from: From, to: IpAddr, port: u16) -> Self {
        let any: IpAddr = if to.is_ipv4() { [0u8; 4].into() } else { [0u8; 16].into() };
        let socket = run_in(lab.netns(from), || {
            let socket = UdpSocket::bind((any, 0)).unwrap();
            socket.connect((to, port)).unwrap();
            socket
        });
        let socket = socket.unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    pub(crate) fn ask(&self) -> Answer {
        let ask = || {
            self.socket.send(b"?")?;
            let mut buffer = [0; 256];
            let len = self.socket.recv(&mut buffer)?;
            Ok(String::from_utf8_lossy(&buffer[..len]).into_owned())
        };
        Answer::of(ask())
    }
}

/// Answers TCP and UDP with a name and the address it sees, as long as the test runs.
fn serve(netns: &Netns, name: &str, address: IpAddr) {
    let (tcp, udp) = run_in(netns, || {
        let at = (address, PORT);
        (TcpListener::bind(at).unwrap(), UdpSocket::bind(at).unwrap())
    })
    .unwrap();
    let tcp_name = name.to_owned();
    thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            let peer = stream.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
            // A client that left is no error of the server.
            drop(stream.write_all(format!("{tcp_name} {peer}").as_bytes()));
        }
    });
    let name = name.to_owned();
    thread::spawn(move || {
        let mut buffer = [0; 256];
        while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
            drop(udp.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer));
        }
    });
}
