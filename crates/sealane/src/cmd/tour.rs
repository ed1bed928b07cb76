//! `sealane lab tour`: starts a lab, walks through the lessons, and says how to go on by hand.

use std::time::Instant;

use anyhow::Result;
use clap::Args;
use lab::{LabInfo, RunningLab, StateDir};
use serde::Serialize;

use crate::cli::{IpFamilyFlag, LabFlags, PodLinks, PodNetworkFlags, Tunnel, WhichLab, lab_name};
use crate::config;
use crate::ending::{Ending, INTERRUPTED};
use crate::output::{Output, Style, print_json, print_line, tell};
use crate::plans::ClusterFacts;
use crate::reach::Reach;
use crate::tour::telling::Telling;
use crate::tour::{self, Outcome};

/// Name of the tour's own lab, so that it disturbs no other.
const LAB_NAME: &str = "tour";

/// What `sealane lab tour` takes.
#[derive(Debug, Args)]
pub(crate) struct TourArgs {
    /// Name of the tour's own lab [default: tour].
    #[arg(long, conflicts_with = "state_dir", value_parser = lab_name)]
    name: Option<String>,
    /// Directory with everything that belongs to the tour's lab [default: below $XDG_RUNTIME_DIR or /tmp].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<std::path::PathBuf>,
    /// How Pods of different nodes reach each other.
    #[arg(long, value_enum, default_value_t)]
    tunnel: Tunnel,
    /// How Pods are joined to their node.
    #[arg(long, value_enum, default_value_t)]
    pod_links: PodLinks,
    /// Address families of Pods, Services and nodes.
    #[arg(long, value_enum, default_value_t, value_name = "FAMILY")]
    ip_family: IpFamilyFlag,
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
    millis: u128,
}

/// Runs the tour; the exit status is 0 when every lesson's observed result equals the stated one.
pub(crate) async fn run(args: TourArgs, log: Option<String>) -> Result<i32> {
    let begun = Instant::now();
    let mut ending = Ending::new()?;
    let telling = match args.output {
        Output::Text => Telling::Lines(Style::of_stdout()),
        Output::Json => Telling::Nothing,
    };
    let settings = config::lab_settings(&lab_flags(&args), log)?;
    if args.output == Output::Text {
        print_line(&"Starting a cluster of three nodes on this machine …");
    }
    let lab = tokio::select! {
        lab = RunningLab::start(settings) => lab?,
        () = ending.wanted() => return Ok(INTERRUPTED),
    };
    if args.output == Output::Text {
        print_line(&introduction(lab.info()));
    }
    let walked = tokio::select! {
        walked = walk(lab.info(), telling) => Some(walked),
        () = ending.wanted() => None,
    };
    let status = match walked {
        Some(Ok(outcomes)) => {
            conclude(&args, lab.info(), &outcomes, begun)?;
            Ok(i32::from(outcomes.iter().any(|outcome| !outcome.is_ok())))
        }
        Some(Err(error)) => Err(error),
        None => {
            tell(&"the tour was interrupted");
            Ok(INTERRUPTED)
        }
    };
    if args.keep && status.as_ref().is_ok_and(|status| *status != INTERRUPTED) {
        ending.wanted().await;
    }
    lab.stop().await?;
    status
}

async fn walk(info: &LabInfo, telling: Telling) -> Result<Vec<Outcome>> {
    let reach = Reach::open(info.clone(), ClusterFacts::default()).await?;
    Ok(tour::run(&reach, telling).await)
}

/// The lessons count on three nodes, and on a cluster that is empty.
fn lab_flags(args: &TourArgs) -> LabFlags {
    let is_elsewhere = args.state_dir.is_some() || std::env::var_os("SEALANE_STATE_DIR").is_some();
    let name = args.name.clone().or_else(|| (!is_elsewhere).then(|| LAB_NAME.to_owned()));
    let which = WhichLab { name, state_dir: args.state_dir.clone() };
    let pod_network = PodNetworkFlags { pod_links: args.pod_links, ..PodNetworkFlags::usual(args.tunnel) };
    LabFlags { ip_family: args.ip_family, pod_network, ..LabFlags::usual(which, args.tunnel) }
}

fn introduction(info: &LabInfo) -> String {
    let (seconds, tenths) = (info.ready_after_millis / 1000, info.ready_after_millis % 1000 / 100);
    format!(
        "Ready after {seconds}.{tenths} s: nodes {}.

Each lesson applies a manifest and tries something with real connections. It says what must come of it, what
happened, and why: the name, Service, policy and route that decide, each with its [object and field].
",
        info.nodes.join(", ")
    )
}

fn conclude(args: &TourArgs, info: &LabInfo, outcomes: &[Outcome], begun: Instant) -> Result<()> {
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.is_ok()).collect();
    let passed = outcomes.len() - failed.len();
    let millis = begun.elapsed().as_millis();
    if args.output == Output::Json {
        return print_json(&Report { lab: info, lessons: outcomes, passed, failed: failed.len(), millis });
    }
    print_line(&how_to_go_on(info, args.keep));
    let style = Style::of_stdout();
    for outcome in &failed {
        print_line(&style.bad(&format!("not as stated: {}", outcome.name())));
    }
    let summary = format!(
        "{passed} lessons passed, {} failed, after {}.{} s",
        failed.len(),
        millis / 1000,
        millis % 1000 / 100
    );
    print_line(&if failed.is_empty() { style.good(&summary) } else { style.bad(&summary) });
    Ok(())
}

/// The tour's own lab is gone at the end unless it is kept; then the commands must find another.
fn how_to_go_on(info: &LabInfo, is_kept: bool) -> String {
    let opening = if is_kept {
        format!(
            "The lab goes on until Ctrl-C, with all that the lessons have made. In another terminal:
  export KUBECONFIG={} SEALANE_STATE_DIR={}",
            info.kubeconfig.display(),
            info.state_dir.display()
        )
    } else {
        let usual = config::usual_state_dir(None)
            .map_or_else(|_| info.kubeconfig.clone(), |dir: StateDir| dir.kubeconfig());
        format!(
            "To go on by hand, in a lab of your own:
  sealane lab up --detach
  export KUBECONFIG={}
  kubectl apply -f examples/03-service.yaml
  kubectl -n service wait --for=condition=Ready pod --all",
            usual.display()
        )
    };
    let end = if is_kept { String::new() } else { "\n  sealane lab down".to_owned() };
    format!(
        "{opening}
  kubectl -n service exec client -- sealane probe http http://web/
  sealane explain service/client http://web/
  sealane status{end}
"
    )
}
