//! What one change costs in each pure stage of a node: `one_change [SERVICES] [ENDPOINTS EACH] [simple]`; with the last word also
//! without the short ways.
#![allow(clippy::disallowed_methods, reason = "it measures time and memory and reads its arguments")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use compile::{Compiler, NodeContext, TunnelMode};
use engine_dns::Zone;
use model::{
    Change, Endpoint, EndpointPort, EndpointSlice, Namespace, Object, Pod, Service, ServicePort, ServiceType,
    Snapshot, TargetPort, TrafficPolicy,
};
use plan::NodePlan;
use ruleset::Rendered;
use sealane_testkit::{LAB_MANIFESTS, Manifests, node_context};
use types::{IpFamily, Labels, NamespacedName, NodeName, PackedLabels, Port, Protocol, ServiceName};

const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (services, each) = (number(10_000), number(3));
    let is_simple_too = arguments.next().is_some();
    let snapshot = timed("build the snapshot", || cluster(services, each));
    memory("the snapshot");
    let context = node_context(&NodeName::from(NODES[0]), [172, 31, 0, 11].into(), TunnelMode::Vxlan);
    incremental(snapshot.clone(), &context, (services, each));
    if is_simple_too {
        simple(snapshot, &context, (services, each));
    }
}

/// As the agent does it: everything once, then what has changed.
fn incremental(mut snapshot: Snapshot, context: &NodeContext, (services, each): (u32, u32)) {
    let mut compiler = Compiler::default();
    let (plan, findings) = timed("compile, the first time", || compiler.compile(&snapshot, context));
    println!("{:>44} findings", findings.len());
    memory("the plan");
    let mut rendered = timed("take note of rules", || Rendered::new(&plan));
    memory("taking note of rules");
    let mut zone = timed("zone", || Zone::build(&plan.dns));
    memory("the zone");
    let mut last = plan;
    for round in 0..5 {
        let number = services / 2 + round * 17 % services.max(1);
        let readiness = if round % 2 == 0 { Readiness::OneIsNot } else { Readiness::All };
        println!("a changed slice:");
        let change = Change::Put(Object::EndpointSlice(slice(number, each, readiness)));
        timed("  fold", || snapshot.apply(change));
        one(&mut compiler, &snapshot, context, (&mut rendered, &mut zone, &mut last));
    }
    println!("a Service more:");
    timed("  fold", || snapshot.apply(Change::Put(Object::Service(service(services)))));
    one(&mut compiler, &snapshot, context, (&mut rendered, &mut zone, &mut last));
    println!("a Pod of another node more:");
    timed("  fold", || snapshot.apply(Change::Put(Object::Pod(pod(services, 0, each)))));
    one(&mut compiler, &snapshot, context, (&mut rendered, &mut zone, &mut last));
    memory("all changes");
}

fn one(
    compiler: &mut Compiler,
    snapshot: &Snapshot,
    context: &NodeContext,
    (rendered, zone, last): (&mut Rendered, &mut Zone, &mut NodePlan),
) {
    let whole = Instant::now();
    let (plan, _) = timed("  compile", || compiler.compile(snapshot, context));
    timed("  equality of plans", || plan == *last);
    let following = timed("  render and diff", || rendered.follow(&plan));
    *zone = timed("  zone", || zone.follow(&plan.dns));
    let took = whole.elapsed().as_secs_f64() * 1000.0;
    println!("{:>37} elements, all in {took:.3} ms", following.transaction.len());
    *last = plan;
}

/// The simple version: everything, each time.
fn simple(mut snapshot: Snapshot, context: &NodeContext, (services, each): (u32, u32)) {
    println!("the simple version:");
    let (plan, _) = timed("compile the whole plan", || compile::node_plan(&snapshot, context));
    let rules = timed("render", || ruleset::render(&plan));
    memory("the ruleset");
    snapshot.apply(Change::Put(Object::EndpointSlice(slice(services / 2, each, Readiness::OneIsNot))));
    let (next, _) = timed("compile the whole plan again", || compile::node_plan(&snapshot, context));
    timed("equality of plans", || plan == next);
    let desired = timed("render again", || ruleset::render(&next));
    let transaction = timed("diff of rulesets", || ruleset::diff(&rules, &desired));
    println!("{:>44} elements", transaction.len());
    timed("rightful connections", || ruleset::Rightful::of(&next));
    memory("the simple version");
}

