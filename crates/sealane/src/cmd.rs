//! The subcommands, a file each.

mod agent;
pub(crate) mod check;
mod completion;
mod controller;
pub(crate) mod dns;
pub(crate) mod explain;
mod lab;
pub(crate) mod plan;
pub(crate) mod probe;
pub(crate) mod services;
pub(crate) mod status;
pub(crate) mod tour;
mod version;

use anyhow::Result;

use crate::cli::{Cli, Command};

/// Runs a subcommand; its exit status.
pub(crate) async fn run(cli: Cli) -> Result<i32> {
    match cli.command {
        Command::Lab(args) => lab::run(args.command, cli.log).await,
        Command::Explain(args) => explain::run(args).await,
        Command::Dns(args) => dns::run(*args).await,
        Command::Status(args) => status::run(args).await,
        Command::Check(args) => check::run(args),
        Command::Services(args) => services::run(&args),
        Command::Plan(args) => plan::run(args).await,
        Command::Probe(args) => probe::run(args).await,
        Command::Agent(args) => agent::run(*args).await,
        Command::Controller(args) => controller::run(args).await,
        Command::Version(args) => version::run(&args),
        Command::Completion { shell } => Ok(completion::run(shell)),
        Command::Man { command } => completion::man(&command),
        Command::LabWorld { .. } => unreachable!("handled before the first thread starts"),
    }
}
