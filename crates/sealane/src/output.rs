//! Printing: the same for every command.

use std::fmt::Display;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;

/// How a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Prints a line on standard output.
#[expect(clippy::print_stdout, reason = "this is a command's output")]
pub(crate) fn print_line(text: &impl Display) {
    println!("{text}");
}

/// Prints a value as JSON on standard output.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    print_line(&serde_json::to_string_pretty(value).context("cannot print the result as JSON")?);
    Ok(())
}

/// Prints an error with all its causes on standard error; the exit status of a command that failed.
#[expect(clippy::print_stderr, reason = "this is a command's error")]
pub(crate) fn print_error(error: &anyhow::Error) -> std::process::ExitCode {
    eprintln!("error: {error:#}");
    std::process::ExitCode::FAILURE
}
