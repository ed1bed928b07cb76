//! Measures how long a change of endpoints takes from the API to packets, on every node of a lab with many Services.
//!
//! Figures are printed, never asserted. Everything runs on this one machine: the API server, the controllers, the agents of
//! all nodes, and the probes, so that what one does takes from the others.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark starts programs, looks at the clock and stops at whatever fails"
)]

mod cluster;
#[path = "../podnet/figures.rs"]
#[allow(dead_code, reason = "others make tables of it")]
mod figures;
#[path = "../podnet/machine.rs"]
mod machine;
mod probe;
mod processes;
mod stages;
mod turns;

use std::path::PathBuf;
use std::process::Command;

const USAGE: &str =
    "usage: reach [--services N] [--endpoints N] [--changes N] [--nodes N] [--pause MILLISECONDS]\n";

/// What one run measures.
#[derive(Clone, Debug)]
struct Options {
    services: usize,
    /// Of each Service.
    endpoints: usize,
    changes: usize,
    nodes: usize,
    /// Between a change that has arrived and the next.
    pause: u64,
}

fn main() {
    // `cargo bench` adds a flag of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", name] => probe::serve(name),
        ["wait"] => wait(),
        ["probe", address] => probe::run(address.parse().unwrap()),
        ["measure", rest @ ..] => turns::run(&read_options(rest).unwrap()),
        options => match read_options(options) {
            Ok(read) => start_lab(&read, options),
            Err(problem) => {
                eprint!("{problem}\n{USAGE}");
                std::process::exit(2);
            }
        },
    }
}

/// Keeps a Pod alive.
fn wait() -> ! {
    loop {
        std::thread::park();
    }
}

/// Starts a lab around the measurement, which it ends with.
fn start_lab(options: &Options, arguments: &[&str]) {
    let folder = std::env::temp_dir().join(format!("sealane-bench-reach-{}", std::process::id()));
    let mut lab = Command::new(env!("CARGO_BIN_EXE_sealane"));
    lab.args(["lab", "run", "--nodes", &options.nodes.to_string()]);
    lab.arg("--state-dir").arg(&folder).arg("--").arg(own_path()).arg("measure").args(arguments);
    let status = lab.status().unwrap();
    std::process::exit(status.code().unwrap_or(1));
}

/// This program, to be started again in other places.
fn own_path() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn read_options(arguments: &[&str]) -> Result<Options, String> {
    let mut options = Options { services: 10_000, endpoints: 3, changes: 30, nodes: 3, pause: 300 };
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number: usize = value.parse().map_err(|_| format!("{name} needs a number, not {value}"))?;
        match *name {
            "--services" => options.services = number,
            "--endpoints" => options.endpoints = number,
            "--changes" => options.changes = number,
            "--nodes" => options.nodes = number,
            "--pause" => options.pause = number as u64,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(options)
}
