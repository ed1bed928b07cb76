//! A server block's directives, one file for each plugin that has much to say.

mod acl;
mod blocklist;
mod cache;
mod forward;
mod hosts;
pub(crate) mod kubernetes;
mod log;
mod others;
mod rewrite;
mod template;

use std::collections::BTreeSet;

use plan::{DnsBlock, Fallthrough, SearchPath};

use crate::Sources;
use crate::parse::{Directive, ServerBlock, Statement, variable};
use crate::report::{Report, Verdict};
use crate::zones;

/// What is common to the directives of a block.
pub(crate) struct Context<'a> {
    pub(crate) zones: &'a BTreeSet<String>,
    pub(crate) sources: &'a Sources,
}

/// One server block; the order of its directives does not matter, but for those of one plugin.
pub(crate) fn lower_block(
    block: &ServerBlock,
    zones: BTreeSet<String>,
    sources: &Sources,
    report: &mut Report,
) -> DnsBlock {
    let at = block.keys.first().map(|key| key.at.to_string()).unwrap_or_default();
    let context = Context { zones: &zones, sources };
    let mut lowered = DnsBlock {
        at,
        zones: BTreeSet::new(),
        logs: Vec::new(),
        access: Vec::new(),
        blocklists: Vec::new(),
        rewrites: Vec::new(),
        search_path: SearchPath::Client,
        templates: Vec::new(),
        hosts: None,
        kubernetes: None,
        forwards: Vec::new(),
        cache: None,
    };
    for directive in &block.directives {
        lower_directive(directive, &context, &mut lowered, report);
    }
    lowered.zones = zones;
    lowered
}

fn lower_directive(directive: &Directive, context: &Context<'_>, block: &mut DnsBlock, report: &mut Report) {
    let head = &directive.head;
    let lines = std::iter::once(head).chain(&directive.body);
    if let Some(name) = lines.flat_map(|line| &line.words).find_map(|word| variable(word)) {
        report.tell(head, zones::unknown_variable(name));
        return;
    }
    let is_second = match head.name() {
        "kubernetes" => block.kubernetes.is_some(),
        "hosts" => block.hosts.is_some(),
        "cache" => block.cache.is_some(),
        _ => false,
    };
    if is_second {
        report.tell(head, Verdict::broken("a server block has this once"));
        return;
    }
    match head.name() {
        "kubernetes" => block.kubernetes = kubernetes::lower(directive, context, report),
        "forward" => block.forwards.extend(forward::lower(directive, report)),
        "hosts" => block.hosts = hosts::lower(directive, context, report),
        "cache" => block.cache = cache::lower(directive, context, report),
        "rewrite" => block.rewrites.extend(rewrite::lower(directive, report)),
        "template" => block.templates.extend(template::lower(directive, context, report)),
        "acl" => block.access.extend(acl::lower(directive, context, report)),
        "log" => block.logs.extend(log::lower(directive, report)),
        "blocklist" => block.blocklists.extend(blocklist::lower(directive, report)),
        "autopath" => {
            if others::autopath(directive, report) {
                block.search_path = SearchPath::Server;
            }
        }
        _ => others::tell(directive, report),
    }
}

/// Reads every line of a body; whether all of them were taken.
pub(crate) fn read_body(
    body: &[Statement],
    report: &mut Report,
    mut read: impl FnMut(&Statement) -> Result<(), Verdict>,
) -> bool {
    // Every line is read, so that all that is wrong is told at once.
    body.iter().fold(true, |is_whole, line| {
        let outcome = read(line);
        report.settle(line, outcome) && is_whole
    })
}

/// The line of a directive that only has an effect as a whole.
pub(crate) fn settle_whole(directive: &Directive, is_whole: bool, report: &mut Report) {
    let verdict = match is_whole {
        true => Verdict::Taken,
        false => Verdict::not_taken("a line of it is not, and half of it would answer wrongly", ""),
    };
    report.tell(&directive.head, verdict);
}

/// `fallthrough`, with zones or without.
pub(crate) fn fallthrough(line: &Statement) -> Result<Fallthrough, Verdict> {
    if line.arguments().is_empty() {
        return Ok(Fallthrough::All);
    }
    zones::of_arguments(line.arguments(), &BTreeSet::new()).map(Fallthrough::Zones)
}

/// The only argument of a line.
pub(crate) fn only_argument(line: &Statement) -> Result<&str, Verdict> {
    match line.arguments() {
        [argument] => Ok(argument),
        _ => Err(Verdict::broken(format!("`{}` has exactly one argument", line.name()))),
    }
}

/// No argument at all.
pub(crate) fn no_argument(line: &Statement) -> Result<(), Verdict> {
    match line.arguments() {
        [] => Ok(()),
        _ => Err(Verdict::broken(format!("`{}` has no argument", line.name()))),
    }
}

/// A number, or what is wrong.
pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Result<T, Verdict> {
    text.parse().map_err(|_| Verdict::broken(format!("`{text}` is not a number that is possible here")))
}

/// A line that the plugin does not know.
pub(crate) fn unknown(line: &Statement) -> Verdict {
    Verdict::broken(format!("unknown property `{}`", line.name()))
}
