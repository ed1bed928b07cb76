//! Every way between nodes with every family and each kind of Pod links: who reaches whom, with which source address.
//!
//! Three nodes, planned from API objects as an agent does. The third is on another subnet behind a router, which is also
//! the outside; direct routes do not lead there, and `auto` takes the tunnel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use apply_netlink::Netlink;
use apply_netlink::underlay::Port;
use apply_nft::Nft;
use compile::{TunnelMode, Underlay, UnderlayAddress, node_plan};
use model::{Change, Snapshot};
use netns::{Netns, run_in};
use plan::{NodePlan, Via};
use serde_json::json;
use types::{Attachment, IpFamily, LinkName, Mac, NetworkMode, NodeName, PodLink, PodName, Prefix};

const PATIENCE: Duration = Duration::from_secs(5);
const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];
const TARGET_PORT: u16 = 8080;

/// What one run is about.
#[derive(Clone, Copy, Debug)]
struct Case {
    tunnel: TunnelMode,
    families: &'static [IpFamily],
    links: NetworkMode,
}

/// Addresses of one family.
struct Numbers {
    family: IpFamily,
    outside: [IpAddr; 2],
    underlay: [IpAddr; 3],
    underlay_len: u8,
    ranges: [Prefix; 3],
    pod_range: Prefix,
    service_range: Prefix,
    service: IpAddr,
    elsewhere: IpAddr,
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn range(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn numbers(family: IpFamily) -> Numbers {
    match family {
        IpFamily::V4 => Numbers {
            family,
            outside: ["172.31.0.1", "172.31.1.1"].map(ip),
            underlay: ["172.31.0.11", "172.31.0.12", "172.31.1.13"].map(ip),
            underlay_len: 24,
            ranges: ["10.244.1.0/24", "10.244.2.0/24", "10.244.3.0/24"].map(range),
            pod_range: range("10.244.0.0/16"),
            service_range: range("10.96.0.0/16"),
            service: ip("10.96.0.80"),
            elsewhere: ip("203.0.113.9"),
        },
        IpFamily::V6 => Numbers {
            family,
            outside: ["fd00:31::1", "fd00:31:1::1"].map(ip),
            underlay: ["fd00:31::11", "fd00:31::12", "fd00:31:1::13"].map(ip),
            underlay_len: 64,
            ranges: ["fd00:244:0:1::/64", "fd00:244:0:2::/64", "fd00:244:0:3::/64"].map(range),
            pod_range: range("fd00:244::/48"),
            service_range: range("fd00:96::/112"),
            service: ip("fd00:96::80"),
            elsewhere: ip("2001:db8::9"),
        },
    }
}

impl Numbers {
    /// Address of a node's Pod; each node has Pods 5 and 6.
    fn pod(&self, node: usize, pod: u128) -> IpAddr {
        self.ranges[node].nth(pod).unwrap()
    }

    fn subnet(&self, address: IpAddr) -> Prefix {
        Prefix::new(address, self.underlay_len).unwrap()
    }
}

pub(crate) fn run_all(links: NetworkMode) {
    for tunnel in [TunnelMode::Vxlan, TunnelMode::Direct, TunnelMode::Auto] {
        for families in [&[IpFamily::V4][..], &[IpFamily::V6], &[IpFamily::V4, IpFamily::V6]] {
            let case = Case { tunnel, families, links };
            println!("{case:?}");
            run(case);
        }
    }
}

fn run(case: Case) {
    let numbers: Vec<Numbers> = case.families.iter().map(|family| numbers(*family)).collect();
    let snapshot = snapshot(&numbers);
    let plans: Vec<NodePlan> =
        (0..3).map(|node| node_plan(&snapshot, &context(case, node, &numbers)).0).collect();
    let net = Net::build(&numbers, &plans);
    net.check(case, &numbers, &plans[0]);
    if case.links == NetworkMode::Bridge {
        net.hide_bridged_packets();
        net.check(case, &numbers, &plans[0]);
    }
    let ways = |node: usize| -> BTreeSet<&str> {
        let way = |via: Via| if matches!(via, Via::Direct { .. }) { "direct" } else { "vxlan" };
        let peer = plans[0].podnet.peers.get(&NodeName::from(NODES[node]));
        peer.into_iter().flat_map(|peer| peer.paths.values()).map(|path| way(path.via)).collect()
    };
    let wanted = match case.tunnel {
        TunnelMode::Vxlan => [Some("vxlan"), Some("vxlan")],
        TunnelMode::Direct => [Some("direct"), None],
        TunnelMode::Auto => [Some("direct"), Some("vxlan")],
    };
    assert_eq!([ways(1), ways(2)], wanted.map(|way| way.into_iter().collect()));
}

// === objects ===

fn snapshot(numbers: &[Numbers]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let mut put = |object: Change| snapshot.apply(object);
    for (index, name) in NODES.into_iter().enumerate() {
        let ranges: Vec<_> = numbers.iter().map(|numbers| numbers.ranges[index]).collect();
        let addresses: Vec<_> = numbers
            .iter()
            .map(|numbers| json!({"type": "InternalIP", "address": numbers.underlay[index]}))
            .collect();
        put(Change::put(&from_json::<k8s_openapi::api::core::v1::Node>(json!({
            "metadata": {"name": name},
            "spec": {"podCIDR": ranges[0], "podCIDRs": ranges},
            "status": {"addresses": addresses, "conditions": [{"type": "Ready", "status": "True"}]},
        }))));
        for pod in [5, 6] {
            let ips: Vec<IpAddr> = numbers.iter().map(|numbers| numbers.pod(index, pod)).collect();
            let listed: Vec<_> = ips.iter().map(|ip| json!({"ip": ip})).collect();
            put(Change::put(&from_json::<k8s_openapi::api::core::v1::Pod>(json!({
                "metadata": {"namespace": "shop", "name": format!("{name}-{pod}")},
                "spec": {"nodeName": name, "containers": [{"name": "main"}]},
                "status": {"phase": "Running", "podIP": ips[0], "podIPs": listed,
                    "conditions": [{"type": "Ready", "status": "True"}]},
            }))));
        }
    }
    let vips: Vec<IpAddr> = numbers.iter().map(|numbers| numbers.service).collect();
    let families: Vec<String> = numbers.iter().map(|numbers| numbers.family.to_string()).collect();
    put(Change::put(&from_json::<k8s_openapi::api::core::v1::Service>(json!({
        "metadata": {"namespace": "shop", "name": "self"},
        "spec": {"clusterIP": vips[0], "clusterIPs": vips, "ipFamilies": families, "type": "ClusterIP",
            "ipFamilyPolicy": "PreferDualStack", "ports": [{"port": 80, "targetPort": TARGET_PORT, "protocol": "TCP"}]},
    }))));
    for numbers in numbers {
        // The one backend is a client, too.
        put(Change::put(&from_json::<k8s_openapi::api::discovery::v1::EndpointSlice>(json!({
            "metadata": {"namespace": "shop", "name": format!("self-{}", numbers.family).to_lowercase(),
                "labels": {"kubernetes.io/service-name": "self"}},
            "addressType": numbers.family.to_string(),
            "ports": [{"name": "", "port": TARGET_PORT, "protocol": "TCP"}],
            "endpoints": [{"addresses": [numbers.pod(0, 5)], "nodeName": NODES[0], "conditions": {"ready": true}}],
        }))));
    }
    snapshot
}

fn from_json<K: k8s_openapi::serde::de::DeserializeOwned>(value: serde_json::Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn context(case: Case, node: usize, numbers: &[Numbers]) -> compile::NodeContext {
    let own = |numbers: &Numbers| numbers.underlay[node];
    let held = |numbers: &Numbers| UnderlayAddress {
        address: own(numbers),
        subnet: Some(numbers.subnet(own(numbers))),
    };
    compile::NodeContext {
        underlay: Underlay {
            link: LinkName::from("eth0"),
            addresses: numbers.iter().map(held).collect(),
            mtu: 1500,
        },
        pod_cidrs: numbers.iter().map(|numbers| numbers.pod_range).collect(),
        service_cidrs: numbers.iter().map(|numbers| numbers.service_range).collect(),
        dns_addresses: BTreeSet::new(),
        pod_links: case.links,
        attachments: [5, 6]
            .map(|pod| {
                let attachment = attachment(node, pod, numbers, case.links);
                ((attachment.container_id.clone(), attachment.ifname.clone()), attachment)
            })
            .into(),
        ..testkit::node_context(&NodeName::from(NODES[node]), own(&numbers[0]), case.tunnel)
    }
}

// === namespaces ===

struct Net {
    outside: Netns,
    nodes: Vec<Netns>,
    pods: BTreeMap<(usize, u128), Netns>,
}

fn inside<T: Send>(netns: &Netns, action: impl FnOnce(&mut Netlink) -> T + Send) -> T {
    run_in(netns, || action(&mut Netlink::open().unwrap())).unwrap()
}

fn set(name: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/{name}"), value).unwrap();
}

impl Net {
    /// Everything, in every family.
    fn check(&self, case: Case, numbers: &[Numbers], plan: &NodePlan) {
        for numbers in numbers {
            let far = match case.tunnel {
                TunnelMode::Direct => &[1][..],
                TunnelMode::Vxlan | TunnelMode::Auto => &[1, 2],
            };
            self.check_pods(numbers, far);
            self.check_service(numbers);
            self.check_outside(numbers);
            for node in far {
                self.check_nodes(numbers, *node, plan);
            }
        }
    }

    /// Has the kernel not show what bridges pass on to rules for packets, as on a machine without `br_netfilter`.
    fn hide_bridged_packets(&self) {
        for node in &self.nodes {
            run_in(node, || {
                for tables in ["iptables", "ip6tables"] {
                    // Where there is no such setting they are hidden anyhow.
                    let _ = std::fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{tables}"), "0");
                }
            })
            .unwrap();
        }
    }

    fn build(numbers: &[Numbers], plans: &[NodePlan]) -> Self {
        let outside = Netns::create_unnamed().unwrap();
        let bridge = LinkName::from("underlay");
        let first = &numbers[0];
        inside(&outside, |netlink| {
            netlink.make_underlay(&bridge, first.outside[0], first.underlay_len).unwrap();
            for numbers in numbers {
                for address in numbers.outside.into_iter().chain([numbers.elsewhere]) {
                    if address != first.outside[0] {
                        netlink.add_underlay_address(&bridge, address, numbers.underlay_len).unwrap();
                    }
                }
            }
            set("ipv4/ip_forward", "1");
            set("ipv6/conf/all/forwarding", "1");
        });
        let mut net = Self { outside, nodes: Vec::new(), pods: BTreeMap::new() };
        for (index, plan) in plans.iter().enumerate() {
            net.add_node(index, numbers, plan);
        }
        net
    }

    fn add_node(&mut self, index: usize, numbers: &[Numbers], plan: &NodePlan) {
        let node = Netns::create_unnamed().unwrap();
        let router = |numbers: &Numbers| numbers.outside[usize::from(index == 2)];
        let first = &numbers[0];
        let port = Port {
            bridge: LinkName::from("underlay"),
            host_link: LinkName(format!("port{index}")),
            link: LinkName::from("eth0"),
            address: first.underlay[index],
            prefix_len: first.underlay_len,
            gateway: Some(router(first)),
        };
        run_in(&node, || {
            netns::bring_up_loopback().unwrap();
            // Underlay addresses that are still being probed for duplicates answer nobody.
            set("ipv6/conf/default/accept_dad", "0");
        })
        .unwrap();
        inside(&self.outside, |netlink| netlink.join_underlay(&node, &port)).unwrap();
        inside(&node, |netlink| {
            for numbers in &numbers[1..] {
                netlink
                    .add_underlay_address(&port.link, numbers.underlay[index], numbers.underlay_len)
                    .unwrap();
                let everything = Prefix::new(numbers.outside[0], 0).unwrap();
                netlink.route_through(everything, router(numbers)).unwrap();
            }
            assert_eq!(netlink.converge(&plan.podnet).failures, [], "links of {}", plan.node);
            let mut nft = Nft::open().unwrap();
            let rules = nft.converge(&ruleset::render_frames(plan)).and(nft.converge(&ruleset::render(plan)));
            assert_eq!(rules.failures, [], "rules of {}", plan.node);
            for pod in [5, 6] {
                let netns = Netns::create_unnamed().unwrap();
                run_in(&netns, netns::bring_up_loopback).unwrap().unwrap();
                let attachment = attachment(index, pod, numbers, plan.podnet.link.mode);
                netlink.attach(&netns, &attachment, &plan.podnet.link).unwrap();
                self.pods.insert((index, pod), netns);
            }
            assert_eq!(netlink.converge(&plan.podnet).written, 0, "{} a second time", plan.node);
        });
        self.nodes.push(node);
    }

    /// Pods of one node, and of two; both see each other's own addresses.
    fn check_pods(&self, numbers: &Numbers, far: &[usize]) {
        let (client, own) = (&self.pods[&(0, 5)], numbers.pod(0, 5));
        for node in std::iter::once(&0).chain(far) {
            let (server, address) = (&self.pods[&(*node, 6)], numbers.pod(*node, 6));
            assert_eq!(greet(client, server, address, 0), own, "Pod to Pod of {}", NODES[*node]);
            assert_eq!(greet(server, client, own, 0), address, "Pod of {} to Pod", NODES[*node]);
        }
    }

    /// The node of the Pods, and another one.
    fn check_nodes(&self, numbers: &Numbers, far: usize, plan: &NodePlan) {
        let (pod, own) = (&self.pods[&(0, 5)], numbers.pod(0, 5));
        assert_eq!(greet(pod, &self.nodes[0], numbers.underlay[0], 0), own, "Pod to its node");
        // A Pod's link has no address of the node, so the kernel takes another link's: for IPv6 the one that resembles
        // the destination most (RFC 6724, rule 8), which is that of the tunnel.
        let tunnel = plan.podnet.vxlan.as_ref().and_then(|vxlan| vxlan.address(numbers.family));
        let is_v6 = numbers.family == IpFamily::V6;
        let wanted = tunnel.filter(|_| is_v6).unwrap_or(numbers.underlay[0]);
        assert_eq!(greet(&self.nodes[0], pod, own, 0), wanted, "node to its Pod");
        assert_eq!(greet(pod, &self.nodes[far], numbers.underlay[far], 0), own, "Pod to another node");
        let address = numbers.pod(far, 6);
        let peer = &plan.podnet.peers[&NodeName::from(NODES[far])];
        let source = match peer.path_to(address).unwrap().via {
            Via::Direct { .. } => numbers.underlay[0],
            Via::Vxlan { .. } => numbers.ranges[0].first(),
        };
        let server = &self.pods[&(far, 6)];
        assert_eq!(greet(&self.nodes[0], server, address, 0), source, "node to a Pod of another node");
    }

    /// A Service from the Pod that is its only backend, from its neighbour, and from another node.
    fn check_service(&self, numbers: &Numbers) {
        let backend = &self.pods[&(0, 5)];
        let call = |client: &Netns| greet_at(client, backend, numbers.service, 80, numbers.pod(0, 5));
        assert!(call(backend).is_ok(), "hairpin");
        assert_eq!(call(&self.pods[&(0, 6)]).unwrap(), numbers.pod(0, 6), "from the same node");
        assert_eq!(call(&self.pods[&(1, 6)]).unwrap(), numbers.pod(1, 6), "from another node");
    }

    /// Outside, a Pod is its node.
    fn check_outside(&self, numbers: &Numbers) {
        let seen = greet(&self.pods[&(0, 5)], &self.outside, numbers.elsewhere, 0);
        assert_eq!(seen, numbers.underlay[0], "masqueraded");
    }
}

fn attachment(node: usize, pod: u128, numbers: &[Numbers], mode: NetworkMode) -> Attachment {
    let addresses = numbers.iter().map(|numbers| numbers.pod(node, pod)).collect();
    let name = format!("{}-{pod}", NODES[node]);
    Attachment {
        container_id: name.clone(),
        ifname: LinkName::from("eth0"),
        netns: String::new(),
        pod: Some(PodName::new("shop", &name)),
        addresses,
        host_link: LinkName(format!("slpod{node}{pod}")),
        host_mac: Mac::derived(&format!("{name} host")),
        pod_mac: Mac::derived(&format!("{name} pod")),
        link: Some(PodLink { mode, ..PodLink::default() }),
        origin: types::LinkOrigin::Own,
        port_mappings: Vec::new(),
        bandwidth: types::Bandwidth::default(),
    }
}

/// Connects to a listener at this very address; the source that the listener sees.
fn greet(client: &Netns, server: &Netns, to: IpAddr, port: u16) -> IpAddr {
    let listener = run_in(server, || TcpListener::bind((to, port)).unwrap()).unwrap();
    accepted(client, &listener, listener.local_addr().unwrap())
        .unwrap_or_else(|error| panic!("{to}: {error}"))
}

/// Connects to a frontend, behind which is the listener.
fn greet_at(
    client: &Netns,
    server: &Netns,
    to: IpAddr,
    port: u16,
    backend: IpAddr,
) -> std::io::Result<IpAddr> {
    let listener = run_in(server, || TcpListener::bind((backend, TARGET_PORT)).unwrap()).unwrap();
    accepted(client, &listener, SocketAddr::new(to, port))
}

fn accepted(client: &Netns, listener: &TcpListener, to: SocketAddr) -> std::io::Result<IpAddr> {
    let _stream = run_in(client, || TcpStream::connect_timeout(&to, PATIENCE)).unwrap()?;
    Ok(listener.accept()?.1.ip())
}
