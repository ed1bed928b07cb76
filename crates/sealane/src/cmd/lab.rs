//! `sealane lab`: a cluster on this machine.

mod check;
mod exec;
mod on_nodes;
mod services;
mod status;
mod up;

use ::lab::LabError;
use anyhow::Result;

use crate::cli::{DownArgs, LabCommand};
use crate::output::{print_line, tell};
use crate::{cmd, config};

/// Runs one of the lab's subcommands, whose processes log what `log` says; its exit status.
pub(crate) async fn run(command: LabCommand, log: Option<String>) -> Result<i32> {
    match command {
        LabCommand::Up(args) if args.detach => up::detach(&args).await,
        LabCommand::Up(args) => up::run(args, log).await,
        LabCommand::Down(args) => down(&args),
        LabCommand::Status(args) => status::run(args).await,
        LabCommand::Run(args) => up::run_command(args, log).await,
        LabCommand::Exec(args) => exec::run(args).await,
        LabCommand::Check(args) => check::run(&args),
        LabCommand::Services(args) => services::run(&args),
        LabCommand::Tour(args) => cmd::tour::run(args, log).await,
    }
}

fn down(args: &DownArgs) -> Result<i32> {
    let state = config::state_dir(&args.which)?;
    match ::lab::down(&state) {
        Ok(info) => print_line(&format!("the lab of process {} has ended; nothing of it is left", info.pid)),
        // What is asked for holds already, so that a script may say `down` whatever happened before.
        Err(LabError::NotRunning { .. }) if state.sweep()? => {
            tell(&format!(
                "no lab is running in {}; what a killed one had left is gone",
                state.root().display()
            ));
        }
        Err(LabError::NotRunning { .. }) => tell(&format!("no lab is running in {}", state.root().display())),
        Err(error) => return Err(error.into()),
    }
    Ok(0)
}
