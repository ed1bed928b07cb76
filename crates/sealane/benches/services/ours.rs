//! Ours: a process that holds the cluster as an agent does, and does one thing per line that it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use apply_nft::{Look, Nft};
use compile::{Compiler, NodeContext, PodLinkMtu, Underlay, UnderlayAddress};
use model::{Change as ModelChange, Object, Snapshot};
use plan::NodePlan;
use ruleset::{Ruleset, TableFamily};
use types::{IpFamily, Masquerading, NamespacedName, NetworkMode, NodeName, PackedLabels, TunnelMode};

use crate::cluster::{
    Change, NAMESPACE, NODE_ADDRESS, NODE_POD_RANGE, POD_RANGE, SERVICE_RANGE, Service, Size,
};
use crate::own_path;
use crate::space::Space;

/// The process, as seen from outside.
pub(crate) struct Ours {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Ours {
    /// Starts it on a node.
    pub(crate) fn start(space: &Space, size: Size) -> Self {
        let mut command = Command::new(own_path());
        command.arg("hold").arg(size.services.to_string()).arg(size.endpoints.to_string());
        space.node().enter_on_exec(&mut command).unwrap();
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, to, from }
    }

    /// Makes an empty kernel right, and says how long that took.
    pub(crate) fn load(&mut self) -> Duration {
        self.ask("load")
    }

    /// Empties the kernel.
    pub(crate) fn unload(&mut self) {
        self.ask("unload");
    }

    /// Makes the kernel right after the change that has this word, the first time, the second time…
    pub(crate) fn change(&mut self, word: &str, time: u32) -> Duration {
        self.ask(&format!("{word} {time}"))
    }

    /// Megabytes that the process holds in memory.
    pub(crate) fn resident(&self) -> Option<f64> {
        resident(self.process.id())
    }

    fn ask(&mut self, question: &str) -> Duration {
        writeln!(self.to, "{question}").unwrap();
        let mut line = String::new();
        assert!(self.from.read_line(&mut line).unwrap() > 0, "our process has ended");
        Duration::from_secs_f64(line.trim().parse().unwrap())
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Megabytes that a process has in memory.
pub(crate) fn resident(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes / 1e3)
}

/// The process.
pub(crate) fn main(services: &str, endpoints: &str) {
    let size = Size { services: services.parse().unwrap(), endpoints: endpoints.parse().unwrap() };
    let mut held = Held::new(size);
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let change = match line.split_once(' ') {
            Some(("endpoint", time)) => Some(size.replaced_endpoint(time.parse().unwrap())),
            Some(("service", time)) => Some(size.added_service(time.parse().unwrap())),
            _ => None,
        };
        let start = Instant::now();
        match (line.as_str(), change) {
            ("load", None) => held.converge(),
            ("unload", None) => held.unload(),
            (_, Some(change)) => held.change(&change),
            _ => panic!("not understood: {line}"),
        }
        println!("{}", start.elapsed().as_secs_f64());
    }
}

/// What an agent holds.
struct Held {
    snapshot: Snapshot,
    context: NodeContext,
    compiler: Compiler,
    nft: Nft,
    in_force: Option<Arc<NodePlan>>,
}

impl Held {
    fn new(size: Size) -> Self {
        let mut snapshot = Snapshot::default();
        snapshot.apply(ModelChange::Put(Object::Node(node())));
        for service in size.all() {
            put(&mut snapshot, &service);
        }
        Self {
            snapshot,
            context: context(),
            compiler: Compiler::default(),
            nft: Nft::open().unwrap(),
            in_force: None,
        }
    }

    /// One change of the cluster, all the way into the kernel.
    fn change(&mut self, change: &Change) {
        let (Change::Endpoint(service, _) | Change::Service(service)) = change;
        put(&mut self.snapshot, service);
        self.converge();
    }

    /// What an agent does with a snapshot, as far as it is about rules.
    fn converge(&mut self) {
        let (plan, _) = self.compiler.compile(&self.snapshot, &self.context);
        let report = self.nft.converge_plan(&plan, Look::IfChanged);
        assert_eq!(report.failures, []);
        self.in_force = Some(Arc::new(plan));
    }

    /// Nothing is remembered either: the next load is that of an agent that starts.
    fn unload(&mut self) {
        self.compiler = Compiler::default();
        let report = self.nft.converge(&Ruleset::absent(TableFamily::Inet));
        assert_eq!(report.failures, []);
    }
}

