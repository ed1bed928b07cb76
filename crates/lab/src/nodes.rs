//! The nodes as processes and as the API sees them: agents kept running, Ready conditions, Leases.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use agent::cluster::ClusterSettings;
use apply_kube::{Error, Target, Writer};
use jiff::Timestamp;
use netns::Netns;
use serde_json::{Value, json};
use serve_api::ApiHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{sleep, timeout};
use types::IpFamily;

use crate::address::{self, FamilyAddresses, LabFamilies, LabNode};
use crate::bootstrap;
use crate::publish;
use crate::settings::LabSettings;
use crate::state::StateDir;
use crate::underlay::NODE_LINK;

/// First and longest pause before an agent that died is started again.
const RESTART_PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// A run of this length makes the next pause short again.
const GOOD_RUN: Duration = Duration::from_secs(10);
/// How often a node that is not ready is looked at, and one that is.
const LOOKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How often a Lease is renewed (a quarter of the kubelet's 40 s lease duration).
const LEASE_PAUSE: Duration = Duration::from_secs(10);
/// How long a health check may take.
const CHECK_LIMIT: Duration = Duration::from_secs(2);

/// Starts a node's agent and the tasks that speak for the node, with its kubelet's rights.
pub(crate) fn spawn(
    settings: &LabSettings,
    state: &StateDir,
    (node, netns): &(LabNode, Arc<Netns>),
    writer: &Writer,
) {
    let arguments = agent_arguments(settings, state, node);
    let log = state.root().join(format!("agent-{}.log", node.name));
    tokio::spawn(keep_agent(node.clone(), Arc::clone(netns), arguments, log));
    tokio::spawn(report_ready(node.clone(), writer.clone()));
    tokio::spawn(renew_lease(node.clone(), writer.clone()));
}

/// The command line of a node's agent.
fn agent_arguments(settings: &LabSettings, state: &StateDir, node: &LabNode) -> Vec<String> {
    let mut flags = vec![
        ("--node", node.name.to_string()),
        ("--kubeconfig", state.agent_kubeconfig().display().to_string()),
        ("--state-dir", state.node(node.name.as_str()).display().to_string()),
        ("--cluster-domain", address::CLUSTER_DOMAIN.to_owned()),
        // What a Pod is told to search, its kubelet says alone.
        ("--resolv-conf", "/dev/null".to_owned()),
        ("--upstream-dns", SocketAddr::new(settings.families.primary().outside, 53).to_string()),
        ("--underlay-link", NODE_LINK.to_owned()),
        ("--tunnel", settings.node_path.as_str().to_owned()),
        ("--admin", node.admin().to_string()),
    ];
    for at in settings.families.addresses() {
        let (first, last) = at.load_balancer_pool;
        flags.extend([
            ("--dns-address", at.cluster_dns.to_string()),
            ("--pod-cidr", at.pod_cidr.to_string()),
            ("--service-cidr", at.service_cidr.to_string()),
            ("--lb-pool", format!("{first}-{last}")),
        ]);
    }
    let flags = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
    std::iter::once("agent".to_owned()).chain(flags).chain(settings.agent_flags.iter().cloned()).collect()
}

/// What the lab's cluster loop is told.
pub(crate) fn cluster_settings(settings: &LabSettings, state: &StateDir) -> ClusterSettings {
    let pool =
        |at: FamilyAddresses| agent::node::IpRange::new(at.load_balancer_pool.0, at.load_balancer_pool.1);
    let at = || settings.families.addresses();
    ClusterSettings {
        kubeconfig: Some(state.controller_kubeconfig()),
        pod_cidrs: at().map(|at| at.pod_cidr).collect(),
        node_mask: agent::node::NodeMask::default(),
        service_cidrs: at().map(|at| at.service_cidr).collect(),
        dns_addresses: at().map(|at| at.cluster_dns).collect(),
        ingress_controllers: agent::ingress_controllers(),
        lb_pools: at().filter_map(pool).collect(),
        lb_class: None,
        admin: None,
    }
}

async fn keep_agent(node: LabNode, netns: Arc<Netns>, arguments: Vec<String>, log: std::path::PathBuf) {
    let mut pause = RESTART_PAUSES.0;
    loop {
        let started = tokio::time::Instant::now();
        match run_agent(&netns, &arguments, &log).await {
            Ok(status) => tracing::warn!(node = %node.name, %status, "an agent ended and is started again"),
            Err(error) => tracing::error!(node = %node.name, %error, "an agent could not be started"),
        }
        if started.elapsed() >= GOOD_RUN {
            pause = RESTART_PAUSES.0;
        }
        sleep(pause).await;
        pause = (pause * 2).min(RESTART_PAUSES.1);
    }
}

async fn run_agent(
    netns: &Netns,
    arguments: &[String],
    log: &Path,
) -> anyhow::Result<std::process::ExitStatus> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("sealane")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .kill_on_drop(true);
    netns.enter_on_exec(command.as_std_mut())?;
    Ok(command.spawn()?.wait().await?)
}

