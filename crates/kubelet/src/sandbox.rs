//! A Pod's sandbox: network namespace through CNI, host name, and on demand its own view of the file system.

use std::ffi::CString;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use engine_kubelet::bandwidth::Bandwidth;
use engine_kubelet::volumes::Mount;
use netns::Netns;
use nix::sched::{CloneFlags, setns, unshare};
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::KubeletError;
use crate::rootfs::{self, OwnFiles};

/// Name of a Pod's link inside its namespace, as every container runtime has it.
const POD_LINK: &str = "eth0";
/// CNI version of the configuration (`containernetworking/cni` SPEC 1.1.0).
const CNI_VERSION: &str = "1.1.0";
/// Longest output of the plugin that is looked at.
const MAX_REASON: usize = 2000;

/// What a sandbox is made from.
#[derive(Clone, Debug)]
pub struct SandboxSpec {
    /// Identity of the sandbox, `CNI_CONTAINERID`.
    pub id: String,
    /// The Pod's namespace.
    pub namespace: String,
    /// The Pod's name.
    pub name: String,
    /// The Pod's uid.
    pub uid: String,
    /// The Pod's host name.
    pub host_name: String,
    /// The node's network namespace.
    pub node: Arc<Netns>,
    /// The node's addresses.
    pub node_addresses: Vec<IpAddr>,
    /// Directory that the node's agent shares with the plugin.
    pub node_state: PathBuf,
    /// Where the Pod's namespace is bound.
    pub netns_path: PathBuf,
    /// Whether the Pod has a network namespace of its own.
    pub network: PodNetwork,
    /// How fast its network may be.
    pub bandwidth: Bandwidth,
}

/// Which network namespace a Pod lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodNetwork {
    /// Its own.
    Own,
    /// The node's (`hostNetwork: true`).
    Node,
}

/// A Pod's namespaces.
#[derive(Debug)]
pub struct Sandbox {
    spec: SandboxSpec,
    netns: Arc<Netns>,
    host_name: OwnedFd,
    addresses: Vec<IpAddr>,
    root: Mutex<Option<Arc<OwnedFd>>>,
}

/// The part of a CNI result that the kubelet reads.
#[derive(Deserialize)]
struct CniResult {
    ips: Vec<CniAddress>,
}

#[derive(Deserialize)]
struct CniAddress {
    address: String,
}

impl Sandbox {
    /// Makes the namespaces and has the plugin join them to the network. Nothing runs inside before this returns.
    ///
    /// # Errors
    /// With the plugin's own words; what was made by then is undone.
    pub async fn create(spec: SandboxSpec) -> Result<Self, String> {
        let host_name = make_host_name(spec.host_name.clone()).map_err(|error| types::with_causes(&error))?;
        if spec.network == PodNetwork::Node {
            let (netns, addresses) = (Arc::clone(&spec.node), spec.node_addresses.clone());
            return Ok(Self { spec, netns, host_name, addresses, root: Mutex::default() });
        }
        // A start that was cut short may have left the name.
        let _ = netns::remove(&spec.netns_path);
        let netns = Netns::create(&spec.netns_path).map_err(|error| types::with_causes(&error))?;
        match call_plugin(&spec, "ADD").await.and_then(|output| addresses_of(&output)) {
            Ok(addresses) => {
                let netns = Arc::new(netns);
                Ok(Self { spec, netns, host_name, addresses, root: Mutex::default() })
            }
            Err(reason) => {
                // CN5: DEL after a failed ADD; the reason that counts is the first.
                let _ = call_plugin(&spec, "DEL").await;
                let _ = netns::remove(&spec.netns_path);
                Err(reason)
            }
        }
    }

