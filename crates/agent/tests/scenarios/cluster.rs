//! The network of one scenario: namespaces for nodes, Pods and the outside, as the plans want them, with servers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use apply_netlink::Netlink;
use apply_netlink::underlay::Port as UnderlayPort;
use apply_nft::Nft;
use netns::{Netns, run_in};
use plan::{
    BridgePort, FrontendAddress, LocalAddress, NodePlan, Outcome, Peer, PeerPath, PodBridge, PodNetwork, Via,
};
use testkit::{Client, Fate, World};
use types::{
    Attachment, IpFamily, LinkName, Mac, NetworkMode, NodeName, POD_BRIDGE, PodName, Prefix, Protocol,
    pod_bridge_mac,
};

use crate::judge::{Place, Trial};
use crate::servers::{Servers, Socket, open};

/// Where the outside stands on the underlay of the lab that scenarios start from, and the length of that prefix.
fn outside_of(family: IpFamily) -> (IpAddr, u8) {
    match family {
        IpFamily::V4 => (address("172.31.0.1"), 24),
        IpFamily::V6 => (address("fd00:31::1"), 64),
    }
}

/// The family of the lab: that of its nodes' addresses.
fn family(world: &World) -> IpFamily {
    let mut addresses = world.plans.values().filter_map(|plan| plan.services.node_addresses.first());
    IpFamily::of(*addresses.next().expect("a lab has nodes with addresses"))
}

/// A scenario's namespaces. They go away with this value.
pub(crate) struct Cluster {
    outside: Netns,
    /// Addresses of clients and servers outside, apart from its address on the underlay.
    outside_addresses: BTreeSet<IpAddr>,
    nodes: BTreeMap<NodeName, Netns>,
    pods: BTreeMap<PodName, Netns>,
    _servers: Servers,
}

