//! Measures DNS with dnsperf: ours next to CoreDNS, unbound, Knot, NSD and an echo of datagrams, each on one processor, in one
//! run.
//!
//! Figures are printed, never asserted: what they are depends on the machine and on who else uses it. All servers are there at
//! once, and each takes its turn within each round. A server is on one processor, what asks it on another.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark starts programs, looks at the clock and stops at whatever fails"
)]

// The package is called sealane-serve-dns; benchmarks name it as everyone else does.
extern crate sealane_serve_dns as serve_dns;

mod api;
#[path = "../../src/udp/batch.rs"]
#[allow(dead_code, reason = "an echo needs less of it than a server")]
mod batch;
mod cluster;
mod echo;
mod figures;
mod goals;
mod load;
#[path = "../../../sealane/benches/podnet/machine.rs"]
mod machine;
mod ours;
mod peers;
mod process;
mod turns;

use std::path::PathBuf;

/// That of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
usage: dns [--rounds N] [--seconds N] [--services N] [--endpoints N] [--offered N,N] [--only WORD]
           [--without SUBJECT,SUBJECT] [--processors N,N] [--json FILE] [--coredns FILE]
";

/// What one run measures.
#[derive(Clone, Debug)]
struct Options {
    rounds: usize,
    seconds: u64,
    size: cluster::Size,
    /// Queries per second at which latency is compared.
    offered: Vec<u32>,
    /// What is measured: loads whose name has this in it.
    only: String,
    /// Parts of the names of subjects that are left out.
    without: Vec<String>,
    /// The processor of servers and that of their clients.
    processors: [usize; 2],
    /// Where every value goes.
    json: Option<PathBuf>,
    coredns: Option<PathBuf>,
}

fn main() {
    // `cargo bench` adds a flag of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["ours", port, upstream, services, endpoints] => ours::main(port, upstream, [services, endpoints]),
        ["echo", port] => echo::main(port),
        options => match read_options(options) {
            Ok(options) => turns::run(&options),
            Err(problem) => {
                eprint!("{problem}\n{USAGE}");
                std::process::exit(2);
            }
        },
    }
}

fn read_options(arguments: &[&str]) -> Result<Options, String> {
    let mut options = Options {
        rounds: 5,
        seconds: 3,
        size: cluster::Size { services: 10_000, endpoints: 100_000 },
        offered: vec![10_000, 60_000],
        only: String::new(),
        without: Vec::new(),
        processors: [0, 1],
        json: None,
        coredns: None,
    };
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        let value = *rest.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number =
            |text: &str| text.parse::<u32>().map_err(|_| format!("{name} needs numbers, not {text}"));
        match *name {
            "--rounds" => options.rounds = number(value)? as usize,
            "--seconds" => options.seconds = number(value)?.into(),
            "--services" => options.size.services = number(value)?,
            "--endpoints" => options.size.endpoints = number(value)?,
            "--offered" => options.offered = value.split(',').map(number).collect::<Result<_, _>>()?,
            "--only" => options.only = value.to_owned(),
            "--without" => options.without = value.split(',').map(str::to_owned).collect(),
            "--processors" => {
                let numbers = value.split(',').map(number).collect::<Result<Vec<_>, _>>()?;
                let [server, client] = numbers[..] else { return Err("two processors are needed".into()) };
                options.processors = [server as usize, client as usize];
            }
            "--json" => options.json = Some(value.into()),
            "--coredns" => options.coredns = Some(value.into()),
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(options)
}
