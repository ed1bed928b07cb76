//! `sealane lab status`: where a running lab answers, and what runs in its Pods.

use std::pin::pin;

use ::lab::LabInfo;
use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{ContainerStatus, Node, Pod};
use serde::Serialize;
use watch::{Access, Client, ObjectBatch, Selection, Watched};

use crate::cli::LabStatusArgs;
use crate::config;
use crate::output::{Output, print_json, print_line};

/// A running lab.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    lab: LabInfo,
    nodes: Vec<NodeStatus>,
    containers: Vec<Substitution>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeStatus {
    name: String,
    ready: bool,
}

/// What runs in place of an image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Substitution {
    pod: String,
    node: String,
    container: String,
    image: String,
    runs: String,
    state: &'static str,
    restarts: i32,
}

/// Prints the status.
pub(crate) async fn run(args: LabStatusArgs) -> Result<i32> {
    let lab = config::state_dir(&args.which)?.running()?;
    let access = Access::Kubeconfig(lab.kubeconfig.clone());
    let client = watch::connect(&access).await.context("cannot reach the lab's API")?;
    let nodes = list::<Node>(&client).await.iter().map(node_status).collect();
    let containers = list::<Pod>(&client).await.iter().flat_map(substitutions).collect();
    let status = Status { lab, nodes, containers };
    match args.output {
        Output::Json => print_json(&status)?,
        Output::Text => print_line(&text(&status)),
    }
    Ok(0)
}

async fn list<K: Watched>(client: &Client) -> Vec<K> {
    match pin!(watch::objects::<K>(client, Selection::default())).next().await {
        Some(ObjectBatch::Replace(objects)) => objects,
        _ => Vec::new(),
    }
}

fn node_status(node: &Node) -> NodeStatus {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready =
        conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    NodeStatus { name: node.metadata.name.clone().unwrap_or_default(), ready }
}

fn substitutions(pod: &Pod) -> Vec<Substitution> {
    let name = |text: &Option<String>| text.clone().unwrap_or_default();
    let (meta, status) = (&pod.metadata, pod.status.as_ref());
    let pod_name = format!("{}/{}", name(&meta.namespace), name(&meta.name));
    let node = pod.spec.as_ref().map(|spec| name(&spec.node_name)).unwrap_or_default();
    let init = status.iter().flat_map(|status| status.init_container_statuses.iter().flatten());
    let all = init.chain(status.iter().flat_map(|status| status.container_statuses.iter().flatten()));
    all.map(|container| Substitution {
        pod: pod_name.clone(),
        node: node.clone(),
        container: container.name.clone(),
        image: container.image.clone(),
        runs: container.image_id.trim_start_matches("sealane.dev/").to_owned(),
        state: state(container),
        restarts: container.restart_count,
    })
    .collect()
}

fn state(container: &ContainerStatus) -> &'static str {
    match &container.state {
        Some(state) if state.running.is_some() && container.ready => "ready",
        Some(state) if state.running.is_some() => "running",
        Some(state) if state.terminated.is_some() => "ended",
        _ => "waiting",
    }
}

fn text(status: &Status) -> String {
    let ready = status.nodes.iter().filter(|node| node.ready).count();
    let lab = &status.lab;
    let mut lines = vec![
        format!("process     {}", lab.pid),
        format!("kubeconfig  {}", lab.kubeconfig.display()),
        format!("API         {}", lab.api),
        format!("HTTP        http://{}", lab.http),
        format!("HTTPS       https://{}", lab.https),
        format!("DNS         {}", lab.dns),
        format!("nodes       {ready} of {} ready", status.nodes.len()),
        format!("log         {}", lab.log.display()),
    ];
    if !status.containers.is_empty() {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["POD", "NODE", "CONTAINER", "IMAGE", "RUNS", "STATE", "RESTARTS"]);
        for row in &status.containers {
            let restarts = row.restarts.to_string();
            table.add_row([&row.pod, &row.node, &row.container, &row.image, &row.runs, row.state, &restarts]);
        }
        lines.extend([String::new(), table.trim_fmt()]);
    }
    lines.join("\n")
}
