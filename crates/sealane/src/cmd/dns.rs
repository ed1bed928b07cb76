//! `sealane dns`: what becomes of a Corefile, and of a name; and cluster DNS by itself.

mod import;
mod query;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::cli::DnsServeArgs;
use crate::config;
use crate::help;
use crate::open_files;

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
    /// status is 0 when there is an answer, or when upstream servers are asked, else 1; with a file, for each of its names.
    #[command(after_help = help::DNS_QUERY)]
    Query(Box<query::QueryArgs>),
    /// What is taken over of a Corefile, line by line.
    ///
    /// Nothing is changed: a cluster's DNS follows its ConfigMap kube-system/coredns by itself. The exit status is 0 when every
    /// line is taken, and 1 when one is not or cannot be read.
    #[command(after_help = help::DNS_IMPORT)]
    Import(import::ImportArgs),
    /// Serve cluster DNS without an agent, as a Deployment behind a Service.
    ///
    /// Every node's agent answers the cluster DNS address by itself and needs no such Deployment; this is for clusters whose
    /// nodes run other agents, in place of CoreDNS. Behaviour is that of the Corefile in ConfigMap coredns of kube-system.
    #[command(after_help = help::DNS_SERVE)]
    Serve(DnsServeArgs),
}

impl DnsArgs {
    /// Whether the command runs until it is ended.
    pub(crate) fn runs_long(&self) -> bool {
        matches!(self.command, DnsCommand::Serve(_))
    }
}

/// Runs a subcommand; its exit status.
pub(crate) async fn run(args: DnsArgs) -> Result<i32> {
    match args.command {
        DnsCommand::Query(args) => query::run(*args).await,
        DnsCommand::Import(args) => import::run(&args),
        DnsCommand::Serve(args) => {
            open_files::allow_as_many_as_possible();
            ::agent::names::run(config::names_settings(args)).await?;
            Ok(0)
        }
    }
}
