//! `sealane plan show`: what should be true on a node, as compiled from the API's objects.

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};
use types::NodeName;

use crate::access::ClusterAccess;
use crate::output::{print_json, print_line};
use crate::plans::compile_all;

/// What `sealane plan` takes.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(subcommand)]
    command: PlanCommand,
}

#[derive(Debug, Subcommand)]
enum PlanCommand {
    /// Print a node's plan.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The Node; the first one if not given.
    node: Option<String>,
    /// Which form.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    #[command(flatten)]
    access: ClusterAccess,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Form {
    /// The plan.
    #[default]
    Json,
    /// The nftables rules it is rendered to.
    Nft,
}

/// Prints what is asked for.
pub(crate) async fn run(args: PlanArgs) -> Result<i32> {
    let PlanCommand::Show(args) = args.command;
    let cluster = compile_all(&args.access.snapshot().await?, &args.access.facts);
    let plan = match &args.node {
        Some(name) => cluster.plans.get(&NodeName::from(name.as_str())),
        None => cluster.plans.values().next(),
    };
    let Some(plan) = plan else {
        let known: Vec<_> = cluster.plans.keys().map(NodeName::as_str).collect();
        match &args.node {
            Some(name) => bail!("there is no Node {name}; there are {}", known.join(", ")),
            None => return Err(anyhow!("the cluster has no Nodes with an address")),
        }
    };
    match args.output {
        Form::Json => print_json(plan)?,
        Form::Nft => {
            let frames = ruleset::render_frames(plan);
            if !frames.is_absent() {
                print_line(&frames);
            }
            print_line(&ruleset::render(plan));
        }
    }
    Ok(0)
}
