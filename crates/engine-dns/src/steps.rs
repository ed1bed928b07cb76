//! What a server block does with a question before and after it is looked up, in CoreDNS's order (`plugin.cfg`): rules for
//! clients, block lists, rewrites, the search path, templates, hosts; then the cluster's names, and others.
//!
//! A step that changes the question answers another one in its place and changes that answer back.

mod access;
mod alias;
mod hosts;
mod record_text;
mod rewrite;
mod search_path;
mod template;
mod undo;

use plan::{DnsBlock, SearchPath};

use crate::answer::{self, Answer, Limits, Transport};
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

    /// Answers a query of the block with this number.
    pub(crate) fn answer(
        &self,
        zone: &Zone,
        block: usize,
        (query, limits): (&Query<'_>, Limits),
        out: &mut Vec<u8>,
    ) -> Answer {
        match self.access.decide(query.name(), query.kind, limits.client) {
            access::Verdict::Pass => {}
            access::Verdict::Drop => return Answer::Drop,
            access::Verdict::Answer(decoded) => {
                decoded.write(query, limits, out);
                return Answer::Respond;
            }
        }
        match rewrite::apply(&self.rewrites, query.name(), query.kind) {
            rewrite::Rewritten::Same => self.search(zone, block, (query, limits), out),
            rewrite::Rewritten::Broken => fail(query, limits, &extended_error::NO_NAME, out),
            rewrite::Rewritten::Changed { name, kind, undo } => {
                let inner = query.asking(name.as_wire(), kind);
                answer_inner(inner, undo, (query, limits), out, |query, limits, out| {
                    self.search(zone, block, (query, limits), out)
                })
            }
        }
    }

    fn search(
        &self,
        zone: &Zone,
        block: usize,
        (query, limits): (&Query<'_>, Limits),
        out: &mut Vec<u8>,
    ) -> Answer {
        let answer_name = |query: &Query<'_>, limits: Limits, out: &mut Vec<u8>| {
            self.local(zone, block, (query, limits), out)
        };
        let path = limits.client.filter(|_| self.searches);
        match path.and_then(|client| search_path::names(zone, query.name(), client)) {
            Some(names) => search_path::begin(&names, (query, limits), out, answer_name),
            None => answer_name(query, limits, out),
        }
    }

    /// Templates, hosts, and what is beyond them.
    fn local(
        &self,
        zone: &Zone,
        block: usize,
        (query, limits): (&Query<'_>, Limits),
        out: &mut Vec<u8>,
    ) -> Answer {
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
                None => answer::look_up(zone, block, (query, limits), out),
                Some((name, undo)) => {
                    let inner = query.asking(name.as_wire(), query.kind);
                    answer_inner(inner, vec![undo], (query, limits), out, |query, limits, out| {
                        answer::look_up(zone, block, (query, limits), out)
                    })
                }
            },
        }
    }
}

/// Answers another query in the place of `query`, and undoes the change in its answer.
fn answer_inner(
    inner: Vec<u8>,
    undo: Vec<Undo>,
    (query, limits): (&Query<'_>, Limits),
    out: &mut Vec<u8>,
    answer: impl FnOnce(&Query<'_>, Limits, &mut Vec<u8>) -> Answer,
) -> Answer {
    let Ok(inner_query) = Query::parse(&inner) else {
        return fail(query, limits, &extended_error::NO_NAME, out);
    };
    let mut written = Vec::new();
    match answer(&inner_query, limits.without_bounds(), &mut written) {
        Answer::Respond => undo::finish(&undo, &written, (query, limits), out),
        Answer::Ask(ask) => Answer::Ask(ask.undone_by(inner, undo)),
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
