//! `sealane dns query NAME`: what a name resolves to, and who has a say; or what all names of a file do.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use engine_dns::{RecordType, Trace, TraceEnd, TraceHop, Zone, trace};
use model::Snapshot;
use serde::Serialize;
use types::PodName;

use super::import::text_of;
use crate::access::ClusterAccess;
use crate::output::{Output, Style, print_json, print_line};
use crate::plans::compile_all;

/// Response codes by their number (RFC 1035 section 4.1.1).
const RCODES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

/// What `sealane dns query` takes.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// The name; with a dot at its end, no search path is walked.
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// A file with a name and, if it is not that of --type, a type on each line; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    file: Option<PathBuf>,
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

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Question {
    name: String,
    kind: RecordType,
}

/// A question of a file, as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct QuestionRow {
    name: String,
    r#type: String,
    is_answered: bool,
    traces: Vec<TraceRow>,
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

/// Explains; the exit status is 0 when there is an answer or somebody to ask, for each question.
pub(crate) async fn run(args: QueryArgs) -> Result<i32> {
    let kind = record_type(&args.kind)?;
    let questions = match (&args.file, args.name) {
        (Some(file), _) => questions(&text_of(file)?, kind)?,
        (None, name) => name.map(|name| Question { name, kind }).into_iter().collect(),
    };
    let snapshot = args.access.snapshot().await?;
    let client = args.from.as_deref().map(|from| client(&snapshot, from)).transpose()?;
    let cluster = compile_all(&snapshot, &args.access.facts);
    let own = client.as_ref().and_then(|(_, pod)| snapshot.pods.get(pod)?.node.as_ref());
    let plan = own.and_then(|node| cluster.plans.get(node)).or_else(|| cluster.plans.values().next());
    let zone = Zone::build(&plan.context("the cluster has no nodes")?.dns);
    let from = client.as_ref().map(|(address, pod)| (*address, pod.namespace.as_str()));
    let traces_of = |Question { name, kind }: &Question| {
        trace(&zone, name, *kind, from).with_context(|| format!("`{name}` cannot be asked for"))
    };
    let traces = questions.iter().map(traces_of).collect::<Result<Vec<_>>>()?;
    match args.output {
        Output::Json if args.file.is_some() => {
            let rows = questions.iter().zip(&traces).map(|(question, traces)| question_row(question, traces));
            print_json(&rows.collect::<Vec<_>>())?;
        }
        Output::Json => print_json(&traces.iter().flatten().map(row).collect::<Vec<_>>())?,
        Output::Text => {
            traces.iter().flatten().for_each(|trace| print_line(&shown(trace, Style::of_stdout())));
        }
    }
    Ok(i32::from(!traces.iter().all(|traces| is_answered(traces))))
}

/// The questions of a text: on each line a name and perhaps a type; `#` begins a remark.
fn questions(text: &str, usual: RecordType) -> Result<Vec<Question>> {
    let mut questions = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.split_once('#').map_or(line, |(said, _)| said);
        let kind = match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            [] => continue,
            [name] => Ok((*name, usual)),
            [name, kind] => record_type(kind).map(|kind| (*name, kind)),
            _ => Err(anyhow!("a line has a name and a type")),
        };
        let (name, kind) = kind.with_context(|| format!("line {number}"))?;
        questions.push(Question { name: name.to_owned(), kind });
    }
    Ok(questions)
}

fn record_type(text: &str) -> Result<RecordType> {
    RecordType::parse(text).with_context(|| format!("`{text}` is no record type"))
}

fn is_answered(traces: &[Trace]) -> bool {
    traces.last().is_some_and(Trace::is_answered)
}

fn question_row(question: &Question, traces: &[Trace]) -> QuestionRow {
    QuestionRow {
        name: question.name.clone(),
        r#type: question.kind.to_string(),
        is_answered: is_answered(traces),
        traces: traces.iter().map(row).collect(),
    }
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_question_on_each_line() {
        let text =
            "# names of the shop\nweb.shop.svc.cluster.local\n\n  _http._tcp.web.shop srv # its port\n";
        let question = |name: &str, kind| Question { name: name.to_owned(), kind };
        assert_eq!(
            questions(text, RecordType::AAAA).unwrap(),
            [
                question("web.shop.svc.cluster.local", RecordType::AAAA),
                question("_http._tcp.web.shop", RecordType::SRV)
            ]
        );
        for (text, told) in [
            ("a\nb c d", "line 2: a line has a name and a type"),
            ("a WHAT", "line 1: `WHAT` is no record type"),
        ] {
            assert_eq!(format!("{:#}", questions(text, RecordType::A).unwrap_err()), told);
        }
    }
}
