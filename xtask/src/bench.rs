//! `cargo xtask bench`: what is ours beside what others made, in one run.

mod peer;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::{cargo, root};

/// Where distributions (Debian's `containernetworking-plugins`) and Kubernetes' own packages put CNI plugins.
const PLUGIN_FOLDERS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];
/// Those that are compared with.
const PLUGINS: [&str; 2] = ["bridge", "host-local"];

/// API server: builds the peer if that can be done here, then measures; further arguments go to the benchmark.
pub(crate) fn api(arguments: &[&str]) -> Result<()> {
    let mut command = cargo(&["bench", "--quiet", "--package", "sealane-serve-api", "--bench", "api", "--"]);
    match peer::provide(&root().join("target").join("peer")) {
        Ok(peer) => {
            command.arg("--etcd").arg(peer.etcd).arg("--kube-apiserver").arg(peer.apiserver);
        }
        Err(reason) => {
            command.arg("--no-peer-because").arg(format!("{reason:#}"));
        }
    }
    let status = command.args(arguments).status().context("cannot run cargo bench")?;
    ensure!(status.success(), "the benchmark did not finish");
    Ok(())
}

/// Pod network: next to routes made by hand and to the plugins `bridge` and `host-local`, where they are installed.
pub(crate) fn podnet(arguments: &[&str]) -> Result<()> {
    let mut command = cargo(&["bench", "--quiet", "--package", "sealane", "--bench", "podnet", "--"]);
    let folders = PLUGIN_FOLDERS.map(PathBuf::from).into_iter().chain([root().join("target/tools/cni")]);
    let has_all = |folder: &PathBuf| PLUGINS.iter().all(|plugin| folder.join(plugin).exists());
    match folders.into_iter().find(has_all) {
        Some(folder) => command.arg("--cni-plugins").arg(folder),
        None => {
            let remedy =
                "install the package containernetworking-plugins, or run cargo xtask clients with Go";
            command.args(["--no-plugins-because", remedy])
        }
    };
    let status = command.args(arguments).status().context("cannot run cargo bench")?;
    ensure!(status.success(), "the benchmark did not finish");
    println!("what many peers cost a node, by themselves:");
    let peers = ["run", "--quiet", "--release", "--package", "sealane-apply-netlink", "--example", "peers"];
    let status = cargo(&peers).status().context("cannot run cargo run")?;
    ensure!(status.success(), "the measurement of peers did not finish");
    Ok(())
}

/// Services: next to kube-proxy, built if that can be done here, and to rules as it writes them.
pub(crate) fn services(arguments: &[&str]) -> Result<()> {
    let mut command = cargo(&["bench", "--quiet", "--package", "sealane", "--bench", "services", "--"]);
    match peer::provide_proxy(&root().join("target").join("peer")) {
        Ok(program) => command.arg("--kube-proxy").arg(program),
        Err(reason) => command.arg("--no-kube-proxy-because").arg(format!("{reason:#}")),
    };
    let status = command.args(arguments).status().context("cannot run cargo bench")?;
    ensure!(status.success(), "the benchmark did not finish");
    Ok(())
}

/// From the API to packets: ours alone, as nobody else's comes with an API server and nodes on one machine.
pub(crate) fn reach(arguments: &[&str]) -> Result<()> {
    let mut command = cargo(&["bench", "--quiet", "--package", "sealane", "--bench", "reach", "--"]);
    let status = command.args(arguments).status().context("cannot run cargo bench")?;
    ensure!(status.success(), "the benchmark did not finish");
    Ok(())
}

/// DNS: next to the servers that are installed, and to CoreDNS where its program is named.
pub(crate) fn dns(arguments: &[&str]) -> Result<()> {
    let mut command = cargo(&["bench", "--quiet", "--package", "sealane-serve-dns", "--bench", "dns", "--"]);
    let status = command.args(arguments).status().context("cannot run cargo bench")?;
    ensure!(status.success(), "the benchmark did not finish");
    Ok(())
}
