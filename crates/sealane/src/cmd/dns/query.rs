//! `sealane dns query NAME`: what a name resolves to, and who has a say.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use clap::Args;
use engine_dns::{RecordType, Trace, TraceEnd, TraceHop, Zone, trace};
use model::Snapshot;
use serde::Serialize;
use types::PodName;

use crate::access::ClusterAccess;
use crate::output::{Output, Style, print_json, print_line};
use crate::plans::compile_all;

/// Response codes by their number (RFC 1035 section 4.1.1).
const RCODES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

/// What `sealane dns query` takes.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// The name; with a dot at its end, no search path is walked.
    name: String,
    /// The Pod that asks, NAME or NAMESPACE/NAME: its search path is walked, and rules for clients are for it.
    #[arg(long, value_name = "POD")]
    from: Option<String>,
    /// Type of the records.
    #[arg(short = 't', long = "type", default_value = "A", value_name = "TYPE")]
    kind: String,
    #[command(flatten)]
    access: ClusterAccess,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// One name that is asked, as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TraceRow {
    name: String,
    r#type: String,
    hops: Vec<HopRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rcode: Option<String>,
    answers: Vec<String>,
    asked: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HopRow {
    #[serde(skip_serializing_if = "String::is_empty")]
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    text: String,
}

/// Explains; the exit status is 0 when there is an answer or somebody to ask.
pub(crate) async fn run(args: QueryArgs) -> Result<i32> {
    let kind = RecordType::parse(&args.kind).with_context(|| format!("`{}` is no record type", args.kind))?;
    let snapshot = args.access.snapshot().await?;
    let client = args.from.as_deref().map(|from| client(&snapshot, from)).transpose()?;
    let cluster = compile_all(&snapshot, &args.access.facts);
    let own = client.as_ref().and_then(|(_, pod)| snapshot.pods.get(pod)?.node.as_ref());
    let plan = own.and_then(|node| cluster.plans.get(node)).or_else(|| cluster.plans.values().next());
    let zone = Zone::build(&plan.context("the cluster has no nodes")?.dns);
    let from = client.as_ref().map(|(address, pod)| (*address, pod.namespace.as_str()));
    let traces = trace(&zone, &args.name, kind, from)?;
    match args.output {
        Output::Json => print_json(&traces.iter().map(row).collect::<Vec<_>>())?,
        Output::Text => traces.iter().for_each(|trace| print_line(&shown(trace, Style::of_stdout()))),
    }
    Ok(i32::from(!traces.last().is_some_and(Trace::is_answered)))
}

/// A Pod's address and name.
fn client(snapshot: &Snapshot, from: &str) -> Result<(IpAddr, PodName)> {
    let (namespace, name) = from.split_once('/').unwrap_or(("default", from));
    let name = PodName::new(namespace, name);
    let Some(pod) = snapshot.pods.get(&name) else { bail!("Pod {name} does not exist") };
    let address = pod.addresses.first().with_context(|| format!("Pod {name} has no address yet"))?;
    Ok((*address, name))
}

fn shown(trace: &Trace, style: Style) -> String {
    let mut text = style.bold(&format!("{}. {}", trace.name, trace.kind));
    for hop in &trace.hops {
        text += &format!("\n  {}{}", hop.text, style.dim(&decider(hop)));
    }
    match &trace.end {
        TraceEnd::Answered(response) => {
            text += &format!("\n  {}", style.bold(&rcode(response.rcode)));
            response.answers.iter().for_each(|answer| text += &format!("\n    {answer}"));
        }
        TraceEnd::Asked(servers) => text += &format!("\n  asked of {}", servers.join(", ")),
        TraceEnd::Silence => text += "\n  nothing is said",
    }
    text
}

/// Who decides, in brackets.
fn decider(hop: &TraceHop) -> String {
    let object = hop.object.as_ref().map(ToString::to_string);
    let deciders = object.into_iter().chain((!hop.at.is_empty()).then(|| hop.at.clone()));
    let deciders = deciders.collect::<Vec<_>>();
    if deciders.is_empty() { String::new() } else { format!(" [{}]", deciders.join(", ")) }
}

fn rcode(number: u8) -> String {
    RCODES.get(usize::from(number)).map_or_else(|| format!("code {number}"), ToString::to_string)
}

fn row(trace: &Trace) -> TraceRow {
    let hop = |hop: &TraceHop| HopRow {
        at: hop.at.clone(),
        object: hop.object.as_ref().map(ToString::to_string),
        text: hop.text.clone(),
    };
    let (code, answers, asked) = match &trace.end {
        TraceEnd::Answered(response) => (Some(rcode(response.rcode)), response.answers.clone(), Vec::new()),
        TraceEnd::Asked(servers) => (None, Vec::new(), servers.clone()),
        TraceEnd::Silence => (None, Vec::new(), Vec::new()),
    };
    TraceRow {
        name: trace.name.to_string(),
        r#type: trace.kind.to_string(),
        hops: trace.hops.iter().map(hop).collect(),
        rcode: code,
        answers,
        asked,
    }
}
