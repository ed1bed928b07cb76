//! Clusters that nobody thought of, from numbers: Pods, Services and NetworkPolicies that meet each other.
//!
//! Nothing here draws the numbers; the same numbers are always the same cluster.

use compile::TunnelMode;
use k8s_openapi::api::core::v1::{Pod, Service};
use model::{Change, Snapshot};
use serde_json::{Value, json};
use types::IpFamily;

use crate::{LAB_MANIFESTS, LAB_MANIFESTS_V6, Manifests, World, mk_network_policy};

const APPS: [&str; 3] = ["web", "api", "db"];
const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];
const TYPES: [&str; 3] = ["ClusterIP", "NodePort", "LoadBalancer"];
const NAMESPACES: [&str; 2] = ["shop", "ops"];

/// Ports that policies, Services and probes all speak of, so that they meet.
pub const SEEDED_PORTS: [u16; 4] = [80, 8080, 9090, 30080];

/// A cluster in numbers; each is taken modulo the number of choices that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds {
    /// Of addresses.
    pub family: IpFamily,
    /// App, Namespace, node, port, state.
    pub pods: Vec<[u8; 5]>,
    /// App, Namespace, type, and policies and other fields as bits.
    pub services: Vec<[u8; 4]>,
    /// App, Namespace, directions, and a rule per pair of peer and port.
    pub policies: Vec<([u8; 3], Vec<RuleSeed>)>,
}

/// Peers and ports of one rule of a policy.
pub type RuleSeed = (Vec<u8>, Vec<u8>);

impl Seeds {
    /// The cluster, at rest.
    #[must_use]
    pub fn world(&self, tunnel: TunnelMode) -> World {
        let lab = if self.family == IpFamily::V4 { LAB_MANIFESTS } else { LAB_MANIFESTS_V6 };
        let mut snapshot = Snapshot::default();
        let manifests = [lab.to_owned(), self.manifests()];
        for text in manifests {
            Manifests::parse(&text).expect("these are manifests").apply_to(&mut snapshot);
        }
        for (index, (seed, rules)) in self.policies.iter().enumerate() {
            snapshot.apply(self.policy(index, *seed, rules));
        }
        World::settle(snapshot, tunnel)
    }

    /// Clients outside the cluster.
    #[must_use]
    pub fn clients_outside(&self) -> [&'static str; 3] {
        match self.family {
            IpFamily::V4 => ["192.0.2.1", "192.0.2.200", "203.0.113.9"],
            IpFamily::V6 => ["2001:db8:2::1", "2001:db8:2:8000::1", "2001:db8:3::9"],
        }
    }

    fn of(&self, v4: &str, v6: &str) -> String {
        if self.family == IpFamily::V4 { v4.to_owned() } else { v6.to_owned() }
    }

    fn manifests(&self) -> String {
        let with_kind = |kind: &str, mut object: Value| {
            object["kind"] = json!(kind);
            object.to_string()
        };
        let value = |object: Result<Value, serde_json::Error>| object.expect("an API object is JSON");
        let pods = self.pods.iter().enumerate();
        let pods =
            pods.map(|(index, seed)| with_kind("Pod", value(serde_json::to_value(self.pod(index, *seed)))));
        let services = self.services.iter().enumerate();
        let services = services.map(|(index, seed)| {
            with_kind("Service", value(serde_json::to_value(self.service(index, *seed))))
        });
        // JSON is YAML.
        pods.chain(services).collect::<Vec<_>>().join("\n---\n")
    }

