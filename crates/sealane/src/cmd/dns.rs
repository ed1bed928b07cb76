//! `sealane dns`: what becomes of a Corefile, and of a name.

mod import;
mod query;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::help;

/// What `sealane dns` takes.
#[derive(Debug, Args)]
pub(crate) struct DnsArgs {
    #[command(subcommand)]
    command: DnsCommand,
}

#[derive(Debug, Subcommand)]
enum DnsCommand {
    /// What a name resolves to, and why: each step with the object or the line of the Corefile that decides.
    ///
    /// Nothing is sent: the answer is computed from the API's objects, by the code that answers queries on the nodes. The exit
    /// status is 0 when there is an answer, or when upstream servers are asked, else 1.
    #[command(after_help = help::DNS_QUERY)]
    Query(Box<query::QueryArgs>),
    /// What is taken over of a Corefile, line by line.
    ///
    /// Nothing is changed: a cluster's DNS follows its ConfigMap kube-system/coredns by itself. The exit status is 0 when every
    /// line is taken, and 1 when one is not or cannot be read.
    #[command(after_help = help::DNS_IMPORT)]
    Import(import::ImportArgs),
}

/// Runs a subcommand; its exit status.
pub(crate) async fn run(args: DnsArgs) -> Result<i32> {
    match args.command {
        DnsCommand::Query(args) => query::run(*args).await,
        DnsCommand::Import(args) => import::run(&args),
    }
}
