//! `sealane lab check`: `sealane check` on the nodes of a running lab.

use anyhow::{Context, Result, bail};

use super::up::exit_code;
use crate::cli::LabCheckArgs;
use crate::config;
use crate::output::{Output, print_line};

/// Checks the named nodes, or all; the exit status is 1 when something is broken on one of them.
pub(crate) fn run(args: &LabCheckArgs) -> Result<i32> {
    let info = config::state_dir(&args.which)?.running()?;
    if let Some(node) = args.nodes.iter().find(|node| !info.nodes.contains(node)) {
        bail!("the lab has no node {node}; it has {}", info.nodes.join(", "));
    }
    let nodes = if args.nodes.is_empty() { &info.nodes } else { &args.nodes };
    let program = std::env::current_exe().context("cannot find our own program file")?;
    let mut status = 0;
    let mut told = Vec::new();
    for node in nodes {
        // From the lab's namespaces, whose owner may enter those of its nodes.
        let mut command = ::lab::outside(&info)?;
        command.arg(&program).arg("check").arg("--netns").arg(::lab::node_netns(&info, node));
        command.arg("--state-dir").arg(::lab::StateDir::at(&info.state_dir).node(node));
        for at in info.families.addresses() {
            command.args(["--pod-cidr".to_owned(), at.pod_cidr.to_string()]);
            command.args(["--service-cidr".to_owned(), at.service_cidr.to_string()]);
        }
        // Its kubelets call the plugin themselves.
        command.args(["--cni-config-dir", "", "--output", args.output.word()]);
        let output = command.output().with_context(|| format!("cannot check {node}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        if text.is_empty() {
            bail!("cannot check {node}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        match args.output {
            Output::Text => print_line(&format!("{node}\n{}", text.trim_end())),
            Output::Json => told.push(format!("{}: {}", serde_json::json!(node), text.trim_end())),
        }
        status = status.max(exit_code(output.status));
    }
    if args.output == Output::Json {
        print_line(&format!("{{{}}}", told.join(", ")));
    }
    Ok(status)
}
