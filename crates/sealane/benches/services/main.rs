//! Measures Services: programming and traffic, from 1 to 100 000 of them, next to the same path without any, to rules
//! in the forms that kube-proxy writes, and to kube-proxy itself where it is given.
//!
//! Figures are printed, never asserted: what they are depends on the machine and on who else uses it. All subjects of all
//! sizes are there at once, each on a node of its own, and each takes its turn within each round.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark starts programs, looks at the clock and stops at whatever fails"
)]

mod api;
mod cluster;
#[path = "../podnet/figures.rs"]
mod figures;
mod form;
mod goals;
mod iptables;
#[path = "../podnet/load.rs"]
mod load;
#[path = "../podnet/machine.rs"]
mod machine;
mod nftables;
mod ours;
mod proxy;
#[path = "../podnet/serve.rs"]
mod serve;
mod space;
mod turns;

use std::path::{Path, PathBuf};
use std::time::Duration;

use netns::world::{World, mount_tmpfs};

/// That of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
usage: services [--rounds N] [--seconds N] [--services N,N] [--limit SECONDS] [--without SUBJECT,SUBJECT]
                [--only WORD] [--json FILE] [--kube-proxy FILE] [--no-kube-proxy-because REASON]
";

/// What one run measures.
#[derive(Clone, Debug)]
struct Options {
    rounds: usize,
    seconds: u64,
    /// How many Services, in each of the sizes.
    services: Vec<u32>,
    /// After which time a program is stopped.
    limit: Duration,
    /// Parts of the names of subjects that are left out.
    without: Vec<String>,
    /// What is measured: figures whose name has this in it.
    only: String,
    /// Where every value goes.
    json: Option<PathBuf>,
    kube_proxy: Result<PathBuf, String>,
}

fn main() {
    // `cargo bench` adds a flag of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", addresses @ ..] => serve::serve(addresses),
        ["hold", services, endpoints] => ours::main(services, endpoints),
        options => match read_options(options) {
            Ok(options) => {
                enter_world();
                turns::run(&options);
            }
            Err(problem) => {
                eprint!("{problem}\n{USAGE}");
                std::process::exit(2);
            }
        },
    }
}

/// Everything happens in namespaces that end with this process.
fn enter_world() {
    if !nix::unistd::geteuid().is_root() {
        println!(
            "not root: transactions are cut to the size of small buffers, and nft may refuse large ones"
        );
    }
    World::new().with_pids().dying_with_parent().staying_root().enter().unwrap();
    netns::bring_up_loopback().unwrap();
    mount_tmpfs(Path::new("/run")).unwrap();
}

/// This program, to be started again in other places.
fn own_path() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn read_options(arguments: &[&str]) -> Result<Options, String> {
    let mut options = Options {
        rounds: 5,
        seconds: 1,
        services: vec![1, 1000, 10_000, 100_000],
        limit: Duration::from_secs(120),
        without: Vec::new(),
        only: String::new(),
        json: None,
        kube_proxy: Err("no program was named".to_owned()),
    };
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        let value = *rest.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number =
            |text: &str| text.parse::<u32>().map_err(|_| format!("{name} needs numbers, not {text}"));
        match *name {
            "--rounds" => options.rounds = number(value)? as usize,
            "--seconds" => options.seconds = number(value)?.into(),
            "--services" => options.services = value.split(',').map(number).collect::<Result<_, _>>()?,
            "--limit" => options.limit = Duration::from_secs(number(value)?.into()),
            "--without" => options.without = value.split(',').map(str::to_owned).collect(),
            "--only" => options.only = value.to_owned(),
            "--json" => options.json = Some(value.into()),
            "--kube-proxy" => options.kube_proxy = Ok(value.into()),
            "--no-kube-proxy-because" => options.kube_proxy = Err(value.to_owned()),
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(options)
}
