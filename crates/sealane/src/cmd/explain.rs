//! `sealane explain FROM TO`: why a connection works or fails, hop by hop.

use anyhow::Result;
use clap::Args;

use crate::access::ClusterAccess;
use crate::output::{Output, Style, print_json, print_line};
use crate::plans::compile_all;

/// What `sealane explain` takes.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Who connects: a Pod (`name` or `namespace/name`), `node/name`, `outside` (beyond the nodes), or an address.
    from: String,
    /// What is aimed at: a URL, or a DNS name, an address, `svc/name` or `pod/name` (or `svc/namespace/name`), each with
    /// `:port`, and `/udp` for UDP.
    to: String,
    /// Namespace of names that do not say theirs.
    #[arg(short, long, default_value = "default")]
    namespace: String,
    #[command(flatten)]
    access: ClusterAccess,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Explains; the exit status is 0 when the connection is expected to work and 1 when not.
pub(crate) async fn run(args: ExplainArgs) -> Result<i32> {
    let question = explain::Question::parse(&args.from, &args.to, &args.namespace)?;
    let snapshot = args.access.snapshot().await?;
    let explanation = explain::explain(&compile_all(&snapshot, &args.access.facts), &question);
    match args.output {
        Output::Json => print_json(&explanation)?,
        Output::Text => print_line(&Style::of_stdout().marks(&explanation.to_string())),
    }
    Ok(i32::from(!explanation.conclusion.is_reached()))
}
