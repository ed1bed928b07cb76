//! The list of everyday commands (`everyday.txt`), run by each kubectl there is on a lab of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::bed::can_run;
use crate::lab::{Lab, Ran};
use crate::tools;

/// The list, whose first lines say how to read it.
const LIST: &str = include_str!("everyday.txt");

/// One command and what it is to do.
#[derive(Debug, Default)]
struct Entry {
    line: &'static str,
    status: i32,
    prints: Vec<&'static str>,
    never_prints: Vec<&'static str>,
    since: u32,
    fails_because: Option<&'static str>,
}

fn entries() -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in LIST.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (mark, text) = line.split_once(' ').unwrap();
        if mark == "$" {
            entries.push(Entry { line: text, ..Entry::default() });
            continue;
        }
        let entry = entries.last_mut().unwrap();
        match mark {
            "=" => entry.status = text.parse().unwrap(),
            "|" => entry.prints.push(text),
            "!" => entry.never_prints.push(text),
            "@" => entry.since = text.parse().unwrap(),
            "x" => entry.fails_because = Some(text),
            other => panic!("the list has a mark `{other}`"),
        }
    }
    entries
}

impl Entry {
    /// What of a run is not as the entry says.
    fn judge(&self, ran: &Ran) -> Vec<String> {
        let mut wrong = Vec::new();
        if ran.code != Some(self.status) {
            wrong.push(format!("status {:?} instead of {}", ran.code, self.status));
        }
        let missing = self.prints.iter().filter(|text| !ran.out.contains(**text));
        wrong.extend(missing.map(|text| format!("does not print `{text}`")));
        let present = self.never_prints.iter().filter(|text| ran.out.contains(**text));
        wrong.extend(present.map(|text| format!("prints `{text}`")));
        wrong
    }
}

fn minor_of(kubectl: &Path) -> u32 {
    let output = Command::new(kubectl).args(["version", "--client", "-o", "json"]).output().unwrap();
    let version: Value = serde_json::from_slice(&output.stdout).unwrap();
    version["clientVersion"]["minor"].as_str().unwrap().trim_end_matches('+').parse().unwrap()
}

fn run_list(test: &str, kubectl: Option<PathBuf>) {
    let Some(kubectl) = kubectl.filter(|_| can_run(test)) else { return };
    let minor = minor_of(&kubectl);
    let lab = Lab::up(test, "2");
    lab.prepare("everyday", &[("kubectl", &kubectl)]);
    let mut wrong = Vec::new();
    let mut open = 0;
    for entry in entries().iter().filter(|entry| entry.since <= minor) {
        let ran = lab.shell(entry.line);
        let judged = entry.judge(&ran);
        match entry.fails_because {
            None if judged.is_empty() => {}
            None => wrong.push(format!("$ {}\n  {}\n{}", entry.line, judged.join(", "), ran.out)),
            Some(_) if judged.is_empty() => {
                wrong.push(format!("$ {}\n  works: take its `x` out of the list", entry.line));
            }
            Some(_) => open += 1,
        }
    }
    println!("kubectl 1.{minor}: {open} entries are known not to work yet");
    assert!(wrong.is_empty(), "kubectl 1.{minor}, {} entries:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_list_is_long_and_readable() {
    let entries = entries();
    assert!(entries.len() >= 100, "{} entries", entries.len());
    for entry in &entries {
        let judged = entry.status != 0 || !entry.prints.is_empty() || !entry.never_prints.is_empty();
        assert!(judged, "nothing is expected of `{}`", entry.line);
    }
}

#[test]
fn everyday_kubectl_of_this_machine() {
    let test = "everyday_kubectl_of_this_machine";
    let found = std::env::var_os("SEALANE_KUBECTL").map(PathBuf::from);
    let found = found.or_else(|| tools::of_this_machine(test, "kubectl", &["version", "--client"]));
    run_list(test, found.map(|program| on_path(&program)));
}

/// The whole path of a program, for a link to it.
fn on_path(program: &Path) -> PathBuf {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&paths).map(|folder| folder.join(program));
    places.find(|place| place.exists()).unwrap_or_else(|| program.to_owned())
}

#[test]
fn everyday_kubectl_1_28() {
    let test = "everyday_kubectl_1_28";
    run_list(test, tools::find(test, "kubectl-1.28"));
}

#[test]
fn everyday_kubectl_1_29() {
    let test = "everyday_kubectl_1_29";
    run_list(test, tools::find(test, "kubectl-1.29"));
}

#[test]
fn everyday_kubectl_1_31() {
    let test = "everyday_kubectl_1_31";
    run_list(test, tools::find(test, "kubectl-1.31"));
}

#[test]
fn everyday_kubectl_1_34() {
    let test = "everyday_kubectl_1_34";
    run_list(test, tools::find(test, "kubectl-1.34"));
}

#[test]
fn everyday_kubectl_1_37() {
    let test = "everyday_kubectl_1_37";
    run_list(test, tools::find(test, "kubectl-1.37"));
}
