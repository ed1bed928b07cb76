//! Queries from dnsperf, and what it says about the answers.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::Server;

/// Queries under way at once where as many are asked as can be.
const OUTSTANDING: &str = "300";
/// Sockets, and connections, from which they come.
const CLIENTS: &str = "20";

/// How queries come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    Udp,
    Tcp,
}

impl Way {
    pub(crate) const ALL: [Self; 2] = [Self::Udp, Self::Tcp];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// What a server did when it was asked as much as it could answer.
pub(crate) struct Flat {
    /// Answers per second.
    pub(crate) rate: f64,
    /// Microseconds that the server ran for each.
    pub(crate) cpu: f64,
    /// Share of queries without an answer.
    pub(crate) lost: f64,
}

/// As many queries as the server answers.
pub(crate) fn flat_out(server: &Server, way: Way, questions: &Path, seconds: u64) -> Flat {
    let before = server.cpu_seconds();
    let mut command = dnsperf(server, way, questions, seconds);
    let output = command.args(["-q", OUTSTANDING, "-t", "1"]).output().unwrap();
    let used = server.cpu_seconds() - before;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
        let word = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        word.unwrap_or_else(|| panic!("dnsperf said nothing of {name}: {text}"))
    };
    let (sent, completed) = (number("Queries sent:"), number("Queries completed:"));
    Flat {
        rate: number("Queries per second:"),
        cpu: used * 1e6 / completed.max(1.0),
        lost: (sent - completed) / sent.max(1.0),
    }
}

/// Microseconds that 99 of 100 answers took at most, at so many queries per second, and how many did not come.
pub(crate) fn latency(server: &Server, questions: &Path, offered: u32, seconds: u64) -> (f64, f64) {
    let mut command = dnsperf(server, Way::Udp, questions, seconds);
    command.args(["-v", "-q", "1000", "-t", "1", "-Q", &offered.to_string()]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut times = Vec::new();
    let mut lost = 0.0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // `> NOERROR name type seconds`, or `> T name type` without an answer in time.
        let Some(rest) = line.strip_prefix("> ") else { continue };
        match rest.rsplit(' ').next().and_then(|word| word.parse::<f64>().ok()) {
            Some(time) => times.push(time * 1e6),
            None => lost += 1.0,
        }
    }
    child.wait().unwrap();
    assert!(!times.is_empty(), "dnsperf told of no answer");
    times.sort_by(f64::total_cmp);
    let number = times.len() as f64;
    (times[times.len() * 99 / 100], lost / (lost + number))
}

fn dnsperf(server: &Server, way: Way, questions: &Path, seconds: u64) -> Command {
    let mut command = Command::new("dnsperf");
    command
        .args(["-s", "127.0.0.1", "-p", &server.port.to_string(), "-m", way.word(), "-c", CLIENTS, "-T", "1"])
        .args(["-l", &seconds.to_string(), "-d"])
        .arg(questions)
        .stderr(Stdio::null());
    command
}
