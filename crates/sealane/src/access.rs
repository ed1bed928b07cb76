//! Which cluster a command looks at.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use model::Snapshot;

use crate::plans::ClusterFacts;

/// Which cluster to look at.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClusterAccess {
    /// Client configuration; a running lab's, if not given.
    #[arg(long, env = "KUBECONFIG", help_heading = "Cluster")]
    kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) facts: ClusterFacts,
}

impl ClusterAccess {
    /// The cluster as its API has it now.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot> {
        let client = watch::connect(&self.access()).await.context("cannot reach the cluster's API")?;
        watch::list_all(&client).await.context("cannot list the cluster's objects")
    }

    fn access(&self) -> watch::Access {
        let lab = crate::config::usual_state_dir(None).kubeconfig();
        let kubeconfig = self.kubeconfig.clone().or_else(|| lab.exists().then_some(lab));
        watch::Access::kubeconfig_or_in_cluster(kubeconfig)
    }
}
