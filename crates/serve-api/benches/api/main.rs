//! Measures the API server over real HTTPS from another process, next to a real kube-apiserver where there is one.
//!
//! Figures are printed, never asserted: what they are depends on the machine and on who else uses it. Every subject
//! takes its turn within each round, so that a busy minute does not hit one of them alone.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark starts programs, looks at the clock and stops at whatever fails"
)]

mod client;
mod figures;
mod load;
#[path = "../../../sealane/benches/podnet/machine.rs"]
mod machine;
mod objects;
mod process;
mod scenario;
mod store;
mod subject;

use std::path::PathBuf;

use crate::figures::Figures;
use crate::scenario::Sizes;
use crate::subject::{Peer, Subject};

/// That of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
usage: api [--rounds N] [--pods N] [--config-maps N] [--informers N] [--clients N]
           [--etcd FILE --kube-apiserver FILE] [--no-peer-because REASON] [--only SUBJECT]
       api serve DIRECTORY PORT [durable]
       api store [COUNT [WHICH]]
";

struct Options {
    rounds: usize,
    sizes: Sizes,
    peer: Result<Peer, String>,
    only: Option<String>,
}

fn main() {
    // `cargo bench` adds a flag of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some(("serve", rest)) => return process::serve(rest),
        Some(("store", rest)) => return store::run(rest),
        _ => {}
    }
    let options = read_options(&arguments).unwrap_or_else(|problem| {
        eprint!("{problem}\n{USAGE}");
        std::process::exit(2);
    });
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(run(options));
}

async fn run(options: Options) {
    println!("{} at the start", machine::machine());
    let subjects: Vec<Subject> = Subject::all(options.peer.as_ref().ok())
        .into_iter()
        .filter(|subject| options.only.as_ref().is_none_or(|only| subject.name.contains(only.as_str())))
        .collect();
    if let Err(reason) = &options.peer {
        println!("no kube-apiserver to compare with: {reason}");
    }
    for subject in &subjects {
        println!("{}: {}", subject.name, subject.describe());
    }
    println!("{}\n", options.sizes);
    let mut figures = Figures::default();
    for round in 1..=options.rounds {
        for subject in &subjects {
            eprintln!("round {round} of {}: {}", options.rounds, subject.name);
            scenario::run(subject, &options.sizes, &mut figures).await;
        }
    }
    print!("{}", figures.table(&subjects));
}

fn read_options(arguments: &[String]) -> Result<Options, String> {
    let mut options =
        Options { rounds: 3, sizes: Sizes::default(), peer: Err("none was named".to_owned()), only: None };
    let (mut etcd, mut apiserver) = (None, None);
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse::<usize>().map_err(|_| format!("{name} needs a number, not {value}"));
        match name.as_str() {
            "--rounds" => options.rounds = number()?,
            "--pods" => options.sizes.pods = number()?,
            "--config-maps" => options.sizes.config_maps = number()?,
            "--informers" => options.sizes.informers = number()?,
            "--clients" => options.sizes.clients = number()?,
            "--etcd" => etcd = Some(PathBuf::from(value)),
            "--kube-apiserver" => apiserver = Some(PathBuf::from(value)),
            "--no-peer-because" => options.peer = Err(value.clone()),
            "--only" => options.only = Some(value.clone()),
            _ => return Err(format!("unknown option {name}")),
        }
    }
    if let (Some(etcd), Some(apiserver)) = (etcd, apiserver) {
        options.peer = Ok(Peer { etcd, apiserver });
    }
    Ok(options)
}
