//! `sealane agent`: the loop of one node.

use anyhow::Result;

use crate::cli::AgentArgs;
use crate::config;

/// Runs until the process is asked to end.
pub(crate) async fn run(args: AgentArgs) -> Result<i32> {
    ::agent::node::run(config::agent_settings(args)?).await?;
    Ok(0)
}
