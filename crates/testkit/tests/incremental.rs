//! Whatever happens to a cluster, in whatever order: compiling what has changed says the same as compiling everything,
//! and rendering what has changed gives the same rules as rendering everything.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;

use compile::{Compiler, NodeContext, TunnelMode, node_plan};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass, NetworkPolicy};
use model::{Change, Lower, Snapshot};
use proptest::prelude::*;
use ruleset::{Rendered, apply_in_place, render};
use sealane_testkit::{mk_endpoint_slice, mk_namespace, mk_node, mk_pod, mk_service, node_context};
use serde_json::{Value, json};
use types::{FailingPath, NodeName, ObjectRef};

const APPS: [&str; 3] = ["web", "api", "db"];
const NAMESPACES: [&str; 2] = ["shop", "ops"];
const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];
const PORTS: [u16; 3] = [80, 8080, 30080];

/// Something that happens, drawn from a world small enough for things to meet.
#[derive(Clone, Debug)]
enum Event {
    /// An object appears or changes: its kind, its name, and what decides its fields.
    Put(Kind, usize, u32),
    /// An object goes.
    Remove(Kind, usize),
    /// The CNI plugin gives out or takes back an address: the Pod, and what decides the rest.
    Attach(usize, u32),
    Detach(usize),
    /// Probing shows that a path fails, or works again.
    Path(bool),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Node,
    Namespace,
    Pod,
    Service,
    Slice,
    Policy,
    Ingress,
    Class,
    Secret,
    Corefile,
}

impl Kind {
    fn api(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Namespace => "Namespace",
            Self::Pod => "Pod",
            Self::Service => "Service",
            Self::Slice => "EndpointSlice",
            Self::Policy => "NetworkPolicy",
            Self::Ingress => "Ingress",
            Self::Class => "IngressClass",
            Self::Secret => "Secret",
            Self::Corefile => "ConfigMap",
        }
    }

    fn is_of_cluster(self) -> bool {
        matches!(self, Self::Node | Self::Namespace | Self::Class)
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        2 => Just(Kind::Node),
        1 => Just(Kind::Namespace),
        8 => Just(Kind::Pod),
        10 => Just(Kind::Service),
        8 => Just(Kind::Slice),
        2 => Just(Kind::Policy),
        2 => Just(Kind::Ingress),
        1 => Just(Kind::Class),
        1 => Just(Kind::Secret),
        1 => Just(Kind::Corefile),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        14 => (kind(), 0..5usize, any::<u32>()).prop_map(|(kind, name, seed)| Event::Put(kind, name, seed)),
        4 => (kind(), 0..5usize).prop_map(|(kind, name)| Event::Remove(kind, name)),
        2 => (0..5usize, any::<u32>()).prop_map(|(pod, seed)| Event::Attach(pod, seed)),
        1 => (0..5usize).prop_map(Event::Detach),
        1 => any::<bool>().prop_map(Event::Path),
    ]
}

/// Draws one field after the other from a seed.
struct Draw(u32);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) as usize % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

/// Five names over both Namespaces; those of Nodes and Namespaces are given.
fn name(kind: Kind, index: usize) -> String {
    match kind {
        Kind::Node => NODES[index % NODES.len()].to_owned(),
        Kind::Namespace => NAMESPACES[index % NAMESPACES.len()].to_owned(),
        Kind::Class => format!("class-{}", index % 2),
        Kind::Corefile => format!("kube-system/{}", ["coredns", "coredns-custom"][index % 2]),
        _ => format!("{}/object-{index}", NAMESPACES[index % NAMESPACES.len()]),
    }
}

