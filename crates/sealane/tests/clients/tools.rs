//! Where the programs under test are: `target/tools`, filled by `cargo xtask clients`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The folder of the clients.
fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools"))
}

/// A fetched client; says in the output why it is not there.
pub(crate) fn find(test: &str, name: &str) -> Option<PathBuf> {
    let path = folder().join(name);
    if let Ok(found) = path.canonicalize() {
        return Some(found);
    }
    let reason = std::fs::read_to_string(folder().join(format!("{name}.missing")))
        .unwrap_or_else(|_| "`cargo xtask clients` has not fetched it".to_owned());
    println!("sealane-skip: {test}: no {name}: {}", reason.trim());
    None
}

/// A program of this machine; says so in the output if there is none.
pub(crate) fn of_this_machine(test: &str, name: &str, arguments: &[&str]) -> Option<PathBuf> {
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Some(PathBuf::from(name)),
        _ => {
            println!("sealane-skip: {test}: no {name} on this machine");
            None
        }
    }
}
