//! Measures Pod-to-Pod traffic and CNI ADD in a lab, next to plain routing, to the same with connection tracking, and
//! to the `bridge` and `host-local` plugins of containernetworking.
//!
//! Figures are printed, never asserted: what they are depends on the machine and on who else uses it. Every subject
//! takes its turn within each round, so that a busy minute does not hit one of them alone.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark starts programs, looks at the clock and stops at whatever fails"
)]

mod attach;
mod distance;
mod figures;
mod load;
mod machine;
mod ours;
mod peers;
mod serve;
mod turns;

use std::path::PathBuf;
use std::process::Command;

use crate::distance::Distance;
use crate::load::Load;

const USAGE: &str = "\
usage: podnet [--rounds N] [--seconds N] [--tunnel vxlan|direct] [--pod-links routed|bridge]
              [--cni-plugins DIRECTORY] [--no-plugins-because REASON] [--only WORD] [--json FILE]
";

/// What one run measures.
#[derive(Clone, Debug)]
struct Options {
    rounds: usize,
    seconds: u64,
    /// How nodes are joined, in every subject.
    tunnel: String,
    /// How our Pods are joined to their node.
    pod_links: String,
    plugins: Result<PathBuf, String>,
    only: String,
    /// Where every value goes.
    json: Option<PathBuf>,
}

fn main() {
    // `cargo bench` adds a flag of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve"] => serve::serve(&[]),
        ["wait"] => wait(),
        ["load", load, address, seconds] => {
            let load: Load = load.parse().unwrap();
            println!("{}", load.run(address.parse().unwrap(), seconds.parse().unwrap()));
        }
        ["attach", rest @ ..] => attach::main(rest),
        ["peers", tunnel, plugins, seconds] => peers::main(tunnel, plugins, seconds.parse().unwrap()),
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
    let folder = std::env::temp_dir().join(format!("sealane-bench-podnet-{}", std::process::id()));
    let mut lab = Command::new(env!("CARGO_BIN_EXE_sealane"));
    lab.args(["lab", "run", "--nodes", "2", "--tunnel", &options.tunnel]);
    if options.pod_links != "routed" {
        lab.args(["--pod-links", &options.pod_links]);
    }
    lab.arg("--state-dir").arg(&folder).arg("--").arg(own_path()).arg("measure").args(arguments);
    let status = lab.status().unwrap();
    std::process::exit(status.code().unwrap_or(1));
}

/// This program, to be started again in other places.
fn own_path() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn read_options(arguments: &[&str]) -> Result<Options, String> {
    let mut options = Options {
        rounds: 5,
        seconds: 1,
        tunnel: "vxlan".to_owned(),
        pod_links: "routed".to_owned(),
        plugins: Err("no directory of plugins was named".to_owned()),
        only: String::new(),
        json: None,
    };
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        let value = (*rest.next().ok_or_else(|| format!("{name} needs a value"))?).to_owned();
        let number = || value.parse::<u64>().map_err(|_| format!("{name} needs a number, not {value}"));
        match *name {
            "--rounds" => options.rounds = usize::try_from(number()?).unwrap(),
            "--seconds" => options.seconds = number()?,
            "--tunnel" => options.tunnel = value,
            "--pod-links" => options.pod_links = value,
            "--cni-plugins" => options.plugins = Ok(value.into()),
            "--no-plugins-because" => options.plugins = Err(value),
            "--only" => options.only = value,
            "--json" => options.json = Some(value.into()),
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(options)
}

/// Every load and distance, in the order of the table.
fn matrix() -> impl Iterator<Item = (Distance, Load)> {
    let loads = [Load::Stream(1), Load::Stream(4), Load::RoundTrip, Load::Connect];
    [Distance::Near, Distance::Far].into_iter().flat_map(move |distance| loads.map(|load| (distance, load)))
}
