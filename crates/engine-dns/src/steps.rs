//! What a server block does with a question before and after it is looked up, in CoreDNS's order (`plugin.cfg`): rules for
//! clients, block lists, rewrites, the search path, templates, hosts; then the cluster's names, and others.
//!
//! A step that changes the question answers another one in its place and changes that answer back.

mod access;
mod alias;
mod hosts;
mod options;
mod record_text;
mod rewrite;
mod search_path;
mod template;
mod undo;

use plan::{DnsBlock, SearchPath};

use crate::answer::{self, Answer, Asked, Limits, Transport};
use crate::decoded::Decoded;
use crate::extended_error::{self, ExtendedError};
use crate::message::{Query, Rcode};
use crate::reply::Reply;
use crate::{Name, RecordType, Zone};
pub(crate) use search_path::Search;
pub(crate) use undo::{Undo, finish};

/// The steps of a block, ready for use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps {
    access: access::Access,
    rewrites: Vec<rewrite::Rule>,
    searches: bool,
    templates: Vec<template::Template>,
    hosts: Option<hosts::Hosts>,
    aliases: alias::Aliases,
}

/// What a step makes of a question.
enum Outcome {
    /// This.
    Answer(Box<Decoded>),
    /// SERVFAIL.
    Fail(ExtendedError),
    /// Nothing: the next step is asked.
    Next,
}

impl Steps {
    /// The steps of a block; none where nothing stands between a question and its look-up.
    pub(crate) fn of(block: &DnsBlock, origin: &Name) -> Option<Self> {
        let aliases = alias::Aliases::of(block.kubernetes.as_ref(), origin);
        let is_plain = block.access.is_empty()
            && block.blocklists.is_empty()
            && block.rewrites.is_empty()
            && block.search_path == SearchPath::Client
            && block.templates.is_empty()
            && block.hosts.is_none()
            && aliases.is_empty();
        let steps = || Self {
            access: access::Access::of(block),
            rewrites: block.rewrites.iter().filter_map(rewrite::Rule::of).collect(),
            searches: block.search_path == SearchPath::Server,
            templates: block.templates.iter().filter_map(template::Template::of).collect(),
            hosts: block.hosts.as_ref().map(hosts::Hosts::of),
            aliases,
        };
        (!is_plain).then(steps)
    }

    /// Answers a query of the block.
    pub(crate) fn answer(&self, asked: Asked<'_>, out: &mut Vec<u8>) -> Answer {
        let Asked { query, limits, .. } = asked;
        match self.access.decide(query.name(), query.kind, limits.client) {
            access::Verdict::Pass => {}
            access::Verdict::Drop => return Answer::Drop,
            access::Verdict::Answer(decoded) => {
                decoded.write(query, limits, out);
                return Answer::Respond;
            }
        }
        let client = options::Client { address: limits.client, transport: limits.transport };
        match rewrite::apply(&self.rewrites, (query.name(), query.kind), client) {
            rewrite::Rewritten::Same => self.search(asked, out),
            rewrite::Rewritten::Broken => fail(query, limits, &extended_error::NO_NAME, out),
            rewrite::Rewritten::Changed { name, kind, undo, options, used: _ } => {
                let asked = Asked { options: &options, ..asked };
                let is_same = (name.as_wire(), kind) == (query.name(), query.kind);
                if is_same && undo.is_empty() {
                    return self.search(asked, out);
                }
                let inner = query.asking(name.as_wire(), kind);
                answer_inner(inner, undo, asked, out, |asked, out| self.search(asked, out))
            }
        }
    }

    fn search(&self, asked: Asked<'_>, out: &mut Vec<u8>) -> Answer {
        let path = asked.limits.client.filter(|_| self.searches);
        match path.and_then(|client| search_path::names(asked.zone, asked.query.name(), client)) {
            Some(names) => search_path::begin(&names, asked, out, |asked, out| self.local(asked, out)),
            None => self.local(asked, out),
        }
    }

    /// Which of templates, hosts and further zones has a say.
    fn local_step(&self, name: &Name, kind: RecordType) -> Option<Step> {
        let wire = name.as_wire();
        let ends = |at: &str, text: &str| Step { at: at.to_owned(), text: text.to_owned(), then: Then::Ends };
        if let Some(template) = self.templates.iter().find(|template| template.has_a_say(wire, kind)) {
            return Some(ends(template.at(), "a template is for it"));
        }
        let hosts = self.hosts.as_ref().filter(|hosts| !matches!(hosts.answer(wire, kind), Outcome::Next));
        if let Some(hosts) = hosts {
            return Some(ends(hosts.at(), "a hosts entry is for it, or none may be elsewhere"));
        }
        let (name, _) = self.aliases.of_name(wire)?;
        let text = format!("a zone of the cluster beside the cluster domain: {name}");
        Some(Step { at: String::new(), text, then: Then::Asks(name, kind) })
    }

