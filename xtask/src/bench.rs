//! `cargo xtask bench api`: how fast and how large the API server is, next to a real kube-apiserver.

mod peer;

use anyhow::{Context, Result, ensure};

use crate::{cargo, root};

/// Builds the peer if that can be done here, then measures; further arguments go to the benchmark.
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
