//! How long the stages of the agents took, as their metrics tell.

use std::collections::BTreeMap;
use std::process::Command;

/// Sum of seconds and number of runs, by node and stage.
pub(crate) type Stages = BTreeMap<(String, String), (f64, f64)>;

/// Asks every node's agent.
pub(crate) fn of_nodes(nodes: usize) -> Stages {
    let mut stages = Stages::new();
    for number in 0..nodes {
        let url = format!("http://172.31.0.{}:10256/metrics", 11 + number);
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealane"));
        command.args(["lab", "exec", "--outside", "--"]);
        command.arg(env!("CARGO_BIN_EXE_sealane")).args(["probe", "http", &url]);
        let text = command.output().unwrap().stdout;
        for line in String::from_utf8_lossy(&text).lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let Some((name, label)) = name.split_once("{stage=\"") else { continue };
            let key = (crate::cluster::node(number), label.trim_end_matches("\"}").to_owned());
            let value: f64 = value.parse().unwrap_or_default();
            match name {
                name if name.ends_with("seconds_sum") => stages.entry(key).or_default().0 = value,
                name if name.ends_with("seconds_count") => stages.entry(key).or_default().1 = value,
                _ => {}
            }
        }
    }
    stages
}

/// Milliseconds of one run of each stage between two looks, and how many runs there were.
pub(crate) fn between(before: &Stages, after: &Stages) -> String {
    let mut text = String::new();
    for (key, (seconds, runs)) in after {
        let (old_seconds, old_runs) = before.get(key).copied().unwrap_or_default();
        let runs = runs - old_runs;
        if runs > 0.0 {
            let each = (seconds - old_seconds) * 1000.0 / runs;
            text += &format!("  {} {}: {each:.2} ms, {runs} times\n", key.0, key.1);
        }
    }
    text
}
