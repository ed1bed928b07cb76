//! An unmodified kubectl, talking to one lab.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::cluster::Cluster;

/// The oldest minor version of kubectl 1 that is promised to work.
const OLDEST_MINOR: u32 = 32;

/// A kubectl with a lab's kubeconfig.
pub(crate) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    line: String,
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A lab for a test with a kubectl; says so in the output where either cannot run.
pub(crate) fn open(test: &str, name: &str, flags: &[&str]) -> Option<(Cluster, Kubectl)> {
    let program = find(test)?;
    let cluster = Cluster::open(test, name, flags)?;
    let kubectl = Kubectl::of(program, &cluster);
    Some((cluster, kubectl))
}

/// The kubectl of this machine; says so in the output if there is none that is new enough.
fn find(test: &str) -> Option<PathBuf> {
    let program = std::env::var_os("SEALANE_KUBECTL").map_or_else(|| PathBuf::from("kubectl"), PathBuf::from);
    match minor_version(&program) {
        Ok(minor) if minor >= OLDEST_MINOR => return Some(program),
        Ok(minor) => {
            println!("sealane-skip: {test}: {} is 1.{minor}, older than 1.{OLDEST_MINOR}", program.display())
        }
        Err(why) => println!("sealane-skip: {test}: {} does not run: {why}", program.display()),
    }
    None
}

fn minor_version(program: &PathBuf) -> Result<u32, String> {
    let output = Command::new(program).args(["version", "--client", "-o", "json"]).output();
    let output = output.map_err(|error| error.to_string())?;
    let version: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let minor = version["clientVersion"]["minor"].as_str().unwrap_or_default();
    minor.trim_end_matches('+').parse().map_err(|_| format!("its minor version is `{minor}`"))
}

impl Kubectl {
    fn of(program: PathBuf, cluster: &Cluster) -> Self {
        let kubeconfig = PathBuf::from(cluster.info["kubeconfig"].as_str().unwrap());
        Self { program, kubeconfig, home: cluster.bed.dir.clone() }
    }

    /// A command that is not started yet; words are apart by blanks, and '…' holds blanks together.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.program);
        for (number, part) in line.split('\'').enumerate() {
            if number % 2 == 1 {
                command.arg(part);
            } else {
                command.args(part.split_whitespace());
            }
        }
        command.env("KUBECONFIG", &self.kubeconfig).env("HOME", &self.home).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        Ran::of(line, &self.command(line).output().unwrap())
    }

    /// Runs a command with this input.
    pub(crate) fn run_with(&self, line: &str, input: &str) -> Ran {
        let mut command = self.command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Ran::of(line, &child.wait_with_output().unwrap())
    }

    /// Runs a command that must succeed; what it printed.
    pub(crate) fn ok(&self, line: &str) -> String {
        self.run(line).ok()
    }

    /// Runs commands in order; each must succeed and print a text.
    pub(crate) fn all(&self, table: &[(&str, &str)]) {
        for (line, expected) in table {
            self.run(line).says(expected);
        }
    }
}

impl Ran {
    fn of(line: &str, output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        Self { line: line.to_owned(), code: output.status.code(), out, err }
    }

    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "kubectl {}\n{}{}", self.line, self.out, self.err);
        self.out
    }

    /// It must succeed and print all of these, apart by `|`.
    pub(crate) fn says(self, expected: &str) {
        assert_eq!(self.code, Some(0), "kubectl {}\n{}{}", self.line, self.out, self.err);
        for part in expected.split('|') {
            assert!(self.out.contains(part), "kubectl {}: no `{part}` in:\n{}", self.line, self.out);
        }
    }

    /// It must fail with all of these, apart by `|`, in what it complains.
    pub(crate) fn fails(self, expected: &str) {
        assert_ne!(self.code, Some(0), "kubectl {}\n{}{}", self.line, self.out, self.err);
        for part in expected.split('|') {
            assert!(self.err.contains(part), "kubectl {}: no `{part}` in:\n{}", self.line, self.err);
        }
    }
}