fn timed<T>(what: &str, action: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = action();
    println!("{what:<32}{:>12.3} ms", start.elapsed().as_secs_f64() * 1000.0);
    result
}

fn memory(after: &str) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("unknown");
    println!("{:>44} after {after}", resident.replace('\t', " "));
}

#[derive(Clone, Copy, PartialEq)]
enum Readiness {
    All,
    OneIsNot,
}

fn cluster(services: u32, each: u32) -> Snapshot {
    let mut snapshot = Snapshot::default();
    Manifests::parse(LAB_MANIFESTS).expect("the lab's manifests").apply_to(&mut snapshot);
    let namespaces = (0..=services / 100)
        .map(|number| Namespace { name: format!("team-{number}"), labels: Labels::new() });
    let objects = namespaces.map(Object::Namespace).chain((0..services).flat_map(|number| {
        let pods = (0..each).map(move |slot| Object::Pod(pod(number, slot, each)));
        let slice = slice(number, each, Readiness::All);
        pods.chain([Object::Service(service(number)), Object::EndpointSlice(slice)])
    }));
    for object in objects {
        snapshot.apply(Change::Put(object));
    }
    snapshot
}

fn name(number: u32) -> ServiceName {
    ServiceName::new(format!("team-{}", number / 100), format!("service-{number}"))
}

fn pod_name(number: u32, slot: u32) -> NamespacedName {
    let service = name(number);
    NamespacedName::new(&*service.namespace, format!("{}-5d8f7c9b6d-{slot}", service.name))
}

/// The first node has few of the Pods, as one of many has.
fn place(number: u32, slot: u32, each: u32) -> (NodeName, IpAddr) {
    let index = number * each + slot;
    let node = if index < 100 { NODES[0] } else { NODES[1 + index as usize % 2] };
    let base = if index < 100 { 0x0af4_0102 } else { 0x0af4_0400 };
    (NodeName::from(node), Ipv4Addr::from(base + index).into())
}

fn pod(number: u32, slot: u32, each: u32) -> Pod {
    let (node, address) = place(number, slot, each);
    Pod {
        name: pod_name(number, slot),
        labels: labels(number).into(),
        node: Some(node),
        addresses: vec![address],
        host_network: false,
        finished: false,
        cluster_search: true,
        ports: Vec::new(),
    }
}

fn labels(number: u32) -> Labels {
    Labels::from([("app".to_owned(), format!("service-{number}"))])
}

fn port(number: u16) -> Port {
    Port::new(number).expect("not 0")
}

fn service(number: u32) -> Service {
    Service {
        name: name(number),
        labels: PackedLabels::default(),
        kind: ServiceType::ClusterIp,
        cluster_ips: vec![Ipv4Addr::from(0x0a60_0100 + number).into()],
        headless: false,
        external_name: None,
        selector: Some(labels(number)),
        ports: vec![ServicePort {
            name: "http".to_owned(),
            protocol: Protocol::Tcp,
            port: port(80),
            target: TargetPort::Number(port(8080)),
            node_port: None,
        }],
        external_ips: BTreeSet::new(),
        load_balancer: None,
        status: Vec::new(),
        conditions: BTreeMap::new(),
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        health_check_node_port: None,
        affinity_seconds: None,
        publish_not_ready: false,
        scheduling: model::Scheduling::default(),
        proxied_elsewhere: false,
    }
}

fn slice(number: u32, each: u32, readiness: Readiness) -> EndpointSlice {
    let endpoint = |slot| {
        let (node, address) = place(number, slot, each);
        let ready = slot > 0 || readiness == Readiness::All;
        Endpoint {
            address,
            ready,
            serving: ready,
            terminating: false,
            hostname: None,
            node: Some(node),
            pod: Some(pod_name(number, slot)),
            zone: None,
            hints: None,
        }
    };
    let service = name(number);
    EndpointSlice {
        name: NamespacedName::new(&*service.namespace, format!("{}-x7k2p", service.name)),
        labels: PackedLabels::default(),
        service: Some(service),
        family: Some(IpFamily::V4),
        ports: vec![EndpointPort {
            name: "http".to_owned(),
            protocol: Protocol::Tcp,
            port: Some(port(8080)),
        }],
        endpoints: (0..each).map(endpoint).collect(),
        headless: false,
    }
}
