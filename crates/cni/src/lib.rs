//! The CNI plugin: parse, allocate, plumb, answer.
//!
//! One call is one process: the container runtime gives the command in the environment and the network configuration
//! on standard input, and reads one JSON document from standard output (CNI specification 1.1.0). All state is files in
//! the node's state directory, laid out as [`types::Attachment`]'s module says. A call that is killed at any point
//! leaves nothing that DEL or GC of the same container does not remove.
#![allow(
    clippy::disallowed_methods,
    reason = "a shell crate: it is here that a container runtime's call is served"
)]

mod agent;
mod commands;
mod config;
mod error;
mod invocation;
mod output;
mod previous;
mod quarantine;
mod runtime_config;
mod store;
mod taken;

use std::collections::BTreeMap;
use std::io::{Read, Write};

pub use config::SUPPORTED_VERSIONS;
pub use error::CniError;

use config::NetworkConfig;
use invocation::{Command, Invocation};

/// Serves the call that this process was started for; returns its exit status.
///
/// To be called when `CNI_COMMAND` is set, before anything else looks at the arguments or starts a thread.
#[must_use]
pub fn main_from_env() -> i32 {
    let environment = std::env::vars().filter(|(name, _)| name.starts_with("CNI_")).collect();
    let mut input = Vec::new();
    // What cannot be read is missing, and is reported as such below.
    let _ = std::io::stdin().read_to_end(&mut input);
    let (text, status) = run(&environment, &input);
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => status,
        // The runtime is gone; there is nobody to tell.
        Err(_) => 1,
    }
}

/// Serves one call: environment and standard input in, standard output and exit status out.
#[must_use]
pub fn run(environment: &BTreeMap<String, String>, input: &[u8]) -> (String, i32) {
    let served = Invocation::parse(environment).and_then(|invocation| match invocation.command {
        Command::Version => commands::version(input),
        _ => {
            let config = NetworkConfig::parse(input)?;
            config.require_support(invocation.command)?;
            commands::serve(&invocation, &config)
        }
    });
    match served {
        Ok(None) => (String::new(), 0),
        Ok(Some(answer)) => (text(&answer), 0),
        Err(error) => (text(&output::ErrorAnswer::new(&config::asked_version(input), &error)), 1),
    }
}

/// Reads all that ADD reads of environment and standard input, and does nothing about it: for tests with input of any kind.
///
/// # Errors
/// What ADD would answer before it looks at the node.
pub fn read_add(environment: &BTreeMap<String, String>, input: &[u8]) -> Result<(), CniError> {
    let call = Invocation::parse(environment)?;
    let config = NetworkConfig::parse(input)?;
    config.require_support(Command::Add)?;
    let wishes = &config.runtime_config;
    let previous = config.previous()?;
    if let Some(previous) = &previous {
        wishes.refuse_for_foreign_links()?;
        previous.endpoint(&call.ifname)?;
    }
    wishes.addresses()?;
    wishes.mac()?;
    wishes.port_mappings()?;
    wishes.bandwidth()?;
    drop(previous.map(|previous| previous.in_version(&config.cni_version)));
    Ok(())
}

fn text(answer: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(answer).expect("answers are plain data with text keys");
    text.push('\n');
    text
}