    /// Takes the sandbox down; everything is tried, the first failure is told.
    ///
    /// # Errors
    /// With the plugin's own words.
    pub async fn remove(&self) -> Result<(), String> {
        if self.spec.network == PodNetwork::Node {
            return Ok(());
        }
        let deleted = call_plugin(&self.spec, "DEL").await;
        let removed = netns::remove(&self.spec.netns_path).map_err(|error| types::with_causes(&error));
        deleted.and(removed)
    }

    /// The Pod's addresses.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// The Pod's network namespace.
    #[must_use]
    pub fn netns(&self) -> &Arc<Netns> {
        &self.netns
    }

    /// The network namespace of its node.
    #[must_use]
    pub fn node(&self) -> &Arc<Netns> {
        &self.spec.node
    }

    /// The mount namespace of the Pod, made when it is first asked for: stand-ins never need one.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn root(&self, files: &OwnFiles) -> Result<Arc<OwnedFd>, KubeletError> {
        let mut root = self.root.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*root {
            return Ok(Arc::clone(made));
        }
        let made = Arc::new(rootfs::make(files)?);
        *root = Some(Arc::clone(&made));
        Ok(made)
    }

    /// The mount namespace of the Pod, if it was made.
    pub(crate) fn made_root(&self) -> Option<Arc<OwnedFd>> {
        self.root.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The mount namespace of one container: the Pod's own when it mounts nothing.
    ///
    /// # Errors
    /// When a mount cannot be made.
    pub fn container_root(&self, files: &OwnFiles, mounts: &[Mount]) -> Result<Arc<OwnedFd>, KubeletError> {
        let root = self.root(files)?;
        if mounts.is_empty() { Ok(root) } else { rootfs::with_mounts(&root, mounts).map(Arc::new) }
    }

    /// What a process needs to enter the Pod, for use between `fork` and `exec`.
    ///
    /// # Errors
    /// When descriptors run out.
    pub fn entrance(&self, root: &OwnedFd, directory: &str) -> Result<Entrance, KubeletError> {
        let failed = |error| KubeletError::system("duplicate a namespace descriptor", error);
        Ok(Entrance {
            mount: root.try_clone().map_err(failed)?,
            host_name: self.host_name.try_clone().map_err(failed)?,
            network: self.netns.as_fd().try_clone_to_owned().map_err(failed)?,
            directory: CString::new(directory).unwrap_or_else(|_| c"/".to_owned()),
        })
    }

    /// Ends every process that still is in the Pod's network namespace.
    pub fn kill_stragglers(&self) {
        if self.spec.network == PodNetwork::Node {
            return;
        }
        let Ok(own) = nix::sys::stat::fstat(self.netns.as_fd()) else { return };
        let Ok(processes) = std::fs::read_dir("/proc") else { return };
        for entry in processes.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let there = nix::sys::stat::stat(format!("/proc/{pid}/ns/net").as_str());
            if there.is_ok_and(|there| there.st_ino == own.st_ino && there.st_dev == own.st_dev) {
                // It may have ended since it was looked at.
                let _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
        }
    }
}

/// Everything a process needs to enter a Pod; entering allocates nothing.
#[derive(Debug)]
pub struct Entrance {
    mount: OwnedFd,
    host_name: OwnedFd,
    network: OwnedFd,
    directory: CString,
}

impl Entrance {
    /// Moves the calling process, which must have one thread, into the Pod.
    ///
    /// # Errors
    /// When the kernel refuses, or the working directory does not exist.
    pub fn enter(&self) -> std::io::Result<()> {
        setns(&self.network, CloneFlags::CLONE_NEWNET)?;
        setns(&self.host_name, CloneFlags::CLONE_NEWUTS)?;
        setns(&self.mount, CloneFlags::CLONE_NEWNS)?;
        nix::unistd::chdir(self.directory.as_c_str())?;
        Ok(())
    }
}

fn make_host_name(name: String) -> Result<OwnedFd, KubeletError> {
    let made = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWUTS)
            .map_err(|error| KubeletError::system("make a UTS namespace", error))?;
        nix::unistd::sethostname(name).map_err(|error| KubeletError::system("set a host name", error))?;
        rootfs::own_namespace("uts")
    });
    made.join().expect("the thread only makes system calls")
}

