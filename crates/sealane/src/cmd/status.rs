//! `sealane status`: the nodes and the ways between them, addresses, and what of the cluster's objects cannot be honoured.

mod node;
mod table;

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use clap::Args;
use model::Snapshot;
use plan::{Finding, Severity};
use serde::Serialize;
use types::NodeName;

use crate::access::ClusterAccess;
use crate::output::{Output, Style, print_json, print_line};
use crate::plans::{compile_all, findings};

use node::NodeStatus;

/// What `sealane status` takes.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Only this Node, with the way to each of the others.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    #[command(flatten)]
    access: ClusterAccess,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// The cluster at a glance.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    nodes: Vec<NodeStatus>,
    services: usize,
    pods: usize,
    findings: BTreeSet<Finding>,
}

/// Prints the status; the exit status is 1 when a Node is not ready or a finding is an error.
pub(crate) async fn run(args: StatusArgs) -> Result<i32> {
    let snapshot = args.access.snapshot().await?;
    let mut status = status(&snapshot, &args.access);
    if let Some(name) = &args.node {
        let known: Vec<String> = status.nodes.iter().map(|node| node.name.clone()).collect();
        status.nodes.retain(|node| node.name == *name);
        status.findings.retain(|finding| finding.object.kind == "Node" && finding.object.name == *name);
        if status.nodes.is_empty() {
            bail!("there is no Node {name}; there are {}", known.join(", "));
        }
    }
    match (args.output, args.node.is_some()) {
        (Output::Json, _) => print_json(&status)?,
        (Output::Text, false) => print_line(&text(&status, Style::of_stdout())),
        (Output::Text, true) => print_line(&text_of_node(&status, Style::of_stdout())),
    }
    let is_error = |finding: &Finding| finding.severity == Severity::Error;
    let broken = status.nodes.iter().any(|node| !node.ready) || status.findings.iter().any(is_error);
    Ok(i32::from(broken))
}

fn status(snapshot: &Snapshot, access: &ClusterAccess) -> Status {
    let cluster = compile_all(snapshot, &access.facts);
    let of_node =
        |node: &model::Node| NodeStatus::new(node, cluster.plans.get(&NodeName::from(node.name.as_str())));
    Status {
        nodes: snapshot.nodes.values().map(of_node).collect(),
        services: snapshot.services.len(),
        pods: snapshot.pods.len(),
        findings: findings(snapshot, &access.facts),
    }
}

fn text(status: &Status, style: Style) -> String {
    let mut lines = vec![table::of_nodes(&status.nodes), String::new()];
    lines.push(format!("{}, {}", counted(status.pods, "Pod"), counted(status.services, "Service")));
    if status.findings.is_empty() {
        lines.push("everything that the objects ask for is served".to_owned());
    }
    lines.extend(told(&status.findings, style));
    lines.join("\n")
}

fn text_of_node(status: &Status, style: Style) -> String {
    let mut lines: Vec<String> = status.nodes.iter().flat_map(table::of_node).collect();
    lines.extend(told(&status.findings, style));
    lines.join("\n")
}

fn told(findings: &BTreeSet<Finding>, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    if !findings.is_empty() {
        lines.push(format!("{}:", counted(findings.len(), "finding")));
    }
    for finding in findings {
        let severity = match finding.severity {
            Severity::Error => style.bad("error  "),
            Severity::Warning => style.warning("warning"),
        };
        lines.push(format!("  {severity}  {finding}"));
    }
    lines
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
