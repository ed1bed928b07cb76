//! Changes of questions, and how they are undone in answers (CoreDNS, `plugin/rewrite`).

use plan::{DnsRewrite, NameMatcher, RewriteRule, RewriteThen};

use super::options::{Client, Options};
use super::undo::Pattern;
use super::{Undo, dotted};
use crate::{Name, RecordType};

/// One rule, with its regular expressions compiled.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    at: String,
    then: RewriteThen,
    rule: RewriteRule,
    pattern: Option<Pattern>,
    /// Changes of answers that do not depend on the question.
    undo: Vec<Undo>,
}

/// What rules make of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rewritten {
    Same,
    /// A name that cannot be.
    Broken,
    Changed {
        name: Name,
        kind: RecordType,
        undo: Vec<Undo>,
        /// EDNS options that upstream servers are asked with.
        options: Vec<u8>,
        /// The lines that say so.
        used: Vec<String>,
    },
}

impl Rule {
    /// A rule whose regular expression cannot be compiled is left out; who reads settings does not let it in.
    pub(super) fn of(rewrite: &DnsRewrite) -> Option<Self> {
        let matcher = match &rewrite.rule {
            RewriteRule::Name { matcher, .. }
            | RewriteRule::Ttl { matcher, .. }
            | RewriteRule::Rcode { matcher, .. } => Some(matcher),
            RewriteRule::Type { .. } | RewriteRule::Option { .. } => None,
        };
        let pattern = match matcher {
            Some(NameMatcher::Regex(text)) => Some(Pattern::of(text)?),
            _ => None,
        };
        let undo = undo_of(&rewrite.rule)?;
        Some(Self { at: rewrite.at.clone(), then: rewrite.then, rule: rewrite.rule.clone(), pattern, undo })
    }

    fn matches(&self, matcher: &NameMatcher, name: &str) -> bool {
        match matcher {
            NameMatcher::Exact(text) => name == text,
            NameMatcher::Prefix(text) => name.starts_with(text.as_str()),
            NameMatcher::Suffix(text) => name.ends_with(text.as_str()),
            NameMatcher::Substring(text) => name.contains(text.as_str()),
            NameMatcher::Regex(_) => self.pattern.as_ref().is_some_and(|pattern| pattern.0.is_match(name)),
        }
    }

    /// The new name, if the rule is for this one.
    fn renamed(&self, matcher: &NameMatcher, replacement: &str, name: &str) -> Option<String> {
        match matcher {
            NameMatcher::Exact(text) => (name == text).then(|| replacement.to_owned()),
            NameMatcher::Prefix(text) => {
                name.strip_prefix(text.as_str()).map(|rest| format!("{replacement}{rest}"))
            }
            NameMatcher::Suffix(text) => {
                name.strip_suffix(text.as_str()).map(|rest| format!("{rest}{replacement}"))
            }
            NameMatcher::Substring(text) => {
                name.contains(text.as_str()).then(|| name.replace(text.as_str(), replacement))
            }
            NameMatcher::Regex(_) => self.pattern.as_ref()?.replace(replacement, name),
        }
    }
}

/// What of a rule's effect on answers is known beforehand.
fn undo_of(rule: &RewriteRule) -> Option<Vec<Undo>> {
    match rule {
        RewriteRule::Name { matcher, replacement, auto, answers } => {
            let mut undo = Vec::new();
            if let (NameMatcher::Suffix(suffix), true) = (matcher, auto) {
                undo.push(Undo::Suffix { from: replacement.clone(), to: suffix.clone() });
            }
            for answer in answers {
                let pattern = Pattern::of(&answer.pattern)?;
                undo.push(Undo::Replace {
                    part: answer.part,
                    pattern,
                    replacement: answer.replacement.clone(),
                });
            }
            Some(undo)
        }
        RewriteRule::Ttl { min, max, .. } => Some(vec![Undo::Ttl { min: *min, max: *max }]),
        RewriteRule::Rcode { from, to, .. } => Some(vec![Undo::Rcode { from: *from, to: *to }]),
        RewriteRule::Type { .. } | RewriteRule::Option { .. } => Some(Vec::new()),
    }
}

/// Applies rules in order, each to what those before it made of the question.
pub(super) fn apply(rules: &[Rule], (name, kind): (&[u8], RecordType), client: Client) -> Rewritten {
    if rules.is_empty() {
        return Rewritten::Same;
    }
    let original = dotted(name);
    let (mut text, mut kind) = (original.clone(), kind);
    let mut undo = Vec::new();
    let mut options = Options::default();
    let mut used_lines = Vec::new();
    for rule in rules {
        let used = match &rule.rule {
            RewriteRule::Name { matcher, replacement, auto, .. } => {
                let Some(new) = rule.renamed(matcher, replacement, &text) else { continue };
                if !is_name(&new) {
                    return Rewritten::Broken;
                }
                // Suffixes are undone by themselves, which is better: CoreDNS's other way only knows the one name.
                if *auto && !matches!(matcher, NameMatcher::Suffix(_)) {
                    undo.push(Undo::Remap { from: new.clone(), to: text.clone() });
                }
                text = new;
                true
            }
            RewriteRule::Type { from, to } if kind.0 == *from => {
                kind = RecordType(*to);
                true
            }
            RewriteRule::Type { .. } => false,
            RewriteRule::Option { code, change } => options.change((*code, change), (&text, kind), client),
            RewriteRule::Ttl { matcher, .. } | RewriteRule::Rcode { matcher, .. } => {
                rule.matches(matcher, &text)
            }
        };
        if used {
            used_lines.push(rule.at.clone());
            undo.extend(rule.undo.iter().cloned());
            if rule.then == RewriteThen::Stop {
                break;
            }
        }
    }
    if used_lines.is_empty() {
        return Rewritten::Same;
    }
    Name::parse(&text).map_or(Rewritten::Broken, |name| Rewritten::Changed {
        name,
        kind,
        undo,
        options: options.to_bytes(),
        used: used_lines,
    })
}

fn is_name(text: &str) -> bool {
    Name::parse(text).is_ok()
}
