//! `sealane completion` and `sealane man`: generated from the command line's own description.

use std::io::Write as _;

use anyhow::{Context, Result};
use clap::CommandFactory as _;

use crate::cli::Cli;

/// Prints a completion script.
pub(crate) fn run(shell: clap_complete::Shell) -> i32 {
    clap_complete::generate(shell, &mut Cli::command(), "sealane", &mut std::io::stdout());
    0
}

/// Prints the manual page, in roff.
pub(crate) fn man() -> Result<i32> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page).context("cannot write the manual page")?;
    std::io::stdout().write_all(&page).context("cannot print the manual page")?;
    Ok(0)
}
