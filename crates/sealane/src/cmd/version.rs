//! `sealane version`.

use anyhow::Result;
use serde::Serialize;

use crate::cli::VersionArgs;
use crate::output::{Output, print_json, print_line};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: &'static str,
    architecture: &'static str,
}

/// Prints the version.
pub(crate) fn run(args: &VersionArgs) -> Result<i32> {
    let version = Version { version: env!("CARGO_PKG_VERSION"), architecture: std::env::consts::ARCH };
    match args.output {
        Output::Json => print_json(&version)?,
        Output::Text => print_line(&format!("sealane {} ({})", version.version, version.architecture)),
    }
    Ok(0)
}