fn put(snapshot: &mut Snapshot, service: &Service) {
    snapshot.apply(ModelChange::Put(Object::Service(lower(service))));
    snapshot.apply(ModelChange::Put(Object::EndpointSlice(slice(service))));
}

fn lower(service: &Service) -> model::Service {
    let port = |port: &crate::cluster::Port| model::ServicePort {
        name: port.name.to_owned(),
        protocol: protocol(port.protocol),
        port: number(port.number),
        target: model::TargetPort::Number(number(port.number)),
        node_port: None,
    };
    model::Service {
        labels: PackedLabels::default(),
        name: NamespacedName::new(NAMESPACE, service.name.as_str()),
        kind: model::ServiceType::ClusterIp,
        cluster_ips: vec![service.cluster_ip.into()],
        headless: false,
        external_name: None,
        selector: Some([("app".to_owned(), service.name.clone())].into_iter().collect()),
        ports: service.ports.iter().map(port).collect(),
        external_ips: BTreeSet::new(),
        load_balancer: None,
        status: Vec::new(),
        conditions: model::Conditions::default(),
        internal_policy: model::TrafficPolicy::Cluster,
        external_policy: model::TrafficPolicy::Cluster,
        health_check_node_port: None,
        affinity_seconds: None,
        publish_not_ready: false,
        scheduling: model::Scheduling::default(),
        proxied_elsewhere: false,
    }
}

fn slice(service: &Service) -> model::EndpointSlice {
    let endpoint = |(index, address): (usize, &std::net::Ipv4Addr)| model::Endpoint {
        address: (*address).into(),
        ready: true,
        serving: true,
        terminating: false,
        hostname: None,
        node: Some(NodeName::from(if service.is_local { "node-a" } else { "node-b" })),
        pod: Some(NamespacedName::new(NAMESPACE, format!("{}-{index}", service.name))),
        zone: None,
        hints: None,
    };
    let port = |port: &crate::cluster::Port| model::EndpointPort {
        name: port.name.to_owned(),
        protocol: protocol(port.protocol),
        port: Some(number(port.number)),
    };
    model::EndpointSlice {
        labels: PackedLabels::default(),
        name: NamespacedName::new(NAMESPACE, format!("{}-x4k2p", service.name)),
        service: Some(NamespacedName::new(NAMESPACE, service.name.as_str())),
        family: Some(IpFamily::V4),
        ports: service.ports.iter().map(port).collect(),
        endpoints: service.endpoints.iter().enumerate().map(endpoint).collect(),
        headless: false,
    }
}

fn protocol(word: &str) -> types::Protocol {
    if word == "udp" { types::Protocol::Udp } else { types::Protocol::Tcp }
}

fn number(number: u16) -> types::Port {
    types::Port::new(number).unwrap()
}

fn node() -> model::Node {
    model::Node {
        name: "node-a".into(),
        addresses: vec![NODE_ADDRESS.into()],
        pod_cidrs: vec![NODE_POD_RANGE.parse().unwrap()],
        zone: None,
        ready: true,
        conditions: model::Conditions::default(),
        excluded_from_load_balancers: false,
        deleting: false,
        to_be_deleted: false,
        network: model::Told::Nothing,
    }
}

fn context() -> NodeContext {
    let subnet = Some("10.200.0.0/24".parse().unwrap());
    NodeContext {
        node: "node-a".into(),
        underlay: Underlay {
            link: "eth0".into(),
            addresses: vec![UnderlayAddress { address: NODE_ADDRESS.into(), subnet }],
            mtu: 1500,
        },
        tunnel: TunnelMode::Direct,
        pod_links: NetworkMode::default(),
        pod_link_mtu: PodLinkMtu::default(),
        masquerade: Masquerading::default(),
        cluster_domain: "cluster.local".to_owned(),
        dns_addresses: BTreeSet::from(["10.96.0.10".parse().unwrap()]),
        pod_cidrs: BTreeSet::from([POD_RANGE.parse().unwrap()]),
        service_cidrs: BTreeSet::from([SERVICE_RANGE.parse().unwrap()]),
        upstreams: Vec::new(),
        search_domains: Vec::new(),
        http_entry: None,
        ingress_controllers: BTreeSet::new(),
        lb_pools: Vec::new(),
        lb_class: None,
        attachments: BTreeMap::new(),
        failing_paths: BTreeMap::new(),
    }
}
