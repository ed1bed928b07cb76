//! `sealane controller`: the loop of the whole cluster.

use anyhow::Result;

use crate::cli::ControllerArgs;
use crate::config;

/// Runs until the process is asked to end.
pub(crate) async fn run(args: ControllerArgs) -> Result<i32> {
    ::agent::cluster::run(config::cluster_settings(args)?).await?;
    Ok(0)
}