impl Cluster {
    /// Makes everything that the trials may touch.
    pub(crate) fn build(world: &World, trials: &[Trial<'_>], links: NetworkMode) -> Self {
        let outside = namespace_of_host();
        let bridge = LinkName::from("underlay");
        let (gateway, prefix_len) = outside_of(family(world));
        let open_outside = |netlink: &mut Netlink| netlink.make_underlay(&bridge, gateway, prefix_len);
        inside(&outside, open_outside).unwrap();
        let mut nodes = BTreeMap::new();
        let mut pods = BTreeMap::new();
        for (index, (name, plan)) in world.plans.iter().enumerate() {
            let node = namespace_of_host();
            let port = UnderlayPort {
                bridge: bridge.clone(),
                host_link: LinkName(format!("port{index}")),
                link: LinkName::from("eth0"),
                address: *plan.services.node_addresses.first().unwrap(),
                prefix_len,
                gateway: Some(gateway),
            };
            inside(&outside, |netlink| netlink.join_underlay(&node, &port)).unwrap();
            pods.extend(furnish(&node, plan, links));
            nodes.insert(name.clone(), node);
        }
        let outside_addresses = outside_addresses(world, trials);
        let mut cluster = Self { outside, outside_addresses, nodes, pods, _servers: Servers::default() };
        cluster.route_outside(&BTreeMap::new());
        cluster._servers = Servers::start(cluster.sockets(world, trials));
        cluster
    }

    /// The namespace that a client's sockets are made in.
    pub(crate) fn home(&self, client: &Client) -> &Netns {
        match client {
            Client::Pod(pod) => &self.pods[pod],
            Client::Node(node) => &self.nodes[node],
            Client::Outside { .. } => &self.outside,
        }
    }

    /// Leads packets from outside for each destination to one node, as its router would, and no others to any.
    pub(crate) fn route_outside(&self, routes: &BTreeMap<IpAddr, &NodePlan>) {
        let mut peers: BTreeMap<NodeName, Peer> = BTreeMap::new();
        for (destination, plan) in routes {
            let underlay = *plan.services.node_addresses.first().unwrap();
            let peer = Peer { underlay, paths: BTreeMap::new(), failing: None };
            let path = PeerPath { via: Via::Direct { nexthop: underlay }, mtu: 1500 };
            let paths = &mut peers.entry(plan.node.clone()).or_insert(peer).paths;
            paths.insert(Prefix::host(*destination), path);
        }
        let held = self.outside_addresses.iter().map(|held| (*held, LocalAddress::LoadBalancer));
        let network = PodNetwork { local_addresses: held.collect(), peers, ..PodNetwork::default() };
        let report = inside(&self.outside, |netlink| netlink.converge(&network));
        assert_eq!(report.failures, [], "outside");
    }

    /// A server for everything that a trial may reach, and for what it reaches if a rule is missing.
    fn sockets(&self, world: &World, trials: &[Trial<'_>]) -> Vec<Socket> {
        let ports = ports(world, trials);
        let at = |held: IpAddr| -> BTreeSet<(Protocol, SocketAddr)> {
            ports.iter().map(|(protocol, port)| (*protocol, SocketAddr::new(held, *port))).collect()
        };
        let mut sockets = Vec::new();
        for (held, pod) in world.plans.values().flat_map(|plan| &plan.podnet.local_pods) {
            sockets.extend(open(&self.pods[pod], &Place::Pod(pod.clone()), &at(*held)));
        }
        for held in self.outside_addresses.iter().chain([&outside_of(family(world)).0]) {
            sockets.extend(open(&self.outside, &Place::Outside, &at(*held)));
        }
        for (node, netns) in &self.nodes {
            sockets.extend(open(netns, &Place::Node(node.clone()), &on_node(&world.plans[node], trials)));
        }
        sockets
    }
}

/// A namespace whose addresses can be used at once: those that are looked for on the link first answer nobody.
fn namespace_of_host() -> Netns {
    let netns = Netns::create_unnamed().unwrap();
    let set = || std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
    run_in(&netns, set).unwrap().unwrap();
    netns
}

/// Does something with a fresh netlink socket in a namespace.
fn inside<T: Send>(netns: &Netns, action: impl FnOnce(&mut Netlink) -> T + Send) -> T {
    run_in(netns, || action(&mut Netlink::open().unwrap())).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Puts a node's plan into the kernel and attaches its Pods.
fn furnish(node: &Netns, plan: &NodePlan, links: NetworkMode) -> BTreeMap<PodName, Netns> {
    let mut addresses: BTreeMap<PodName, Vec<IpAddr>> = BTreeMap::new();
    for (held, pod) in &plan.podnet.local_pods {
        addresses.entry(pod.clone()).or_default().push(*held);
    }
    let attachments: Vec<Attachment> =
        addresses.iter().enumerate().map(|(index, (pod, held))| attachment(index, pod, held)).collect();
    let mut plan = plan.clone();
    plan.podnet.link.mode = links;
    plan.podnet.bridge = (links == NetworkMode::Bridge).then(|| bridge(&plan.podnet, &attachments));
    let pods: BTreeMap<PodName, Netns> =
        addresses.keys().map(|pod| (pod.clone(), Netns::create_unnamed().unwrap())).collect();
    run_in(node, || {
        let mut netlink = Netlink::open().unwrap();
        assert_eq!(netlink.converge(&plan.podnet).failures, [], "links of {}", plan.node);
        for (attachment, netns) in attachments.iter().zip(pods.values()) {
            netlink.attach(netns, attachment, &plan.podnet.link).unwrap();
        }
        let mut nft = Nft::open().unwrap();
        let rules = [ruleset::render_frames(&plan), ruleset::render(&plan)];
        let mut load = || nft.converge(&rules[0]).and(nft.converge(&rules[1]));
        assert_eq!(load().failures, [], "rules of {}", plan.node);
        let again = netlink.converge(&plan.podnet).and(load());
        assert_eq!((again.written, again.failures), (0, Vec::new()), "{} a second time", plan.node);
    })
    .unwrap();
    pods
}

/// The bridge with these Pods on it, as `compile` plans it.
fn bridge(podnet: &PodNetwork, pods: &[Attachment]) -> PodBridge {
    let port = |pod: &Attachment| {
        let addresses = pod.addresses.iter().copied().collect();
        (pod.host_link.clone(), BridgePort { mac: pod.pod_mac, addresses })
    };
    PodBridge {
        link: POD_BRIDGE.into(),
        mac: pod_bridge_mac(),
        routes: podnet.pod_cidrs.iter().copied().collect(),
        ports: pods.iter().map(port).collect(),
    }
}

fn attachment(index: usize, pod: &PodName, addresses: &[IpAddr]) -> Attachment {
    Attachment {
        container_id: format!("c{index}"),
        ifname: LinkName::from("eth0"),
        netns: String::new(),
        pod: Some(pod.clone()),
        addresses: addresses.to_vec(),
        host_link: LinkName(format!("slpod{index}")),
        host_mac: Mac::derived(&format!("{pod} host")),
        pod_mac: Mac::derived(&format!("{pod} pod")),
        link: None,
        origin: types::LinkOrigin::Own,
        port_mappings: Vec::new(),
        bandwidth: types::Bandwidth::default(),
    }
}

/// Every port that a client aims at or a Service leads to.
fn ports(world: &World, trials: &[Trial<'_>]) -> BTreeSet<(Protocol, u16)> {
    let mut ports: BTreeSet<(Protocol, u16)> =
        trials.iter().map(|trial| (trial.resolved.protocol, trial.resolved.port.number())).collect();
    ports.extend(backends(world).map(|(protocol, end)| (protocol, end.port())));
    ports
}

fn backends(world: &World) -> impl Iterator<Item = (Protocol, SocketAddr)> {
    let frontends = world.plans.values().flat_map(|plan| &plan.services.frontends);
    frontends.flat_map(|(frontend, rule)| {
        let pools = [&rule.internal, &rule.external].into_iter().filter_map(|outcome| match outcome {
            Outcome::Forward { backends, .. } => Some(backends),
            Outcome::Reject | Outcome::Drop => None,
        });
        let ends = pools.flatten().map(|backend| SocketAddr::new(backend.address, backend.port.number()));
        ends.map(|end| (frontend.protocol, end))
    })
}

/// Addresses of clients outside, and those that clients or Services aim at and nobody in the cluster has.
fn outside_addresses(world: &World, trials: &[Trial<'_>]) -> BTreeSet<IpAddr> {
    let clients = trials.iter().filter(|trial| matches!(trial.probe.client, Client::Outside { .. }));
    let aimed_at = trials.iter().map(|trial| trial.resolved.destination);
    let ends =
        aimed_at.chain(backends(world).map(|(_, end)| end.ip())).filter(|end| !is_in_cluster(world, *end));
    let mut addresses: BTreeSet<IpAddr> = clients.map(|trial| trial.resolved.source).chain(ends).collect();
    addresses.remove(&outside_of(family(world)).0);
    addresses
}

fn is_in_cluster(world: &World, address: IpAddr) -> bool {
    world.plans.values().any(|plan| {
        let services = &plan.services;
        let ranges = services.pod_cidrs.iter().chain(&services.service_cidrs);
        holds(plan, address)
            || ranges.into_iter().any(|range| range.contains(address))
            || services.frontends.keys().any(|frontend| frontend.address == FrontendAddress::Vip(address))
    })
}

/// Whether a node delivers packets for an address to itself.
pub(crate) fn holds(plan: &NodePlan, address: IpAddr) -> bool {
    plan.services.node_addresses.contains(&address) || plan.podnet.local_addresses.contains_key(&address)
}

/// Whether the outside reaches an address without a router.
pub(crate) fn is_on_underlay(held: IpAddr) -> bool {
    let (outside, prefix_len) = outside_of(IpFamily::of(held));
    Prefix::new(outside, prefix_len).is_some_and(|underlay| underlay.contains(held))
}

/// What the trials reach on a node itself.
fn on_node(plan: &NodePlan, trials: &[Trial<'_>]) -> BTreeSet<(Protocol, SocketAddr)> {
    let reached =
        trials.iter().flat_map(|trial| trial.fates.iter().map(|fate| (trial.resolved.protocol, fate)));
    let ends = reached.filter_map(|(protocol, fate)| match fate {
        Fate::Reached { backend, .. } if holds(plan, backend.address) => {
            Some((protocol, SocketAddr::new(backend.address, backend.port.number())))
        }
        _ => None,
    });
    ends.collect()
}
