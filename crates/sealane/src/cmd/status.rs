//! `sealane status`: the nodes, what they serve, and what of the cluster's objects cannot be honoured.

use std::collections::BTreeSet;

use anyhow::Result;
use clap::Args;
use comfy_table::{Table, presets};
use model::Snapshot;
use plan::{Finding, Severity};
use serde::Serialize;

use crate::access::ClusterAccess;
use crate::output::{Output, Style, print_json, print_line};
use crate::plans::{compile_all, findings};

/// What `sealane status` takes.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
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

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeStatus {
    name: String,
    ready: bool,
    address: String,
    zone: String,
    pod_cidrs: Vec<String>,
    pods: usize,
    peers: Vec<String>,
    pod_mtu: u32,
}

/// Prints the status; the exit status is 1 when a Node is not ready or a finding is an error.
pub(crate) async fn run(args: StatusArgs) -> Result<i32> {
    let snapshot = args.access.snapshot().await?;
    let status = status(&snapshot, &args.access);
    match args.output {
        Output::Json => print_json(&status)?,
        Output::Text => print_line(&text(&status, Style::of_stdout())),
    }
    let is_error = |finding: &Finding| finding.severity == Severity::Error;
    let broken = status.nodes.iter().any(|node| !node.ready) || status.findings.iter().any(is_error);
    Ok(i32::from(broken))
}

fn status(snapshot: &Snapshot, access: &ClusterAccess) -> Status {
    let cluster = compile_all(snapshot, &access.facts);
    let nodes = snapshot.nodes.values().map(|node| {
        let plan = cluster.plans.get(&node.name);
        let peers = plan.map(|plan| &plan.podnet.peers).into_iter().flatten();
        NodeStatus {
            name: node.name.to_string(),
            ready: node.ready,
            address: node.addresses.first().map(ToString::to_string).unwrap_or_default(),
            zone: node.zone.clone().unwrap_or_default(),
            pod_cidrs: node.pod_cidrs.iter().map(ToString::to_string).collect(),
            pods: plan.map_or(0, |plan| plan.podnet.local_pods.len()),
            peers: peers.map(|(name, peer)| format!("{name} {}", paths(peer))).collect(),
            pod_mtu: plan.map_or(0, |plan| plan.podnet.link.path_mtu),
        }
    });
    Status {
        nodes: nodes.collect(),
        services: snapshot.services.len(),
        pods: snapshot.pods.len(),
        findings: findings(snapshot, &access.facts),
    }
}

/// The ways to a peer: one, or one per range where they differ.
fn paths(peer: &plan::Peer) -> String {
    let way = |path: &plan::PeerPath| match path.via {
        plan::Via::Vxlan { .. } => "vxlan",
        plan::Via::Direct { .. } => "direct",
    };
    let ways: std::collections::BTreeSet<_> = peer.paths.values().map(way).collect();
    ways.into_iter().collect::<Vec<_>>().join("+")
}

fn text(status: &Status, style: Style) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["NODE", "READY", "ADDRESS", "ZONE", "POD RANGE", "PODS", "MTU", "PEERS"]);
    for node in &status.nodes {
        table.add_row([
            node.name.clone(),
            if node.ready { "yes" } else { "no" }.to_owned(),
            node.address.clone(),
            node.zone.clone(),
            node.pod_cidrs.join(", "),
            node.pods.to_string(),
            node.pod_mtu.to_string(),
            node.peers.join(", "),
        ]);
    }
    let mut lines = vec![table.trim_fmt(), String::new()];
    lines.push(format!("{}, {}", counted(status.pods, "Pod"), counted(status.services, "Service")));
    lines.push(match status.findings.len() {
        0 => "everything that the objects ask for is served".to_owned(),
        count => format!("{}:", counted(count, "finding")),
    });
    for finding in &status.findings {
        let severity = match finding.severity {
            Severity::Error => style.bad("error  "),
            Severity::Warning => style.warning("warning"),
        };
        lines.push(format!("  {severity}  {finding}"));
    }
    lines.join("\n")
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
