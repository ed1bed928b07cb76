//! The one binary: command line, configuration, subcommands.

#![allow(
    clippy::disallowed_methods,
    reason = "the binary: it is here that the environment is read and programs are run"
)]

mod access;
mod allocator;
mod cli;
mod cmd;
mod config;
mod ending;
mod help;
mod open_files;
mod output;
mod plans;
mod reach;
mod tour;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: allocator::ByRole = allocator::ByRole;

fn main() -> ExitCode {
    // Invoked as a CNI plugin, the environment decides: a container runtime passes no arguments.
    if std::env::var_os("CNI_COMMAND").is_some() {
        return exit_code(cni::main_from_env());
    }
    let cli = cli::Cli::parse();
    config::start_log(&cli);
    // Namespaces can only be entered before the first thread starts.
    if let cli::Command::LabWorld { handover } = &cli.command {
        return lab::world_main(handover);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::print_error(&anyhow::Error::new(error).context("cannot start")),
    };
    let result = runtime.block_on(cmd::run(cli));
    // A blocked read of standard input must not hold up the end.
    runtime.shutdown_background();
    match result {
        Ok(code) => exit_code(code),
        Err(error) => output::print_error(&error),
    }
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
