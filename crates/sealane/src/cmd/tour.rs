//! `sealane lab tour`: starts a lab, walks through the lessons, and says how to go on by hand.

use std::io::IsTerminal as _;

use anyhow::{Context, Result};
use clap::Args;
use lab::{LabInfo, RunningLab};
use serde::Serialize;

use crate::config;
use crate::output::{Output, print_json, print_line};
use crate::plans::ClusterFacts;
use crate::reach::Reach;
use crate::tour::{self, Outcome, Style};

/// What `sealane lab tour` takes.
#[derive(Debug, Args)]
pub(crate) struct TourArgs {
    #[command(flatten)]
    lab: crate::cli::LabFlags,
    #[command(flatten)]
    facts: ClusterFacts,
    /// Leave the lab running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    lab: &'a LabInfo,
    lessons: &'a [Outcome],
    passed: usize,
    failed: usize,
}

/// Runs the tour; the exit status is 0 when every lesson's observed result equals the stated one.
pub(crate) async fn run(args: TourArgs) -> Result<i32> {
    let style = Style { is_coloured: std::io::stdout().is_terminal() };
    let is_text = args.output == Output::Text;
    if is_text {
        print_line(&"starting a cluster of three nodes on this machine …");
    }
    let lab = RunningLab::start(config::lab_settings(&args.lab)?).await?;
    let info = lab.info().clone();
    if is_text {
        let seconds = info.ready_after_millis / 1000;
        let tenths = info.ready_after_millis % 1000 / 100;
        print_line(&format!("ready after {seconds}.{tenths} s: nodes {}\n", info.nodes.join(", ")));
    }
    let reach = Reach::open(info.clone(), args.facts).await?;
    let outcomes = tour::run(&reach, |outcome| {
        if is_text {
            print_line(&outcome.text(style));
        }
        Ok(())
    })
    .await?;
    let passed = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let failed = outcomes.len() - passed;
    if is_text {
        print_line(&ending(&info, args.keep));
        print_line(&format!("{passed} lessons passed, {failed} failed"));
    } else {
        print_json(&Report { lab: &info, lessons: &outcomes, passed, failed })?;
    }
    if args.keep {
        tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    }
    lab.stop().await?;
    Ok(i32::from(failed > 0))
}

fn ending(info: &LabInfo, keep: bool) -> String {
    let opening = if keep { "The lab goes on until Ctrl-C. In another terminal:" } else { "To go on by hand:" };
    let start = if keep { String::new() } else { "\n  sealane lab up                      # in a terminal of its own".to_owned() };
    format!(
        "{opening}{start}
  export KUBECONFIG={}
  kubectl apply -f examples/03-service.yaml
  kubectl -n service exec client -- sealane probe http http://web/
  sealane explain service/client http://web/
  curl -H 'Host: blog.example.com' http://{}/articles/today   # after examples/09-ingress.yaml
",
        info.kubeconfig.display(),
        info.http,
    )
}
