//! `template`: answers made of questions (CoreDNS, `plugin/template/setup.go`).

use std::collections::BTreeSet;

use plan::{DnsTemplate, Fallthrough, TemplateText};

use super::rewrite::pattern;
use super::{Context, fallthrough, number, only_argument, read_body, settle_whole, unknown};
use crate::numbers::{rcode, record_type};
use crate::parse::{Directive, Statement};
use crate::report::{Report, Verdict};
use crate::template_text;
use crate::zones;

/// Every class and type.
const ANY: u16 = 255;

pub(super) fn lower(
    directive: &Directive,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<DnsTemplate> {
    let (zones, kind) = match read_head(&directive.head, context) {
        Ok(head) => head,
        Err(verdict) => {
            report.tell(&directive.head, verdict);
            return None;
        }
    };
    let mut template = DnsTemplate {
        at: directive.head.at.to_string(),
        zones,
        kind: (kind != ANY).then_some(kind),
        patterns: Vec::new(),
        answer: Vec::new(),
        authority: Vec::new(),
        additional: Vec::new(),
        rcode: 0,
        extended_error: None,
        fallthrough: Fallthrough::Never,
    };
    let is_whole = read_body(&directive.body, report, |line| read_line(line, &mut template));
    if template.patterns.is_empty() {
        template.patterns.push(".*".to_owned());
    }
    settle_whole(directive, is_whole, report);
    is_whole.then_some(template)
}

fn read_head(head: &Statement, context: &Context<'_>) -> Result<(BTreeSet<String>, u16), Verdict> {
    let [class, kind, zones @ ..] = head.arguments() else {
        return Err(Verdict::broken("the class and the type are missing"));
    };
    match class.as_str() {
        "IN" | "ANY" => {}
        "CH" | "CS" | "HS" | "NONE" => {
            return Err(Verdict::not_taken("only questions of class IN are answered", ""));
        }
        other => return Err(Verdict::broken(format!("invalid query class {other}"))),
    }
    let kind = record_type(kind).ok_or_else(|| Verdict::broken(format!("invalid RR class {kind}")))?;
    Ok((zones::of_arguments(zones, context.zones)?, kind))
}

fn read_line(line: &Statement, template: &mut DnsTemplate) -> Result<(), Verdict> {
    match line.name() {
        "match" => {
            some_arguments(line)?;
            for text in line.arguments() {
                pattern(text)?;
                template.patterns.push(text.clone());
            }
        }
        "answer" => template.answer.extend(texts(line)?),
        "authority" => template.authority.extend(texts(line)?),
        "additional" => template.additional.extend(texts(line)?),
        "rcode" => {
            let text = only_argument(line)?;
            template.rcode = rcode(text).ok_or_else(|| Verdict::broken(format!("unknown rcode {text}")))?;
        }
        "ederror" => {
            let (code, reason) = match line.arguments() {
                [code] => (code, String::new()),
                [code, reason] => (code, reason.clone()),
                _ => return Err(Verdict::broken("`ederror` has a code and perhaps a reason")),
            };
            template.extended_error = Some((number(code)?, reason));
        }
        "fallthrough" => template.fallthrough = fallthrough(line)?,
        "upstream" => return Err(Verdict::Needless { why: "CoreDNS itself ignores it".to_owned() }),
        _ => return Err(unknown(line)),
    }
    Ok(())
}

fn some_arguments(line: &Statement) -> Result<(), Verdict> {
    match line.arguments() {
        [] => Err(Verdict::broken(format!("`{}` has arguments", line.name()))),
        _ => Ok(()),
    }
}

fn texts(line: &Statement) -> Result<Vec<TemplateText>, Verdict> {
    some_arguments(line)?;
    line.arguments().iter().map(|text| template_text::parse(text)).collect()
}
