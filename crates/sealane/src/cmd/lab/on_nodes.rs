//! Commands that look at the node they run on, run on the nodes of a lab.

use std::process::Output as ProcessOutput;

use anyhow::{Context, Result, bail};
use lab::LabInfo;

use super::up::exit_code;
use crate::output::{Output, print_line};

/// Runs a command of ours on the named nodes, or on all, prints what each says, and answers the worst exit status.
///
/// `words` are its arguments on a node, besides `--netns` and `--output`.
pub(super) fn run(
    info: &LabInfo,
    nodes: &[String],
    output: Output,
    words: impl Fn(&str) -> Vec<String>,
) -> Result<i32> {
    if let Some(node) = nodes.iter().find(|node| !info.nodes.contains(node)) {
        bail!("the lab has no node {node}; it has {}", info.nodes.join(", "));
    }
    let nodes = if nodes.is_empty() { &info.nodes } else { nodes };
    let mut status = 0;
    let mut told = Vec::new();
    for node in nodes {
        let found = run_one(info, node, output, words(node))?;
        let text = String::from_utf8_lossy(&found.stdout);
        if text.is_empty() {
            bail!("cannot look at {node}: {}", String::from_utf8_lossy(&found.stderr).trim());
        }
        match output {
            Output::Text => print_line(&format!("{node}\n{}", text.trim_end())),
            Output::Json => told.push(format!("{}: {}", serde_json::json!(node), text.trim_end())),
        }
        status = status.max(exit_code(found.status));
    }
    if output == Output::Json {
        print_line(&format!("{{{}}}", told.join(", ")));
    }
    Ok(status)
}

fn run_one(info: &LabInfo, node: &str, output: Output, words: Vec<String>) -> Result<ProcessOutput> {
    let program = std::env::current_exe().context("cannot find our own program file")?;
    // From the lab's namespaces, whose owner may enter those of its nodes.
    let mut command = lab::outside(info)?;
    command.arg(&program).args(words);
    command.arg("--netns").arg(lab::node_netns(info, node)).args(["--output", output.word()]);
    command.output().with_context(|| format!("cannot look at {node}"))
}