fn change(kind: Kind, index: usize, seed: u32) -> Change {
    let name = name(kind, index);
    let draw = &mut Draw(seed);
    match kind {
        Kind::Node => node(&name, index % NODES.len(), draw),
        Kind::Namespace => Change::put::<Namespace>(&mk_namespace(&name, &[("team", draw.of(&APPS))])),
        Kind::Pod => pod(&name, draw),
        Kind::Service => service(&name, draw),
        Kind::Slice => slice(&name, draw),
        Kind::Policy => policy(&name, draw),
        Kind::Ingress => ingress(&name, draw),
        Kind::Class => {
            let controller = draw.of(&["k8s.io/ingress-nginx", "sealane.dev/ingress", "example.com/other"]);
            put::<IngressClass>(&name, json!({"spec": {"controller": controller}}))
        }
        Kind::Corefile => {
            let lines = [
                "ttl 30",
                "endpoint_pod_names",
                "pods insecure",
                "zonal",
                "namespaces shop",
                "namespace_labels team in (web, api)",
                "labels app in (web, api)",
                "noendpoints",
                "ignore empty_service",
                "unheard_of",
                "}",
            ];
            let domain = draw.of(&["cluster.local", "cluster.example"]);
            let corefile =
                format!(". {{\n kubernetes {domain} {{\n {}\n }}\n import *.override\n}}", draw.of(&lines));
            put::<ConfigMap>(
                &name,
                json!({"data": {"Corefile": corefile, "a.override": draw.of(&["log", "errors"])}}),
            )
        }
        Kind::Secret => {
            let data = json!({"tls.crt": "AAAA", "tls.key": "AAAA"});
            put::<Secret>(&name, json!({"type": "kubernetes.io/tls", "data": data}))
        }
    }
}

fn put<K: Lower + serde::de::DeserializeOwned>(name: &str, mut object: Value) -> Change {
    let parts = name.split_once('/');
    object["metadata"]["name"] = json!(parts.map_or(name, |(_, name)| name));
    if let Some((namespace, _)) = parts {
        object["metadata"]["namespace"] = json!(namespace);
    }
    Change::put(&serde_json::from_value::<K>(object).unwrap())
}

fn node(name: &str, number: usize, draw: &mut Draw) -> Change {
    let base = mk_node(name, &format!("172.31.0.{}", 11 + number), &format!("10.244.{}.0/24", number + 1));
    let mut node = serde_json::to_value(base).unwrap();
    if draw.one_in(4) {
        node["metadata"]["labels"] = json!({"topology.kubernetes.io/zone": draw.of(&["a", "b"])});
    }
    if draw.one_in(4) {
        node["status"]["conditions"][0]["status"] = json!("False");
    }
    if draw.one_in(6) {
        node["spec"] = json!({});
    }
    if draw.one_in(6) {
        node["metadata"]["annotations"] = json!({"sealane.dev/network": "damaged"});
    }
    put::<Node>(name, node)
}

fn pod(name: &str, draw: &mut Draw) -> Change {
    let node = draw.of(&NODES);
    let address = [10, 244, draw.of(&[1, 1, 2]), draw.of(&[2, 3, 4])].into();
    let mut pod = serde_json::to_value(mk_pod(name, node, address, &[("app", draw.of(&APPS))])).unwrap();
    if draw.one_in(3) {
        pod["metadata"]["labels"]["tier"] = json!("front");
    }
    if draw.one_in(3) {
        pod["metadata"]["labels"]["track"] = json!("canary");
    }
    if draw.one_in(4) {
        pod["status"]["phase"] = json!("Succeeded");
    }
    if draw.one_in(6) {
        pod["spec"]["hostNetwork"] = json!(true);
    }
    if draw.one_in(6) {
        pod["spec"]["dnsPolicy"] = json!("Default");
    }
    if draw.one_in(2) {
        pod["spec"]["containers"][0]["ports"][0]["hostPort"] = json!(draw.of(&PORTS));
    }
    if draw.one_in(3) {
        pod["spec"]["containers"][0]["ports"][0]["name"] = json!("other");
    }
    put::<Pod>(name, pod)
}

