//! The one binary: command line, configuration, subcommands.

fn main() {}
