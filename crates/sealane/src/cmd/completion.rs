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

/// Prints the manual page of a command, in roff.
pub(crate) fn man(path: &[String]) -> Result<i32> {
    let mut whole = Cli::command();
    whole.build();
    let mut command = &whole;
    for name in path {
        let found = command.find_subcommand(name);
        command = found.with_context(|| format!("there is no command `{}`", path.join(" ")))?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page).context("cannot write the manual page")?;
    std::io::stdout().write_all(&page).context("cannot print the manual page")?;
    Ok(0)
}
