//! Our Pods: in a lab of two nodes, made through its API, entered with `sealane lab exec`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::distance::Distance;
use crate::load::Load;
use crate::own_path;

/// How long the Pods may take to run.
const PATIENCE: Duration = Duration::from_secs(30);

/// The lab around this process.
pub(crate) struct Ours {
    addresses: BTreeMap<String, IpAddr>,
    state_dir: PathBuf,
}

impl Ours {
    /// Makes the Pods in the lab that started this process.
    pub(crate) fn open() -> Self {
        let state_dir = PathBuf::from(std::env::var_os("SEALANE_STATE_DIR").unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let addresses = runtime.block_on(make_pods());
        Self { addresses, state_dir }
    }

    pub(crate) fn run(&self, distance: Distance, load: Load, seconds: u64) -> f64 {
        let address = self.addresses[&distance.to_string()].to_string();
        exec("client", &["load", &load.to_string(), &address, &seconds.to_string()])
    }

    /// The median of ADD on one node, in milliseconds.
    pub(crate) fn attach(&self) -> f64 {
        let state = self.state_dir.join("nodes").join("node-a");
        exec("node", &["attach", env!("CARGO_BIN_EXE_sealane"), path(&state)])
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn exec(pod: &str, arguments: &[&str]) -> f64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealane"));
    command.args(["lab", "exec", pod, "--"]).arg(own_path()).args(arguments);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let number = text.trim().parse();
    number.unwrap_or_else(|_| panic!("{pod} {arguments:?}: {}, `{text}`", output.status))
}

async fn make_pods() -> BTreeMap<String, IpAddr> {
    let access = watch::Access::Kubeconfig(std::env::var_os("KUBECONFIG").unwrap().into());
    let pods: Api<Pod> = Api::default_namespaced(watch::connect(&access).await.unwrap());
    for (name, node, does, host_network) in [
        ("client", "node-a", "wait", false),
        ("near", "node-a", "serve", false),
        ("far", "node-b", "serve", false),
        ("node", "node-a", "wait", true),
    ] {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "nodeName": node, "hostNetwork": host_network, "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "main", "image": "bench", "command": [own_path(), does]}],
            },
        });
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }
    let start = Instant::now();
    loop {
        let list = pods.list(&kube::api::ListParams::default()).await.unwrap();
        let running: BTreeMap<String, IpAddr> = list.into_iter().filter_map(address).collect();
        if running.len() == 4 {
            return running;
        }
        assert!(start.elapsed() < PATIENCE, "the lab's Pods do not run: {running:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn address(pod: Pod) -> Option<(String, IpAddr)> {
    let status = pod.status?;
    let is_running = status.phase.as_deref() == Some("Running");
    let address = status.pod_ip?.parse().ok()?;
    is_running.then_some((pod.metadata.name?, address))
}
