//! Sections of questions: each line's answer, after `→`, is written anew from the plans.

use engine_dns::{RecordType, Search, SearchEnd, Zone, search};
use engine_http::{Decision, RequestHead, RouteTable, Scheme, route};
use plan::NodePlan;

/// Each line as `question → answer`; comments and empty lines stay.
pub(crate) fn answer_lines(body: &str, answer: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    for line in body.trim_end().lines() {
        if line.trim().is_empty() || line.starts_with('#') {
            text.push_str(line);
        } else {
            let question = line.split_once('→').map_or(line, |(question, _)| question).trim();
            text.push_str(&format!("{question} → {}", answer(question)));
        }
        text.push('\n');
    }
    text
}

/// Answers `NAMESPACE asks NAME TYPE`, as a Pod of that Namespace asks with its search path.
pub(crate) fn answer_name(plan: &NodePlan, question: &str) -> String {
    let words: Vec<&str> = question.split_whitespace().collect();
    let [namespace, "asks", name, kind] = words[..] else {
        return "a question is `NAMESPACE asks NAME TYPE`".to_owned();
    };
    let Some(kind) = RecordType::parse(kind) else { return format!("`{kind}` is no record type") };
    match search(&Zone::build(&plan.dns), name, namespace, kind) {
        Ok(search) => found(&search),
        Err(error) => error.to_string(),
    }
}

fn found(search: &Search) -> String {
    let Some(decisive) = search.decisive() else { return "nothing was asked".to_owned() };
    let reasons: Vec<String> = decisive.reasons.iter().map(ToString::to_string).collect();
    let reasons = reasons.join("; ");
    let records: Vec<String> = decisive.records.iter().map(ToString::to_string).collect();
    match search.end {
        SearchEnd::Found => format!("{} ({reasons})", records.join("; ")),
        SearchEnd::Forwarded => format!("asked of the upstream servers ({reasons})"),
        SearchEnd::NotFound => format!("{:?} ({reasons})", decisive.outcome),
    }
}

/// Answers `SCHEME://HOST/PATH`, with every backend that may be drawn.
pub(crate) fn answer_request(plan: &NodePlan, question: &str) -> String {
    let Some((scheme, rest)) = question.split_once("://") else {
        return "a request is SCHEME://HOST/PATH".to_owned();
    };
    let (host, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let (table, _) = RouteTable::build(&plan.gateway);
    let head = RequestHead::get(scheme, host, path);
    match route(&table, &head, 0) {
        Decision::Forward(forward) => {
            let mut backends: Vec<String> = forward.attempts().map(ToString::to_string).collect();
            backends.sort();
            let rewritten =
                forward.rewritten.as_ref().map(|target| format!(" as {target}")).unwrap_or_default();
            format!("{} at {}{rewritten} ({})", forward.service, backends.join(" or "), forward.reason)
        }
        Decision::Redirect { page, location, reason } => format!("{} to {location} ({reason})", page.status),
        Decision::Respond { page, reason } => format!("{} ({reason})", page.status),
    }
}