fn service(name: &str, draw: &mut Draw) -> Change {
    let cluster_ip = format!("10.96.0.{}", draw.of(&[10, 20, 21, 22]));
    let selector = [("app", draw.of(&APPS)), ("tier", "front")];
    let labels = draw.of(&[0, 1, 1, 1, 2]);
    let mut service = serde_json::to_value(mk_service(name, &cluster_ip, &selector[..labels])).unwrap();
    let spec = &mut service["spec"];
    spec["type"] = json!(draw.of(&["ClusterIP", "NodePort", "LoadBalancer"]));
    spec["ports"][0]["port"] = json!(draw.of(&PORTS));
    spec["ports"][0]["protocol"] = json!(draw.of(&["TCP", "TCP", "UDP"]));
    spec["ports"][0]["nodePort"] = json!(draw.of(&PORTS));
    if draw.one_in(4) {
        let twin =
            json!({"name": "twin", "port": draw.of(&PORTS), "targetPort": draw.of(&["http", "other"])});
        spec["ports"].as_array_mut().unwrap().push(twin);
    }
    spec["internalTrafficPolicy"] = json!(draw.of(&["Cluster", "Local"]));
    spec["externalTrafficPolicy"] = json!(draw.of(&["Cluster", "Local"]));
    if draw.one_in(3) {
        spec["externalIPs"] =
            json!([draw.of(&["198.51.100.1", "10.96.0.20", "172.31.0.11", "172.31.0.201"])]);
    }
    if draw.one_in(3) {
        spec["sessionAffinity"] = json!("ClientIP");
    }
    if draw.one_in(3) {
        spec["healthCheckNodePort"] = json!(draw.of(&PORTS));
    }
    if draw.one_in(5) {
        spec["loadBalancerSourceRanges"] = json!(["192.0.2.0/25", "172.31.0.0/16"]);
    }
    if draw.one_in(3) {
        let weights = draw.of(&["track=canary: 1; *: 9", "tier=front: 0; *: 1", "*: 1", "nonsense"]);
        service["metadata"]["annotations"] = json!({"sealane.dev/weights": weights});
    }
    if draw.one_in(4) {
        service["metadata"]["annotations"]["sealane.dev/scheduling"] = json!("source-hash");
    }
    let spec = &mut service["spec"];
    match draw.below(12) {
        0 => spec["clusterIP"] = json!("None"),
        1 => *spec = json!({"type": "ExternalName", "externalName": "example.org"}),
        2 => spec["sessionAffinity"] = json!("Sometimes"),
        3 => service["metadata"]["labels"] = json!({"service.kubernetes.io/service-proxy-name": "other"}),
        _ => {}
    }
    if draw.one_in(3) {
        service["metadata"]["labels"]["app"] = json!(draw.of(&APPS));
    }
    if draw.one_in(2) {
        let address = draw.of(&["172.31.0.201", "172.31.0.202", "198.51.100.1"]);
        service["status"] = json!({"loadBalancer": {"ingress": [{"ip": address}]}});
    }
    put::<Service>(name, service)
}

fn slice(name: &str, draw: &mut Draw) -> Change {
    let (namespace, _) = name.split_once('/').unwrap();
    let owner = self::name(Kind::Service, draw.below(5));
    let short = owner.rsplit('/').next().unwrap();
    let addresses = ["10.244.1.2", "10.244.1.3", "10.244.2.2", "10.244.2.3"];
    let all: Vec<(&str, &str)> = (0..draw.below(4)).map(|_| (draw.of(&addresses), draw.of(&NODES))).collect();
    let mut slice = serde_json::to_value(mk_endpoint_slice(&format!("{namespace}/{short}"), &all)).unwrap();
    slice["ports"][0]["protocol"] = json!(draw.of(&["TCP", "TCP", "UDP"]));
    if draw.one_in(2) {
        slice["metadata"]["labels"]["app"] = json!(draw.of(&APPS));
    }
    for endpoint in slice["endpoints"].as_array_mut().into_iter().flatten() {
        let ready = !draw.one_in(3);
        let terminating = draw.one_in(4);
        let serving = ready || draw.one_in(2);
        endpoint["conditions"] = json!({"ready": ready, "serving": serving, "terminating": terminating});
        if draw.one_in(2) {
            endpoint["zone"] = json!(draw.of(&["a", "B.c"]));
        }
        if draw.one_in(4) {
            endpoint["hints"] = json!({"forZones": [{"name": draw.of(&["a", "b"])}]});
        }
    }
    put::<EndpointSlice>(name, slice)
}