    /// Templates, hosts, and what is beyond them.
    fn local(&self, asked: Asked<'_>, out: &mut Vec<u8>) -> Answer {
        let Asked { query, limits, .. } = asked;
        let outcome = match template::answer(&self.templates, query.name(), query.kind) {
            Outcome::Next => {
                self.hosts.as_ref().map_or(Outcome::Next, |hosts| hosts.answer(query.name(), query.kind))
            }
            decided => decided,
        };
        match outcome {
            Outcome::Answer(decoded) => {
                decoded.write(query, limits, out);
                Answer::Respond
            }
            Outcome::Fail(error) => fail(query, limits, &error, out),
            Outcome::Next => match self.aliases.of_name(query.name()) {
                None => answer::look_up(asked, out),
                Some((name, undo)) => {
                    let inner = query.asking(name.as_wire(), query.kind);
                    answer_inner(inner, vec![undo], asked, out, answer::look_up)
                }
            },
        }
    }
}

/// A step that has a say, for people.
pub(crate) struct Step {
    /// The line that says so.
    pub(crate) at: String,
    pub(crate) text: String,
    pub(crate) then: Then,
}

/// What follows a [`Step`].
pub(crate) enum Then {
    /// Nothing: it is the answer.
    Ends,
    /// This is looked up instead.
    Asks(Name, RecordType),
    /// The next step.
    GoesOn,
}

/// The steps of a block that have a say about a question, in order.
pub(crate) fn of_question(
    zone: &Zone,
    block: usize,
    name: &Name,
    kind: RecordType,
    client: Option<std::net::IpAddr>,
) -> Vec<Step> {
    let Some(steps) = zone.steps(block) else { return Vec::new() };
    let mut told = Vec::new();
    if let Some((at, text)) = steps.access.reason(name.as_wire(), kind, client) {
        let then = match steps.access.decide(name.as_wire(), kind, client) {
            access::Verdict::Pass => Then::GoesOn,
            access::Verdict::Drop | access::Verdict::Answer(_) => Then::Ends,
        };
        let ends = matches!(then, Then::Ends);
        told.push(Step { at, text, then });
        if ends {
            return told;
        }
    }
    let mut asked = (name.clone(), kind);
    let by = options::Client { address: client, transport: Transport::Udp };
    match rewrite::apply(&steps.rewrites, (name.as_wire(), kind), by) {
        rewrite::Rewritten::Same => {}
        rewrite::Rewritten::Broken => {
            let text = "a rewrite makes a name that cannot be".to_owned();
            told.push(Step { at: String::new(), text, then: Then::Ends });
            return told;
        }
        rewrite::Rewritten::Changed { name, kind, used, undo, .. } => {
            let text = match (&name, kind) == (&asked.0, asked.1) {
                true if undo.is_empty() => "a rewrite adds to what upstream servers are asked".to_owned(),
                true => "a rewrite changes the answer".to_owned(),
                false => format!("rewritten to {name} {kind}"),
            };
            asked = (name.clone(), kind);
            told.push(Step { at: used.join(", "), text, then: Then::Asks(name, kind) });
        }
    }
    let path = client.filter(|_| steps.searches);
    if let Some(names) = path.and_then(|client| search_path::names(zone, asked.0.as_wire(), client)) {
        let names = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let text = format!("if it does not exist, searched here: {names}");
        told.push(Step { at: String::new(), text, then: Then::GoesOn });
    }
    told.extend(steps.local_step(&asked.0, asked.1));
    told
}

/// Answers another query in the place of the one that was asked, and undoes the change in its answer.
fn answer_inner(
    inner: Vec<u8>,
    undo: Vec<Undo>,
    asked: Asked<'_>,
    out: &mut Vec<u8>,
    answer: impl FnOnce(Asked<'_>, &mut Vec<u8>) -> Answer,
) -> Answer {
    let Asked { query, limits, .. } = asked;
    let Ok(inner_query) = Query::parse(&inner) else {
        return fail(query, limits, &extended_error::NO_NAME, out);
    };
    let mut written = Vec::new();
    let inner_asked = Asked { query: &inner_query, limits: limits.without_bounds(), ..asked };
    match answer(inner_asked, &mut written) {
        Answer::Respond => undo::finish(&undo, &written, (query, limits), out),
        Answer::Ask(ask) => {
            let keep = asked.zone.keep_in(asked.block, query.name());
            Answer::Ask(ask.kept_as(keep).undone_by(inner, undo))
        }
        Answer::Drop => Answer::Drop,
    }
}

pub(crate) fn fail(query: &Query<'_>, limits: Limits, error: &ExtendedError, out: &mut Vec<u8>) -> Answer {
    Reply::start(query, limits.size(query), out).finish_with(Rcode::ServFail, Some(error));
    Answer::Respond
}

impl Limits {
    /// For an answer that is changed before it is sent: only then must it fit.
    pub(crate) fn without_bounds(self) -> Self {
        Self { transport: Transport::Tcp, ..self }
    }
}

/// A name in lower-case wire form as CoreDNS compares it: with final dot.
fn dotted(wire: &[u8]) -> String {
    let text = Name::from_checked_wire(wire).to_string();
    if text == "." { text } else { text + "." }
}

/// The mnemonic of a type.
fn type_name(kind: RecordType) -> String {
    kind.to_string()
}
