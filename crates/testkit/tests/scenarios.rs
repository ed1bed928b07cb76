//! Every scenario under `scenarios/`: its expected sections as text, its probes worked out from the plans.
//!
//! `UPDATE=1` rewrites the expected sections.
#![allow(clippy::disallowed_methods, reason = "scenarios are files, and UPDATE=1 rewrites them")]

use std::path::{Path, PathBuf};

use sealane_testkit::{Mismatch, Scenario, check_probes, check_rules, rewrite};

fn scenario_files() -> Vec<PathBuf> {
    fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).expect("the directory is readable") {
            let path = entry.expect("the directory is readable").path();
            match path.is_dir() {
                true => collect(&path, files),
                false if path.extension().is_some_and(|extension| extension == "scn") => files.push(path),
                false => {}
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    assert!(!files.is_empty(), "there are scenarios");
    files
}

fn each_scenario(check: impl Fn(&Path, &str, &Scenario) -> Vec<String>) {
    let mut failures = Vec::new();
    for path in scenario_files() {
        let text = std::fs::read_to_string(&path).expect("a scenario is UTF-8");
        let shown = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match Scenario::parse(&text) {
            Ok(scenario) => {
                failures
                    .extend(check(&path, &text, &scenario).into_iter().map(|why| format!("{shown}: {why}")));
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                failures.push(format!("{shown}: {error}: {cause}"));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn plans_are_as_the_scenarios_say() {
    let update = std::env::var("UPDATE").is_ok_and(|value| value == "1");
    each_scenario(|path, text, scenario| {
        let actual = rewrite(scenario, &scenario.world());
        if update && actual != text {
            std::fs::write(path, &actual).unwrap();
            return Vec::new();
        }
        difference(text, &actual).into_iter().collect()
    });
}

/// The first line that differs, with both forms.
fn difference(expected: &str, actual: &str) -> Option<String> {
    if expected == actual {
        return None;
    }
    let mut pairs = expected.lines().zip(actual.lines()).enumerate();
    let (line, expected, actual) = match pairs.find(|(_, (expected, actual))| expected != actual) {
        Some((index, (expected, actual))) => (index + 1, expected, actual),
        None => {
            (expected.lines().count().min(actual.lines().count()) + 1, "the end of one", "more in the other")
        }
    };
    Some(format!("line {line}:\n  expected {expected}\n  actual   {actual}\n  (UPDATE=1 rewrites)"))
}

fn told(mismatches: Vec<Mismatch>) -> Vec<String> {
    let tell = |mismatch: Mismatch| format!("{}\n  actual {}", mismatch.probe, mismatch.actual);
    mismatches.into_iter().map(tell).collect()
}

#[test]
fn probes_end_as_the_scenarios_say() {
    each_scenario(|_, _, scenario| told(check_probes(scenario, &scenario.world())));
}

#[test]
fn rules_do_to_probes_what_the_plans_say() {
    each_scenario(|_, _, scenario| told(check_rules(scenario, &scenario.world())));
}
