//! The project's verbs: `cargo xtask test`, `cargo xtask clients`, `cargo xtask tidy`, `cargo xtask bench`.
#![allow(
    clippy::disallowed_methods,
    reason = "a tool for developers: it runs cargo and reads the source tree"
)]

mod bench;
mod clients;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <verb>

  test               formatting, lints, tidy and all tests of all rungs; the last line counts them
  test pure          only the tests of the pure crates: no namespaces, no network, no programs
  clients            fetch kubectl, helm and other clients for the tests into target/tools; `test` does so by itself
  tidy               the rules of the repository: imports, purity, names, sizes
  tidy --report      the same, and how much code stands above the purity line
  bench api          figures of the API server, next to a real kube-apiserver where Go can build one;
                     takes the options of crates/serve-api/benches/api/main.rs
  bench podnet       figures of traffic between Pods and of CNI ADD, next to plain routing and to the plugins `bridge`
                     and `host-local`; takes the options of crates/sealane/benches/podnet/main.rs
  bench services     figures of Services, from 1 to 100 000, next to the same path without any, to rules as kube-proxy
                     writes them, and to kube-proxy where Go can build it; takes the options of
                     crates/sealane/benches/services/main.rs
  bench reach        how long a change of endpoints takes from the API to packets on every node, with 10 000 Services;
                     takes the options of crates/sealane/benches/reach/main.rs
  bench dns          figures of DNS servers on one processor each, next to CoreDNS (--coredns FILE), unbound, Knot, NSD and
                     an echo of datagrams, where they are installed; needs dnsperf; takes the options of
                     crates/serve-dns/benches/dns/main.rs
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["test"] => test::everything(),
        ["test", "pure"] => test::pure(),
        ["clients"] => {
            clients::provide();
            Ok(())
        }
        ["tidy"] => tidy::command(),
        ["tidy", "--report"] => tidy::command().and_then(|()| tidy::report()),
        ["bench", "api", rest @ ..] => bench::api(rest),
        ["bench", "podnet", rest @ ..] => bench::podnet(rest),
        ["bench", "services", rest @ ..] => bench::services(rest),
        ["bench", "reach", rest @ ..] => bench::reach(rest),
        ["bench", "dns", rest @ ..] => bench::dns(rest),
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

/// Cargo, in the root of the repository.
fn cargo(arguments: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// The root of the repository.
fn root() -> std::path::PathBuf {
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("xtask lies in the repository's root").to_owned()
}
