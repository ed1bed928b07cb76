//! `sealane check`: what is broken on this machine, by name, and what to do.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ::agent::check::{CheckResult, CheckSettings, Expected, Verdict, check};
use anyhow::Result;
use clap::Args;
use types::Prefix;

use crate::output::{Output, Style, print_json, print_line};

/// What `sealane check` takes.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) facts: NodeFlags,
    /// Directory shared by the agent and the CNI plugin.
    #[arg(long, default_value = "/run/sealane", value_name = "DIR")]
    pub(crate) state_dir: PathBuf,
    /// Directory of CNI configurations; empty to leave them out.
    #[arg(long, default_value = "/etc/cni/net.d", value_name = "DIR")]
    pub(crate) cni_config_dir: String,
    /// Network namespace to look at [default: this one].
    #[arg(long, value_name = "FILE")]
    pub(crate) netns: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// What is known of the cluster.
#[derive(Clone, Debug, Args)]
pub(crate) struct NodeFlags {
    /// Range of Pod addresses of the whole cluster [default: 10.244.0.0/16, or the node's own].
    #[arg(long, value_name = "RANGE")]
    pub(crate) pod_cidr: Vec<Prefix>,
    /// Range of Service addresses [default: 10.96.0.0/16 where Pods have IPv4].
    #[arg(long, value_name = "RANGE")]
    pub(crate) service_cidr: Vec<Prefix>,
    /// The link that faces the other nodes.
    #[arg(long, default_value = "eth0", value_name = "LINK")]
    pub(crate) underlay_link: String,
}

/// Looks and prints; the exit status is 1 when something is broken.
pub(crate) fn run(args: CheckArgs) -> Result<i32> {
    let settings = CheckSettings {
        netns: args.netns,
        state_dir: args.state_dir,
        cni_config_dir: Some(args.cni_config_dir).filter(|dir| !dir.is_empty()).map(PathBuf::from),
        expected: Expected {
            pod_cidrs: args.facts.pod_cidr.into_iter().collect::<BTreeSet<_>>(),
            service_cidrs: args.facts.service_cidr.into_iter().collect(),
            underlay_link: args.facts.underlay_link,
            ..Expected::default()
        },
    };
    let results = check(&settings)?;
    match args.output {
        Output::Json => print_json(&results)?,
        Output::Text => print_line(&text(&results, Style::of_stdout())),
    }
    Ok(i32::from(results.iter().any(|result| result.verdict == Verdict::Broken)))
}

fn text(results: &[CheckResult], style: Style) -> String {
    let mut lines: Vec<String> = results.iter().flat_map(|result| of_result(result, style)).collect();
    let count = |verdict| results.iter().filter(|result| result.verdict == verdict).count();
    let (broken, warnings) = (count(Verdict::Broken), count(Verdict::Warning));
    lines.push(match (broken, warnings) {
        (0, 0) => "nothing is wrong".to_owned(),
        (broken, warnings) => format!("{broken} broken, {warnings} to look at"),
    });
    lines.join("\n")
}

fn of_result(result: &CheckResult, style: Style) -> Vec<String> {
    let mark = match result.verdict {
        Verdict::Good => style.good("✓"),
        Verdict::Skipped => style.dim("-"),
        Verdict::Warning => style.warning("!"),
        Verdict::Broken => style.bad("✗"),
    };
    let object = if result.object.is_empty() { String::new() } else { format!("{}: ", result.object) };
    let mut lines = vec![format!("{mark} {:<18}{object}{}", result.check, result.message)];
    if !result.remedy.is_empty() {
        lines.push(format!("  {:<18}→ {}", "", result.remedy));
    }
    lines
}