/// The network configuration, with what a runtime adds for the capabilities we serve (`toCNIBandWidth` of containerd).
fn configuration(spec: &SandboxSpec) -> serde_json::Value {
    let mut bandwidth = serde_json::Map::new();
    let mut limit = |direction: &str, rate: Option<u64>| {
        if let Some(rate) = rate {
            bandwidth.insert(format!("{direction}Rate"), rate.into());
            bandwidth.insert(format!("{direction}Burst"), u32::MAX.into());
        }
    };
    limit("ingress", spec.bandwidth.ingress);
    limit("egress", spec.bandwidth.egress);
    let mut configuration = json!({
        "cniVersion": CNI_VERSION,
        "name": "sealane",
        "type": "sealane",
        "stateDir": spec.node_state,
    });
    if !bandwidth.is_empty() {
        configuration["runtimeConfig"] = json!({ "bandwidth": bandwidth });
    }
    configuration
}

async fn call_plugin(spec: &SandboxSpec, verb: &str) -> Result<Vec<u8>, String> {
    let configuration = configuration(spec);
    let arguments = format!(
        "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={}",
        spec.namespace, spec.name, spec.id, spec.uid
    );
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("sealane")
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", &spec.id)
        .env("CNI_NETNS", &spec.netns_path)
        .env("CNI_IFNAME", POD_LINK)
        .env("CNI_ARGS", arguments)
        .env("CNI_PATH", &spec.node_state)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    spec.node.enter_on_exec(command.as_std_mut()).map_err(|error| types::with_causes(&error))?;
    let mut child = command.spawn().map_err(|error| format!("cannot start the CNI plugin: {error}"))?;
    let mut stdin = child.stdin.take().expect("the plugin's stdin is a pipe");
    // A plugin that fails early does not read all of it.
    let _ = stdin.write_all(configuration.to_string().as_bytes()).await;
    drop(stdin);
    let output =
        child.wait_with_output().await.map_err(|error| format!("cannot wait for the CNI plugin: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(reason(verb, &output.stdout, &output.stderr))
}

fn reason(verb: &str, stdout: &[u8], stderr: &[u8]) -> String {
    let error: serde_json::Value = serde_json::from_slice(stdout).unwrap_or_default();
    let field =
        |name: &str| error.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let (message, details) = (field("msg"), field("details"));
    let text = match (message.is_empty(), details.is_empty()) {
        (false, true) => message,
        (false, false) => format!("{message}: {details}"),
        _ => String::from_utf8_lossy(if stdout.is_empty() { stderr } else { stdout }).trim().to_owned(),
    };
    let cut: String = text.chars().take(MAX_REASON).collect();
    format!("CNI {verb} failed: {cut}")
}

fn addresses_of(output: &[u8]) -> Result<Vec<IpAddr>, String> {
    let result: CniResult = serde_json::from_slice(output)
        .map_err(|error| format!("CNI ADD answered what is not a result: {error}"))?;
    let addresses = result.ips.iter().filter_map(|ip| ip.address.split('/').next()?.parse().ok());
    Ok(addresses.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugins_own_words_are_passed_on() {
        let output = br#"{"cniVersion":"1.1.0","code":11,"msg":"try later","details":"no agent"}"#;
        assert_eq!(reason("ADD", output, b""), "CNI ADD failed: try later: no agent");
        assert_eq!(reason("ADD", b"", b"panicked\n"), "CNI ADD failed: panicked");
    }

    #[test]
    fn addresses_lose_their_prefix() {
        let output = br#"{"cniVersion":"1.1.0","ips":[{"address":"10.244.0.7/32","interface":1}]}"#;
        assert_eq!(addresses_of(output), Ok(vec!["10.244.0.7".parse().unwrap()]));
    }
}