/// Whether the agent has brought its first plan about.
async fn is_ready(node: &LabNode) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(node.admin()).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    matches!(timeout(CHECK_LIMIT, asked).await, Ok(Ok(answer)) if answer.ends_with(b" 200"))
}

/// Keeps the Node's Ready condition true to what its agent says.
async fn report_ready(node: LabNode, writer: Writer) {
    let target = Target::cluster("v1", "Node", node.name.as_str());
    let mut told = None;
    loop {
        let ready = is_ready(&node).await;
        if told != Some(ready) {
            match writer.patch_status(&target, &conditions(ready, Timestamp::now())).await {
                Ok(_) => told = Some(ready),
                Err(error) => {
                    tracing::warn!(node = %node.name, %error, "a Node's status could not be written")
                }
            }
        }
        sleep(if ready { LOOKS.1 } else { LOOKS.0 }).await;
    }
}

fn conditions(ready: bool, now: Timestamp) -> Value {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    let condition = |kind: &str, status: bool, reason: &str, message: &str| {
        json!({
            "type": kind,
            "status": if status { "True" } else { "False" },
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        })
    };
    let ready = if ready {
        condition("Ready", true, "KubeletReady", "the node's agent is ready")
    } else {
        condition("Ready", false, "KubeletNotReady", "the node's agent is not ready yet")
    };
    json!({ "conditions": [
        condition("MemoryPressure", false, "KubeletHasSufficientMemory", "the lab does not measure memory"),
        condition("DiskPressure", false, "KubeletHasNoDiskPressure", "the lab does not measure disks"),
        condition("PIDPressure", false, "KubeletHasSufficientPID", "the lab does not count processes"),
        ready,
    ] })
}

async fn renew_lease(node: LabNode, writer: Writer) {
    let target = Target::namespaced("coordination.k8s.io/v1", "Lease", "kube-node-lease", node.name.as_str());
    loop {
        // MicroTime of the API: six digits after the point.
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        let spec = json!({ "holderIdentity": node.name, "leaseDurationSeconds": 40, "renewTime": now });
        let renewed = match writer.merge_patch(&target, &json!({ "spec": spec })).await {
            Err(Error::NotFound { .. }) => {
                let lease = json!({
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": { "name": node.name, "namespace": "kube-node-lease" },
                    "spec": spec,
                });
                writer.create_ours(&lease).await
            }
            other => other,
        };
        if let Err(error) = renewed {
            tracing::warn!(node = %node.name, %error, "a Lease could not be renewed");
        }
        sleep(LEASE_PAUSE).await;
    }
}

/// Waits until every agent is ready and names are answered; says what is missing whenever that changes.
pub(crate) async fn wait_until_ready(
    nodes: &[(LabNode, Arc<Netns>)],
    families: LabFamilies,
    api: &ApiHandle,
    mut say: impl FnMut(String),
) {
    let mut said = String::new();
    loop {
        match missing(nodes, families, api).await {
            None => return,
            Some(missing) if missing != said => {
                say(missing.clone());
                said = missing;
            }
            Some(_) => {}
        }
        sleep(LOOKS.0).await;
    }
}

async fn missing(nodes: &[(LabNode, Arc<Netns>)], families: LabFamilies, api: &ApiHandle) -> Option<String> {
    for (node, netns) in nodes {
        if !is_ready(node).await {
            return Some(format!("the agent of {}", node.name));
        }
        for at in families.addresses() {
            if !answers_names(netns, at.cluster_dns, families.primary().family).await {
                return Some(format!("DNS on {} at {}", node.name, at.cluster_dns));
            }
        }
        if !bootstrap::has_told(api, &node.name) {
            return Some(format!("what the agent of {} tells of its network", node.name));
        }
    }
    None
}

/// Asks for the address of `kubernetes.default.svc.cluster.local`, which is of this family, as RFC 1035 section 4.1
/// writes it.
async fn answers_names(netns: &Netns, dns: IpAddr, family: IpFamily) -> bool {
    let mut question = vec![0x5e, 0xa1, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["kubernetes", "default", "svc", "cluster", "local"] {
        question.push(u8::try_from(label.len()).expect("these labels are short"));
        question.extend_from_slice(label.as_bytes());
    }
    // A, or AAAA (RFC 3596 section 2.1).
    let kind = if family == IpFamily::V4 { 1 } else { 28 };
    question.extend_from_slice(&[0, 0, kind, 0, 1]);
    let answer = timeout(CHECK_LIMIT, publish::ask(netns, SocketAddr::new(dns, 53), &question)).await;
    // The last four bits of the fourth byte are the code: 0 is NOERROR.
    matches!(answer, Ok(Ok(answer)) if answer.len() >= 12 && answer[3] & 0x0f == 0 && answer[7] > 0)
}
