//! `cargo xtask bench`: what is ours beside what others made, in one run.

mod peer;

use std::path::Path;

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
    let has_all = |folder: &&&str| PLUGINS.iter().all(|plugin| Path::new(folder).join(plugin).exists());
    match PLUGIN_FOLDERS.iter().find(has_all) {
        Some(folder) => command.args(["--cni-plugins", folder]),
        None => command.args(["--no-plugins-because", "install the package containernetworking-plugins"]),
    };
    let status = command.args(arguments).status().context("cannot run cargo bench")?;
    ensure!(status.success(), "the benchmark did not finish");
    Ok(())
}
