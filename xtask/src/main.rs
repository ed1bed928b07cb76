//! The project's verbs: `cargo xtask test`, `cargo xtask tidy`.
#![allow(
    clippy::disallowed_methods,
    reason = "a tool for developers: it runs cargo and reads the source tree"
)]

mod kubectl;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <verb>

  test               formatting, lints, tidy and all tests of all rungs; the last line counts them
  test pure          only the tests of the pure crates: no namespaces, no network, no programs
  tidy               the rules of the repository: imports, purity, names, sizes
  tidy --report      the same, and how much code stands above the purity line
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["test"] => test::everything(),
        ["test", "pure"] => test::pure(),
        ["tidy"] => tidy::command(),
        ["tidy", "--report"] => tidy::command().and_then(|()| tidy::report()),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository.
fn root() -> std::path::PathBuf {
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("xtask lies in the repository's root").to_owned()
}
