//! `sealane lab`: a cluster on this machine.

mod exec;
mod status;
mod up;

use anyhow::Result;

use crate::cli::{DownArgs, LabCommand};
use crate::output::print_line;
use crate::{cmd, config};

/// Runs one of the lab's subcommands; its exit status.
pub(crate) async fn run(command: LabCommand) -> Result<i32> {
    match command {
        LabCommand::Up(args) if args.detach => up::detach(&args).await,
        LabCommand::Up(args) => up::run(args).await,
        LabCommand::Down(args) => down(&args),
        LabCommand::Status(args) => status::run(args).await,
        LabCommand::Run(args) => up::run_command(args).await,
        LabCommand::Exec(args) => exec::run(args).await,
        LabCommand::Tour(args) => cmd::tour::run(args).await,
    }
}

fn down(args: &DownArgs) -> Result<i32> {
    let info = ::lab::down(&config::state_dir(&args.which)?)?;
    print_line(&format!("the lab of process {} has ended; nothing of it is left", info.pid));
    Ok(0)
}
