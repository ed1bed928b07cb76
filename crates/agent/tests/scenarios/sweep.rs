//! Everybody tries everything, in one cluster with every kind of Service and policy: the packets do as the plans say.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use netns::world;
use plan::FrontendAddress;
use testkit::{Probe, Scenario, World};
use types::{IpFamily, NetworkMode};

use crate::cluster::Cluster;
use crate::judge::Trial;

const CROSSROADS: &str = include_str!("crossroads.scn");

#[test]
fn everybody_tries_everything_through_tunnels() {
    world::test(|| sweep("vxlan", NetworkMode::Routed));
}

#[test]
fn everybody_tries_everything_over_direct_routes() {
    world::test(|| sweep("direct", NetworkMode::Routed));
}

#[test]
fn everybody_tries_everything_on_bridges() {
    world::test(|| sweep("vxlan", NetworkMode::Bridge));
}

fn sweep(tunnel: &str, links: NetworkMode) {
    let world = Scenario::parse(&format!("{CROSSROADS}\n== lab tunnel={tunnel}\n")).unwrap().world();
    let probes: Vec<Probe> =
        lines(&world, &Others::of(IpFamily::V4)).iter().map(|line| Probe::parse(line).unwrap()).collect();
    let trials: Vec<Trial<'_>> = probes.iter().map(|probe| Trial::unstated(&world, probe).unwrap()).collect();
    let wrong = Trial::run_all(&trials, &Cluster::build(&world, &trials, links));
    println!("sealane-note: {} probes sent as packets, tunnel mode {tunnel}, {links} links", trials.len());
    assert!(wrong.is_empty(), "{} of {} probes\n{}", wrong.len(), trials.len(), wrong.join("\n"));
}

/// Addresses that no cluster has, and two that everyone of a family has.
pub(crate) struct Others {
    /// In the range of Services, but of none.
    unused: &'static str,
    dns: &'static str,
    /// Clients outside, the first on the network of the nodes.
    clients: [&'static str; 2],
    servers: [&'static str; 2],
}

impl Others {
    pub(crate) fn of(family: IpFamily) -> Self {
        match family {
            IpFamily::V4 => Self {
                unused: "10.96.0.99",
                dns: "10.96.0.10",
                clients: ["172.31.0.1", "192.0.2.7"],
                servers: ["203.0.113.5:443/TCP", "203.0.113.31:443/TCP"],
            },
            IpFamily::V6 => Self {
                unused: "[fd00:96::99]",
                dns: "[fd00:96::a]",
                clients: ["fd00:31::1", "2001:db8:2::7"],
                servers: ["[2001:db8:3::5]:443/TCP", "[2001:db8:3::31]:443/TCP"],
            },
        }
    }
}

/// A probe for every client and target. What it states is not looked at.
pub(crate) fn lines(world: &World, others: &Others) -> BTreeSet<String> {
    let (pods, nodes) = (pods(world), nodes(world));
    let everybody = targets(world, others);
    let mut lines = BTreeSet::new();
    for target in &everybody {
        for client in pods.iter().chain(&nodes) {
            lines.insert(format!("{client} → {target} dropped"));
        }
        // Nobody goes to a node's own address over another node.
        let via = if is_of_node(world, target) { "" } else { " via node-a" };
        for client in others.clients {
            lines.insert(format!("outside {client}{via} → {target} dropped"));
        }
    }
    for client in &pods {
        for target in others.servers {
            lines.insert(format!("{client} → {target} dropped"));
        }
    }
    for target in node_ports(world).iter().chain(&pod_ports(world)) {
        for client in pods.iter().chain(&nodes) {
            lines.insert(format!("{client} → {target} dropped"));
        }
        for client in others.clients {
            lines.insert(format!("outside {client} → {target} dropped"));
        }
    }
    lines
}

fn is_of_node(world: &World, target: &str) -> bool {
    let address = target.split_once('/').and_then(|(end, _)| end.parse::<SocketAddr>().ok());
    let mut plans = world.plans.values();
    plans.any(|plan| address.is_some_and(|end| plan.services.node_addresses.contains(&end.ip())))
}

fn pods(world: &World) -> Vec<String> {
    let pods = world.plans.values().flat_map(|plan| plan.podnet.local_pods.values());
    pods.map(|pod| format!("pod {pod}")).collect()
}

fn nodes(world: &World) -> Vec<String> {
    world.plans.keys().map(|node| format!("node {node}")).collect()
}

/// Every address of a Service with its ports, one port that it does not have, and the addresses next to them.
fn targets(world: &World, others: &Others) -> BTreeSet<String> {
    let (unused, dns) = (format!("{}:80/TCP", others.unused), format!("{}:53/UDP", others.dns));
    let mut targets = BTreeSet::from([unused, dns]);
    for frontend in world.plans.values().flat_map(|plan| plan.services.frontends.keys()) {
        if let FrontendAddress::Vip(address) = frontend.address {
            let end = SocketAddr::new(address, frontend.port.number());
            targets.insert(format!("{end}/{}", frontend.protocol));
            if world
                .plans
                .values()
                .any(|plan| plan.services.service_cidrs.iter().any(|range| range.contains(address)))
            {
                targets.insert(format!("{}/TCP", SocketAddr::new(address, 81)));
            }
        }
    }
    targets
}

fn node_ports(world: &World) -> BTreeSet<String> {
    let mut targets = BTreeSet::new();
    for plan in world.plans.values() {
        for frontend in plan.services.frontends.keys() {
            if frontend.address == FrontendAddress::NodePort {
                targets.insert(format!("node {}:{}/{}", plan.node, frontend.port, frontend.protocol));
            }
        }
    }
    targets
}

fn pod_ports(world: &World) -> BTreeSet<String> {
    let pods = pods(world);
    let ports = ["8080/TCP", "8080/UDP", "80/TCP"];
    pods.iter().flat_map(|pod| ports.map(|port| format!("{pod}:{port}"))).collect()
}