fn policy(name: &str, draw: &mut Draw) -> Change {
    let peer = |draw: &mut Draw| match draw.below(4) {
        0 => json!({"podSelector": {"matchLabels": {"app": draw.of(&APPS)}}}),
        1 => json!({"namespaceSelector": {"matchLabels": {"team": draw.of(&APPS)}}}),
        2 => json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"tier": "front"}}}),
        _ => json!({"ipBlock": {"cidr": "10.244.1.0/24"}}),
    };
    let rule = |draw: &mut Draw, peers: &str| {
        let list: Vec<Value> = (0..draw.below(2)).map(|_| peer(draw)).collect();
        let ports = [json!({"port": 8080}), json!({"port": "http"}), json!({"port": "other"})];
        json!({peers: list, "ports": [ports[draw.below(3)]]})
    };
    let selector = if draw.one_in(3) { json!({}) } else { json!({"matchLabels": {"app": draw.of(&APPS)}}) };
    let spec = json!({
        "podSelector": selector, "policyTypes": ["Ingress", "Egress"],
        "ingress": [rule(draw, "from")], "egress": [rule(draw, "to")],
    });
    put::<NetworkPolicy>(name, json!({"spec": spec}))
}

fn ingress(name: &str, draw: &mut Draw) -> Change {
    let service = name_of_service(draw);
    let backend = json!({"service": {"name": service, "port": {"number": draw.of(&PORTS)}}});
    let path = json!({"path": "/", "pathType": "Prefix", "backend": backend});
    let spec = json!({
        "ingressClassName": draw.of(&["class-0", "class-1"]),
        "rules": [{"host": "shop.example", "http": {"paths": [path]}}],
        "tls": [{"hosts": ["shop.example"], "secretName": name_of_service(draw)}],
    });
    put::<Ingress>(name, json!({"spec": spec}))
}

fn name_of_service(draw: &mut Draw) -> String {
    format!("object-{}", draw.below(5))
}

fn happen(event: &Event, snapshot: &mut Snapshot, context: &mut NodeContext) {
    match event {
        Event::Put(kind, index, seed) => drop(snapshot.apply(change(*kind, *index, *seed))),
        Event::Remove(kind, index) => {
            let name = name(*kind, *index);
            let object = match name.split_once('/') {
                Some((namespace, name)) if !kind.is_of_cluster() => ObjectRef {
                    kind: kind.api().to_owned(),
                    namespace: Some(namespace.to_owned()),
                    name: name.to_owned(),
                },
                _ => ObjectRef::cluster(kind.api(), &name),
            };
            snapshot.apply(Change::Remove(object));
        }
        Event::Attach(pod, seed) => {
            let draw = &mut Draw(*seed);
            let name = name(Kind::Pod, *pod);
            let (namespace, name) = name.split_once('/').unwrap();
            let mut attachment = json!({
                "containerId": format!("container-{pod}"), "ifname": "eth0", "netns": "/run/netns/x",
                "pod": format!("{namespace}/{name}"), "addresses": [format!("10.244.1.{}", draw.of(&[2, 3, 4]))],
                "hostLink": format!("sl{pod}"), "podMac": "02:00:00:00:00:01", "hostMac": "02:00:00:00:00:02",
            });
            if draw.one_in(2) {
                let port = draw.of(&PORTS);
                attachment["portMappings"] =
                    json!([{"hostPort": port, "containerPort": 8080, "protocol": "TCP"}]);
            }
            let attachment: types::Attachment = serde_json::from_value(attachment).unwrap();
            let key = (attachment.container_id.clone(), attachment.ifname.clone());
            context.attachments.insert(key, attachment);
        }
        Event::Detach(pod) => {
            context.attachments.remove(&(format!("container-{pod}"), "eth0".into()));
        }
        Event::Path(true) => {
            context.failing_paths.insert("node-b".into(), FailingPath { sends: 1450, passes: None });
        }
        Event::Path(false) => context.failing_paths.clear(),
    }
}

