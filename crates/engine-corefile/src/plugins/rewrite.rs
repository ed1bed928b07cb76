//! `rewrite`: changes of questions and answers (CoreDNS, `plugin/rewrite`).

mod edns0;

use plan::{AnswerPart, AnswerRewrite, DnsRewrite, NameMatcher, RewriteRule, RewriteThen};
use regex::{Regex, RegexBuilder};

use super::number;
use crate::numbers::{rcode, record_type};
use crate::parse::Directive;
use crate::report::{Report, Verdict};

/// CoreDNS's longest regular expression (`maxRegexpLen`), and ours when compiled, in bytes.
const LONGEST_PATTERN: usize = 10_000;
const LARGEST_PATTERN: usize = 1 << 20;
/// Where nothing is said of the upper end of a range of times to live (`ttl 30-`).
const LONGEST_TTL: u32 = 2_147_483_647;

pub(super) fn lower(directive: &Directive, report: &mut Report) -> Option<DnsRewrite> {
    let lines = directive.body.iter().flat_map(|line| &line.words);
    let words = directive.head.arguments().iter().chain(lines).map(String::as_str).collect::<Vec<_>>();
    let outcome = rule(&words);
    let at = directive.head.at.to_string();
    let verdict = || outcome.as_ref().map(drop).map_err(Clone::clone);
    for line in &directive.body {
        report.settle(line, verdict());
    }
    report.settle(&directive.head, verdict());
    outcome.ok().map(|(then, rule)| DnsRewrite { at, then, rule })
}

fn rule(words: &[&str]) -> Result<(RewriteThen, RewriteRule), Verdict> {
    let [first, rest @ ..] = words else { return Err(Verdict::broken("no rule type specified for rewrite")) };
    let (then, words) = match first.to_ascii_lowercase().as_str() {
        "stop" => (RewriteThen::Stop, rest),
        "continue" => (RewriteThen::Continue, rest),
        _ => (RewriteThen::Stop, words),
    };
    let [kind, arguments @ ..] = words else { return Err(Verdict::broken("the rule type is missing")) };
    let rule = match kind.to_ascii_lowercase().as_str() {
        "name" => name_rule(arguments)?,
        "type" => type_rule(arguments)?,
        "ttl" => ttl_rule(arguments)?,
        "rcode" => rcode_rule(arguments)?,
        "class" => return Err(Verdict::not_taken("only questions of class IN are answered", "")),
        "edns0" => edns0::rule(arguments)?,
        "cname" => return Err(Verdict::not_taken("targets of aliases are not changed", "")),
        "answer" => return Err(Verdict::broken("response rewrites must begin with a name rule")),
        other => return Err(Verdict::broken(format!("invalid rule type `{other}`"))),
    };
    Ok((then, rule))
}

/// A name as CoreDNS normalizes it: lower case and with final dot.
fn normalized(text: &str) -> String {
    let dot = if text.ends_with('.') { "" } else { "." };
    format!("{}{dot}", text.to_ascii_lowercase())
}

/// A piece of a name: lower case. CoreDNS writes a final dot after it all the same, so that a `prefix` or `substring` without
/// one only matches before a dot, and what replaces it ends in one.
fn matcher(kind: &str, text: &str) -> Result<NameMatcher, Verdict> {
    Ok(match kind.to_ascii_lowercase().as_str() {
        "exact" => NameMatcher::Exact(normalized(text)),
        "prefix" => NameMatcher::Prefix(normalized(text)),
        "suffix" => NameMatcher::Suffix(normalized(text)),
        "substring" => NameMatcher::Substring(normalized(text)),
        "regex" => {
            pattern(text)?;
            NameMatcher::Regex(text.to_owned())
        }
        other => {
            let why =
                format!("only exact, prefix, suffix, substring, and regex name matching, received: {other}");
            return Err(Verdict::broken(why));
        }
    })
}

/// A regular expression within bounds.
pub(super) fn pattern(text: &str) -> Result<Regex, Verdict> {
    if text.len() > LONGEST_PATTERN {
        return Err(Verdict::broken(format!("regex pattern too long: {} > {LONGEST_PATTERN}", text.len())));
    }
    let built = RegexBuilder::new(text).size_limit(LARGEST_PATTERN).build();
    built.map_err(|_| Verdict::broken(format!("invalid regex matching pattern: {text}")))
}