    fn pod(&self, index: usize, [app, namespace, node, port, state]: [u8; 5]) -> Pod {
        let node_number = usize::from(node) % NODES.len() + 1;
        let mut declared = json!({"name": "http", "containerPort": pick(&SEEDED_PORTS[..3], port)});
        if index.is_multiple_of(2) {
            declared["hostPort"] = json!(SEEDED_PORTS[index % SEEDED_PORTS.len()]);
        }
        if index % 4 == 2 {
            let v4 = format!("172.31.0.{}", 10 + node_number);
            declared["hostIP"] = json!(self.of(&v4, &format!("fd00:31::1{node_number}")));
        }
        let v4 = format!("10.244.{node_number}.{}", index + 2);
        let address = self.of(&v4, &format!("fd00:244:0:{node_number}::{:x}", index + 2));
        let mut metadata = json!({
            "namespace": pick(&NAMESPACES, namespace), "name": format!("pod-{index}"),
            "labels": {"app": pick(&APPS, app)},
        });
        let is_ready = if state % 6 == 4 { "False" } else { "True" };
        if state % 6 == 5 {
            metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        built(json!({
            "metadata": metadata,
            "spec": {"nodeName": NODES[node_number - 1], "containers": [{"name": "main", "ports": [declared]}]},
            "status": {"podIP": address, "conditions": [{"type": "Ready", "status": is_ready}]},
        }))
    }

    fn service(&self, index: usize, [app, namespace, kind, bits]: [u8; 4]) -> Service {
        let policy = |bit: u8| if bits & bit == bit { "Local" } else { "Cluster" };
        let kind = usize::from(kind) % TYPES.len();
        let v4 = format!("10.96.0.{}", index + 20);
        let mut spec = json!({
            "clusterIP": self.of(&v4, &format!("fd00:96::{:x}", index + 20)),
            "type": TYPES[kind],
            "selector": {"app": pick(&APPS, app)},
            "internalTrafficPolicy": policy(1),
            "externalTrafficPolicy": policy(2),
            "ports": [{"port": 80, "targetPort": "http"}],
        });
        if kind > 0 {
            spec["ports"][0]["nodePort"] = json!(30080 + index);
        }
        if kind == 2 && bits & 4 == 4 {
            let ranges =
                [self.of("192.0.2.0/25", "2001:db8:2::/49"), self.of("10.244.1.0/24", "fd00:244:0:1::/64")];
            spec["loadBalancerSourceRanges"] = json!(ranges);
        }
        if bits & 8 == 8 {
            spec["externalIPs"] =
                json!([self.of(&format!("198.51.100.{index}"), &format!("2001:db8:1::{index}"))]);
        }
        if bits & 16 == 16 {
            spec["sessionAffinity"] = json!("ClientIP");
        }
        built(json!({
            "metadata": {"namespace": pick(&NAMESPACES, namespace), "name": format!("service-{index}")},
            "spec": spec,
        }))
    }

    fn policy(&self, index: usize, [app, namespace, directions]: [u8; 3], rules: &[RuleSeed]) -> Change {
        let side = |peers: &str| -> Vec<Value> {
            let rule = |(peer_kinds, ports): &RuleSeed| {
                json!({
                    peers: peer_kinds.iter().map(|kind| self.peer(*kind)).collect::<Vec<_>>(),
                    "ports": ports.iter().copied().map(port).collect::<Vec<_>>(),
                })
            };
            rules.iter().map(rule).collect()
        };
        let types: &[&str] =
            [&["Ingress"][..], &["Egress"], &["Ingress", "Egress"]][usize::from(directions % 3)];
        let selector =
            if directions & 4 == 4 { json!({}) } else { json!({"matchLabels": {"app": pick(&APPS, app)}}) };
        let spec = json!({
            "podSelector": selector, "policyTypes": types, "ingress": side("from"), "egress": side("to"),
        });
        let name = format!("{}/policy-{index}", pick(&NAMESPACES, namespace));
        Change::put(&mk_network_policy(&name, spec))
    }

    fn peer(&self, kind: u8) -> Value {
        match kind % 6 {
            0 => json!({"podSelector": {"matchLabels": {"app": "web"}}}),
            1 => json!({"namespaceSelector": {}}),
            2 => json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ops"}},
                "podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["api", "db"]}]}}),
            3 => {
                let (cidr, except) = (
                    self.of("192.0.2.0/24", "2001:db8:2::/48"),
                    self.of("192.0.2.128/25", "2001:db8:2:8000::/49"),
                );
                json!({"ipBlock": {"cidr": cidr, "except": [except]}})
            }
            4 => json!({"ipBlock": {"cidr": self.of("10.244.1.0/24", "fd00:244:0:1::/64")}}),
            _ => {
                let (all, except) =
                    (self.of("0.0.0.0/0", "::/0"), self.of("10.244.2.0/24", "fd00:244:0:2::/64"));
                json!({"ipBlock": {"cidr": all, "except": [except]}})
            }
        }
    }
}

fn port(kind: u8) -> Value {
    match kind % 5 {
        0 => json!({"port": 8080}),
        1 => json!({"port": "http"}),
        2 => json!({"protocol": "UDP"}),
        3 => json!({"port": 80, "endPort": 8080}),
        _ => json!({"protocol": "SCTP", "port": 9090}),
    }
}

fn pick<T: Copy>(choices: &[T], seed: u8) -> T {
    choices[usize::from(seed) % choices.len()]
}

fn built<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).expect("this is the form of the API")
}
