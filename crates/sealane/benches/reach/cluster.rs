//! What the lab holds: Pods that serve and probe, the Service whose endpoints change, and many others.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::own_path;
use crate::probe::PORT;

/// How long the Pods may take to run.
const PATIENCE: Duration = Duration::from_secs(60);
/// Requests that are under way at a time.
const AT_ONCE: usize = 32;
/// The Service under test.
pub(crate) const PROBED: &str = "probed";

/// 10.128.0.0: outside all ranges of the lab.
const ELSEWHERE: u32 = 0x0a80_0000;

/// The lab's API.
pub(crate) struct Cluster {
    pods: Api<Pod>,
    services: Api<Service>,
    pub(crate) slices: Api<EndpointSlice>,
    /// Addresses of the Pods that serve, by name.
    pub(crate) servers: BTreeMap<String, IpAddr>,
}

pub(crate) fn node(number: usize) -> String {
    format!("node-{}", char::from(b'a' + u8::try_from(number).unwrap()))
}

impl Cluster {
    /// One Pod that serves and one that probes on every node, and the Service between them.
    pub(crate) async fn open(nodes: usize) -> Self {
        let mut cluster = Self::connect().await;
        for number in 0..nodes {
            let node = node(number);
            let server = format!("server-{node}");
            cluster.make_pod(&server, &node, &["serve", &server]).await;
            cluster.make_pod(&format!("prober-{node}"), &node, &["wait"]).await;
        }
        cluster.await_running(2 * nodes).await;
        cluster.servers = cluster.servers().await;
        cluster
    }

    /// What another process has made.
    pub(crate) async fn look() -> Self {
        let mut cluster = Self::connect().await;
        cluster.servers = cluster.servers().await;
        cluster
    }

    async fn connect() -> Self {
        let access = watch::Access::Kubeconfig(std::env::var_os("KUBECONFIG").unwrap().into());
        let client = watch::connect(&access).await.unwrap();
        Self {
            pods: Api::default_namespaced(client.clone()),
            services: Api::default_namespaced(client.clone()),
            slices: Api::default_namespaced(client),
            servers: BTreeMap::new(),
        }
    }

    async fn servers(&self) -> BTreeMap<String, IpAddr> {
        let list = self.pods.list(&ListParams::default()).await.unwrap();
        let running = list.into_iter().filter_map(address);
        running.filter(|(name, _)| name.starts_with("server-")).collect()
    }

    async fn make_pod(&self, name: &str, node: &str, does: &[&str]) {
        let mut command = vec![own_path().display().to_string()];
        command.extend(does.iter().map(|word| (*word).to_owned()));
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "nodeName": node, "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "main", "image": "bench", "command": command}],
            },
        });
        self.pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }

    async fn await_running(&self, count: usize) {
        let start = Instant::now();
        loop {
            let list = self.pods.list(&ListParams::default()).await.unwrap();
            let running: BTreeMap<String, IpAddr> = list.into_iter().filter_map(address).collect();
            if running.len() == count {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "the lab's Pods do not run: {running:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The Service under test, whose one endpoint is this server; its address.
    pub(crate) async fn make_probed(&self, server: &str) -> IpAddr {
        self.make(PROBED, &[self.servers[server].to_string()]).await
    }

    /// That many Services with so many endpoints each, which no controller has a part in: three on nodes of this lab, the
    /// others at addresses that nobody has.
    pub(crate) async fn fill(&self, services: usize, each: usize) {
        let one = |number: usize| async move {
            let octet = |of: usize| 100 + (number * 3 + of) % 150;
            let here = (1..=3).map(|node| format!("10.244.{node}.{}", octet(node)));
            let elsewhere = u32::try_from(number * each).unwrap();
            let elsewhere = (elsewhere..).map(|offset| Ipv4Addr::from(ELSEWHERE + offset).to_string());
            let endpoints: Vec<String> = here.chain(elsewhere).take(each).collect();
            self.make(&format!("service-{number}"), &endpoints).await;
        };
        stream::iter(0..services).for_each_concurrent(AT_ONCE, one).await;
    }

    async fn make(&self, name: &str, endpoints: &[String]) -> IpAddr {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"name": "tcp", "port": 80, "targetPort": PORT}]},
        });
        let service = serde_json::from_value(service).unwrap();
        let made = self.services.create(&PostParams::default(), &service).await.unwrap();
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": format!("{name}-1"), "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": "tcp", "port": PORT, "protocol": "TCP"}],
            "endpoints": endpoints.iter().map(|address| endpoint(address)).collect::<Vec<_>>(),
        });
        let slice = serde_json::from_value(slice).unwrap();
        self.slices.create(&PostParams::default(), &slice).await.unwrap();
        made.spec.unwrap().cluster_ip.unwrap().parse().unwrap()
    }

    /// Writes that this server is the Service's one endpoint.
    pub(crate) async fn turn_to(&self, server: &str) {
        let patch = json!({"endpoints": [endpoint(&self.servers[server].to_string())]});
        let name = format!("{PROBED}-1");
        self.slices.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }
}

fn endpoint(address: &str) -> Value {
    json!({"addresses": [address], "conditions": {"ready": true, "serving": true, "terminating": false}})
}

fn address(pod: Pod) -> Option<(String, IpAddr)> {
    let status = pod.status?;
    let is_running = status.phase.as_deref() == Some("Running");
    let address = status.pod_ip?.parse().ok()?;
    is_running.then_some((pod.metadata.name?, address))
}