fn name_rule(arguments: &[&str]) -> Result<RewriteRule, Verdict> {
    let (kind, from, to, rest) = match arguments {
        [from, to] => ("exact", *from, *to, &[][..]),
        [kind, from, to, rest @ ..] => (*kind, *from, *to, rest),
        _ => return Err(Verdict::broken("too few arguments for a name rule")),
    };
    let matcher = matcher(kind, from)?;
    let replacement = normalized(to);
    if let NameMatcher::Regex(text) = &matcher {
        check_groups(&pattern(text)?, &replacement)?;
    }
    let (auto, answers) = answer_rules(rest)?;
    // An exact rule undoes itself always.
    let auto = auto || matches!(matcher, NameMatcher::Exact(_));
    Ok(RewriteRule::Name { matcher, replacement, auto, answers })
}

fn check_groups(pattern: &Regex, replacement: &str) -> Result<(), Verdict> {
    let used = (0..=100).filter(|group| replacement.contains(&format!("{{{group}}}"))).count();
    if used > pattern.captures_len() - 1 {
        let why = format!("{replacement} uses more groups than {pattern} has");
        return Err(Verdict::broken(why));
    }
    Ok(())
}

/// `answer auto`, or `answer name FROM TO` and `answer value FROM TO`, any number of them.
fn answer_rules(words: &[&str]) -> Result<(bool, Vec<AnswerRewrite>), Verdict> {
    let mut auto = false;
    let mut answers = Vec::new();
    let mut rest = words;
    let mut is_first = true;
    while !rest.is_empty() {
        rest = match rest {
            ["answer", tail @ ..] => tail,
            _ if is_first => return Err(Verdict::broken("after the names comes `answer`")),
            tail => tail,
        };
        is_first = false;
        let (part, tail) = match rest {
            ["auto", tail @ ..] => {
                auto = true;
                rest = tail;
                continue;
            }
            ["name", tail @ ..] => (AnswerPart::Name, tail),
            ["value", tail @ ..] => (AnswerPart::Value, tail),
            [other, ..] => return Err(Verdict::broken(format!("invalid type `{other}` for an answer rule"))),
            [] => return Err(Verdict::broken("type missing for answer rule")),
        };
        let [from, to, tail @ ..] = tail else {
            return Err(Verdict::broken("an answer rule has 2 arguments"));
        };
        let replacement = normalized(to);
        check_groups(&pattern(from)?, &replacement)?;
        answers.push(AnswerRewrite { part, pattern: (*from).to_owned(), replacement });
        rest = tail;
    }
    if auto && answers.iter().any(|answer| answer.part == AnswerPart::Name) {
        return Err(Verdict::broken("answer auto cannot be combined with explicit answer name rules"));
    }
    Ok((auto, answers))
}

fn type_rule(arguments: &[&str]) -> Result<RewriteRule, Verdict> {
    let [from, to] = arguments else {
        return Err(Verdict::broken("type rules must have exactly two arguments"));
    };
    let kind =
        |text: &str| record_type(text).ok_or_else(|| Verdict::broken(format!("invalid type `{text}`")));
    Ok(RewriteRule::Type { from: kind(from)?, to: kind(to)? })
}

fn ttl_rule(arguments: &[&str]) -> Result<RewriteRule, Verdict> {
    let (kind, name, range) = match arguments {
        [name, range] => ("exact", *name, *range),
        [kind, name, range] => (*kind, *name, *range),
        _ => return Err(Verdict::broken("a ttl rule has a name and a range")),
    };
    let (min, max) = ttl_range(range)?;
    Ok(RewriteRule::Ttl { matcher: matcher(kind, name)?, min, max })
}

/// `N`, `MIN-MAX`, `MIN-` or `-MAX`.
fn ttl_range(text: &str) -> Result<(u32, u32), Verdict> {
    let (min, max) = match text.split_once('-') {
        None => (number(text)?, number(text)?),
        Some(("", "")) => return Err(Verdict::broken(format!("invalid TTL '{text}' for a ttl rule"))),
        Some((min, "")) => (number(min)?, LONGEST_TTL),
        Some(("", max)) => (0, number(max)?),
        Some((min, max)) => (number(min)?, number(max)?),
    };
    match min <= max {
        true => Ok((min, max)),
        false => Err(Verdict::broken(format!("invalid TTL '{text}' for a ttl rule"))),
    }
}

fn rcode_rule(arguments: &[&str]) -> Result<RewriteRule, Verdict> {
    let (kind, name, from, to) = match arguments {
        [name, from, to] => ("exact", *name, *from, *to),
        [kind, name, from, to] => (*kind, *name, *from, *to),
        _ => return Err(Verdict::broken("a rcode rule has a name and two codes")),
    };
    let code = |text: &str| {
        rcode(text).ok_or_else(|| Verdict::broken(format!("invalid RCODE '{text}' for a rcode rule")))
    };
    Ok(RewriteRule::Rcode { matcher: matcher(kind, name)?, from: code(from)?, to: code(to)? })
}
