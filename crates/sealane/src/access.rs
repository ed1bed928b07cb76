//! Which cluster a command looks at.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use model::Snapshot;

use crate::plans::ClusterFacts;

/// Which cluster to look at.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClusterAccess {
    /// Client configuration; a running lab's, if not given.
    #[arg(long, env = "KUBECONFIG", value_name = "FILE", help_heading = "Cluster")]
    kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) facts: ClusterFacts,
}

impl ClusterAccess {
    /// The cluster as its API has it now.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot> {
        let access = self.access()?;
        let client = watch::connect(&access).await.context("cannot reach the cluster's API")?;
        watch::list_all(&client).await.with_context(|| match access {
            watch::Access::Kubeconfig(path) => format!("the cluster of {} does not answer", path.display()),
            _ => "the cluster does not answer".to_owned(),
        })
    }

    fn access(&self) -> Result<watch::Access> {
        if let Some(kubeconfig) = &self.kubeconfig {
            return Ok(watch::Access::Kubeconfig(kubeconfig.clone()));
        }
        match crate::config::usual_state_dir(None)?.running() {
            Ok(lab) => Ok(watch::Access::Kubeconfig(lab.kubeconfig)),
            // What Kubernetes tells every Pod.
            Err(_) if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => {
                Ok(watch::Access::kubeconfig_or_in_cluster(None))
            }
            Err(error) => bail!("{error}, or name a cluster with --kubeconfig or KUBECONFIG"),
        }
    }
}
