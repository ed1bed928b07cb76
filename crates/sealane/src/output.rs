//! Printing: the same for every command.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal as _, Write as _};

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

impl Output {
    /// Its word on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Colours: on a terminal only, and not where the environment asks for none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    is_coloured: bool,
}

impl Style {
    /// What standard output can show (<https://no-color.org>: any text but the empty one turns colours off).
    pub(crate) fn of_stdout() -> Self {
        let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { is_coloured: std::io::stdout().is_terminal() && !is_unwanted }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.is_coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn warning(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// Colours the marks of an explanation's lines.
    pub(crate) fn marks(self, text: &str) -> String {
        if !self.is_coloured {
            return text.to_owned();
        }
        text.replace('✓', &self.good("✓")).replace('✗', &self.bad("✗"))
    }
}

/// Prints a line on standard output. A reader that has gone away, as `head` does, is no error.
pub(crate) fn print_line(text: &impl Display) {
    let mut stdout = std::io::stdout();
    if let Err(error) = writeln!(stdout, "{text}").and_then(|()| stdout.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        tell(&format!("error: cannot print: {error}"));
    }
}

/// Prints a line on standard error.
#[expect(clippy::print_stderr, reason = "this is what a command says besides its output")]
pub(crate) fn tell(text: &impl Display) {
    eprintln!("{text}");
}

/// Prints a value as JSON on standard output.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    print_line(&serde_json::to_string_pretty(value).context("cannot print the result as JSON")?);
    Ok(())
}

/// Prints an error with all its causes on standard error; the exit status of a command that failed.
pub(crate) fn print_error(error: &anyhow::Error) -> std::process::ExitCode {
    tell(&format!("error: {}", sentence(error)));
    std::process::ExitCode::FAILURE
}

/// An error with its causes; a cause that the text before it has told already is not told twice.
fn sentence(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let error =
            anyhow::anyhow!("file is gone").context("cannot read: file is gone").context("cannot start");
        assert_eq!(sentence(&error), "cannot start: cannot read: file is gone");
    }
}
