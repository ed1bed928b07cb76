//! `acl`: whose questions are looked up (CoreDNS, `plugin/acl/setup.go`).

use std::collections::BTreeSet;
use std::net::IpAddr;

use plan::{AccessAction, AccessRule, DnsAccess};
use types::Prefix;

use super::{Context, read_body, settle_whole};
use crate::numbers::record_type;
use crate::parse::{Directive, Statement};
use crate::report::{Report, Verdict};
use crate::zones;

pub(super) fn lower(directive: &Directive, context: &Context<'_>, report: &mut Report) -> Option<DnsAccess> {
    let zones = match zones::of_arguments(directive.head.arguments(), context.zones) {
        Ok(zones) => zones,
        Err(verdict) => {
            report.tell(&directive.head, verdict);
            return None;
        }
    };
    let mut access = DnsAccess { at: directive.head.at.to_string(), zones, rules: Vec::new() };
    let is_whole = read_body(&directive.body, report, |line| {
        access.rules.push(rule(line)?);
        Ok(())
    });
    settle_whole(directive, is_whole, report);
    is_whole.then_some(access)
}

fn rule(line: &Statement) -> Result<AccessRule, Verdict> {
    let action = match line.name().to_ascii_lowercase().as_str() {
        "allow" => AccessAction::Allow,
        "block" => AccessAction::Block,
        "filter" => AccessAction::Filter,
        "drop" => AccessAction::Drop,
        other => {
            let why = format!("unexpected token `{other}`; expect 'allow', 'block', 'filter' or 'drop'");
            return Err(Verdict::broken(why));
        }
    };
    let mut rule =
        AccessRule { at: line.at.to_string(), action, kinds: BTreeSet::new(), clients: BTreeSet::new() };
    let is_section = |word: &String| word.eq_ignore_ascii_case("type") || word.eq_ignore_ascii_case("net");
    let mut rest = line.arguments();
    while let [section, tail @ ..] = rest {
        if !is_section(section) {
            return Err(Verdict::broken(format!("unexpected token `{section}`; expect 'type | net'")));
        }
        let end = tail.iter().position(is_section).unwrap_or(tail.len());
        let (words, after) = tail.split_at(end);
        if words.is_empty() {
            return Err(Verdict::broken(format!("no token specified in `{section}` section")));
        }
        match section.eq_ignore_ascii_case("type") {
            true => rule.kinds = kinds(words)?,
            false => rule.clients = clients(words)?,
        }
        rest = after;
    }
    Ok(rule)
}

/// Empty stands for all, which `*` is.
fn kinds(words: &[String]) -> Result<BTreeSet<u16>, Verdict> {
    if words.iter().any(|word| word == "*") {
        return Ok(BTreeSet::new());
    }
    let kind = |word: &String| {
        record_type(word)
            .ok_or_else(|| Verdict::broken(format!("unexpected token `{word}`; expect legal QTYPE")))
    };
    words.iter().map(kind).collect()
}

fn clients(words: &[String]) -> Result<BTreeSet<Prefix>, Verdict> {
    if words.iter().any(|word| word == "*") {
        return Ok(BTreeSet::new());
    }
    let range = |word: &String| {
        let host = || word.parse::<IpAddr>().ok().map(Prefix::host);
        let range = word.parse::<Prefix>().ok().or_else(host);
        range.ok_or_else(|| Verdict::broken(format!("illegal CIDR notation `{word}`")))
    };
    words.iter().map(range).collect()
}
