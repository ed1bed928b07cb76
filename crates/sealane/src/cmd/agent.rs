//! `sealane agent`: the loop of one node.

use anyhow::Result;

use crate::cli::AgentArgs;
use crate::config;
use crate::open_files;

/// Runs until the process is asked to end.
pub(crate) async fn run(args: AgentArgs) -> Result<i32> {
    open_files::allow_as_many_as_possible();
    ::agent::node::run(config::agent_settings(args)?).await?;
    Ok(0)
}
