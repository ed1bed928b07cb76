//! `cargo xtask test`: every check there is, and one line that counts them.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{clients, tidy};

/// A test that could not run prints this, its name and the reason.
const SKIP_MARK: &str = "sealane-skip: ";

/// Seed of the property tests: a run of this command is to show the same today and tomorrow. `cargo test` by itself
/// draws anew each time, which is how to look for what nobody has seen.
const SEED: (&str, &str) = ("PROPTEST_RNG_SEED", "20261121");

/// What the test runs added up to.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: Vec<String>,
    failures: Vec<String>,
}

/// Everything: formatting, lints, tidy, all tests.
pub(crate) fn everything() -> Result<()> {
    let mut tally = Tally::default();
    tally.check("formatting", cargo(&["fmt", "--all", "--check"]))?;
    tally.check(
        "lints",
        cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    )?;
    let problems = tidy::problems()?;
    for problem in &problems {
        println!("tidy: {problem}");
    }
    tally.count("tidy", problems.is_empty());
    clients::provide();
    // The lab's tests start the real binary; building it first keeps its compile time out of their deadlines.
    tally.check("build", cargo(&["build", "--quiet", "--workspace", "--all-targets"]))?;
    tally.check("fuzz targets", fuzz_targets())?;
    tally.run(&["test", "--workspace", "--no-fail-fast", "--", "--show-output"])?;
    tally.finish()
}

/// That they compile: they are a workspace of their own, which nothing else builds.
fn fuzz_targets() -> Command {
    let mut command =
        cargo(&["check", "--quiet", "--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target/fuzz"]);
    // Any path spares the C++ compiler that libFuzzer itself needs; it is not linked here.
    command.env("CUSTOM_LIBFUZZER_PATH", "/dev/null");
    command
}

/// Only what runs without privileges, network, namespaces or programs.
pub(crate) fn pure() -> Result<()> {
    let mut tally = Tally::default();
    let packages = tidy::PURE_CRATES.iter().flat_map(|name| ["-p".to_owned(), format!("sealane-{name}")]);
    let packages: Vec<String> = packages.collect();
    let mut arguments = vec!["test", "--no-fail-fast"];
    arguments.extend(packages.iter().map(String::as_str));
    arguments.extend(["--", "--show-output"]);
    tally.run(&arguments)?;
    tally.finish()
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = crate::cargo(arguments);
    if std::env::var_os(SEED.0).is_none() {
        command.env(SEED.0, SEED.1);
    }
    command
}

impl Tally {
    fn count(&mut self, name: &str, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
            self.failures.push(name.to_owned());
        }
    }

    /// Runs a check that counts as one.
    fn check(&mut self, name: &str, mut command: Command) -> Result<()> {
        println!("== {name}");
        let start = Instant::now();
        let status = command.status().with_context(|| format!("cannot run the check `{name}`"))?;
        println!(
            "   {name}: {} in {:.0} s",
            if status.success() { "ok" } else { "FAILED" },
            start.elapsed().as_secs_f32()
        );
        self.count(name, status.success());
        Ok(())
    }

    /// Runs test binaries through cargo and counts what they report.
    fn run(&mut self, arguments: &[&str]) -> Result<()> {
        println!("== tests");
        let (failed_before, start) = (self.failed, Instant::now());
        let mut command = cargo(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
        let output = child.stdout.take().expect("standard output is piped");
        let mut terminal = std::io::stdout();
        for line in BufReader::new(output).lines() {
            let line = line.context("cannot read what cargo test prints")?;
            writeln!(terminal, "{line}").context("cannot print")?;
            self.read(&line);
        }
        let status = child.wait().context("cannot wait for cargo test")?;
        println!("   tests: {:.0} s", start.elapsed().as_secs_f32());
        if !status.success() && self.failed == failed_before {
            self.count("cargo test (did not build, or a test binary died)", false);
        }
        Ok(())
    }

    fn read(&mut self, line: &str) {
        // The runner may have begun the line with the test's name.
        if let Some((_, reason)) = line.split_once(SKIP_MARK) {
            let reason = reason.to_owned();
            if !self.skipped.contains(&reason) {
                self.skipped.push(reason);
            }
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += number_before(counts, " passed");
            self.failed += number_before(counts, " failed");
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failures.push(name.to_owned());
        }
    }

    /// Prints what was skipped and failed, then the closing line.
    fn finish(self) -> Result<()> {
        println!();
        for reason in &self.skipped {
            println!("skipped: {reason}");
        }
        for name in &self.failures {
            println!("failed: {name}");
        }
        // A skipped test returned early, so the test runner counted it as passed.
        let passed = self.passed.saturating_sub(self.skipped.len());
        println!("{passed} passed, {} failed, {} skipped", self.failed, self.skipped.len());
        if self.failed > 0 {
            bail!("{} failed", self.failed);
        }
        Ok(())
    }
}

/// The number that stands before `word`, as in `3 passed`; 0 when it is not there.
fn number_before(text: &str, word: &str) -> usize {
    let Some(end) = text.find(word) else { return 0 };
    let digits = text[..end].rsplit(|letter: char| !letter.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_test_runner_prints() {
        let mut tally = Tally::default();
        tally.read("test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.08s");
        tally.read("sealane-skip: curl_reaches_the_lab: curl is not installed");
        tally.read("test store::keeps ... FAILED");
        assert_eq!((tally.passed, tally.failed), (12, 3));
        assert_eq!(tally.skipped, ["curl_reaches_the_lab: curl is not installed"]);
        assert_eq!(tally.failures, ["store::keeps"]);
    }
}