fn context() -> NodeContext {
    node_context(&NodeName::from("node-a"), [172, 31, 0, 11].into(), TunnelMode::Vxlan)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_has_changed_is_compiled_and_rendered_as_everything_is(
        steps in prop::collection::vec(prop::collection::vec(event(), 1..4), 1..25),
    ) {
        let (mut snapshot, mut context) = (Snapshot::default(), context());
        let mut compiler = Compiler::default();
        let mut in_force: Option<(Rendered, ruleset::Ruleset)> = None;
        for events in steps {
            events.iter().for_each(|event| happen(event, &mut snapshot, &mut context));
            let (plan, findings) = compiler.compile(&snapshot, &context);
            let (whole, all) = node_plan(&snapshot, &context);
            prop_assert_eq!(&plan, &whole, "{:?} {:?}", events, compiler.work());
            prop_assert_eq!(findings.iter().cloned().collect::<Vec<_>>(), all);
            let desired = render(&whole);
            let (rendered, rules) = in_force.get_or_insert_with(|| (Rendered::new(&plan), desired.clone()));
            apply_in_place(&rendered.follow(&plan).transaction, rules);
            prop_assert_eq!(&*rules, &desired);
            let (again, _) = compiler.compile(&snapshot, &context);
            prop_assert!(again.podnet.is_same(&plan.podnet) && again.policy.is_same(&plan.policy));
            prop_assert!(again.services.frontends.is_same(&plan.services.frontends));
            prop_assert!(rendered.follow(&again).transaction.is_empty(), "the same plan asks for nothing");
        }
    }

    /// The order of events does not matter, nor what was there meanwhile.
    #[test]
    fn the_plan_does_not_depend_on_history(events in prop::collection::vec(event(), 1..40)) {
        let (mut snapshot, mut context) = (Snapshot::default(), context());
        let mut compiler = Compiler::default();
        for event in &events {
            happen(event, &mut snapshot, &mut context);
            compiler.compile(&snapshot, &context);
        }
        let fresh = Compiler::default().compile(&snapshot, &context);
        prop_assert_eq!(compiler.compile(&snapshot, &context), fresh);
    }
}

/// A cluster of this many Services with three endpoints each.
fn cluster(services: u16) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (number, node) in NODES.iter().enumerate() {
        let (address, range) = (format!("172.31.0.{}", 11 + number), format!("10.244.{}.0/24", number + 1));
        snapshot.apply(Change::put(&mk_node(node, &address, &range)));
    }
    for number in 0..services {
        let name = format!("shop/service-{number}");
        let [high, low] = number.to_be_bytes();
        let address = format!("10.96.{}.{low}", high + 1);
        snapshot.apply(Change::put(&mk_service(&name, &address, &[("app", &name)])));
        snapshot.apply(Change::put(&endpoints(number, 3)));
    }
    snapshot
}

fn endpoints(service: u16, count: u8) -> EndpointSlice {
    let [high, low] = service.to_be_bytes();
    let addresses: Vec<String> = (0..count).map(|slot| format!("10.{}.{high}.{low}", 100 + slot)).collect();
    let endpoints: Vec<(&str, &str)> = addresses.iter().map(|address| (&**address, "node-b")).collect();
    mk_endpoint_slice(&format!("shop/service-{service}"), &endpoints)
}

/// Counts work instead of time.
#[test]
fn one_endpoint_among_a_thousand_services_costs_one_service() {
    let mut snapshot = cluster(1000);
    let context = context();
    let mut compiler = Compiler::default();
    let (before, _) = compiler.compile(&snapshot, &context);
    assert!(compiler.work().is_whole);
    let mut rendered = Rendered::new(&before);
    snapshot.apply(Change::put(&endpoints(500, 4)));
    let (after, _) = compiler.compile(&snapshot, &context);
    let work = compiler.work();
    let name = types::ServiceName::new("shop", "service-500");
    assert!(!work.is_whole && work.parts.is_empty(), "{work:?}");
    assert_eq!(work.services, BTreeSet::from([name.clone()]));
    let frontends: Vec<_> = after.services.frontends.changes_since(&before.services.frontends).collect();
    assert_eq!(frontends.iter().map(|one| &one.new.unwrap().owner).collect::<Vec<_>>(), [&name]);
    assert_eq!(after.dns.services.changes_since(&before.dns.services).count(), 1);
    // A backend more, and another class to draw among four.
    let transaction = rendered.follow(&after).transaction;
    assert_eq!(transaction.len(), 2, "{transaction:?}");
}
