//! The part of Go's text templates that records are made with: fields, and groups of the regular expression.

use plan::{TemplatePart, TemplateText};

use crate::report::Verdict;

/// A text with `{{ ... }}` in it.
pub(crate) fn parse(text: &str) -> Result<TemplateText, Verdict> {
    let mut parts = Vec::new();
    let mut rest = text;
    let mut trims_start = false;
    while let Some((before, after)) = rest.split_once("{{") {
        let (action, tail) =
            after.split_once("}}").ok_or_else(|| Verdict::broken(format!("`{text}` has no `}}}}`")))?;
        let (trims_end, action) = action.strip_prefix("- ").map_or((false, action), |action| (true, action));
        push_text(&mut parts, before, (trims_start, trims_end));
        let (action, next) = action.strip_suffix(" -").map_or((action, false), |action| (action, true));
        if !is_comment(action) {
            parts.push(part(action.trim())?);
        }
        trims_start = next;
        rest = tail;
    }
    push_text(&mut parts, rest, (trims_start, false));
    Ok(parts)
}

fn push_text(parts: &mut TemplateText, text: &str, (trims_start, trims_end): (bool, bool)) {
    let text = if trims_start { text.trim_start() } else { text };
    let text = if trims_end { text.trim_end() } else { text };
    if !text.is_empty() {
        parts.push(TemplatePart::Text(text.to_owned()));
    }
}

fn is_comment(action: &str) -> bool {
    action.trim().starts_with("/*")
}

fn part(action: &str) -> Result<TemplatePart, Verdict> {
    let words = action.split_whitespace().collect::<Vec<_>>();
    let group = |name: &str| TemplatePart::Group(name.trim_matches(['"', '`']).to_owned());
    Ok(match words.as_slice() {
        [".Name" | ".Question.Name"] => TemplatePart::Name,
        [".Type"] => TemplatePart::Type,
        [".Class"] => TemplatePart::Class,
        [".Zone"] => TemplatePart::Zone,
        ["index", ".Match" | ".Group", name] => group(name),
        [field] if field.starts_with(".Group.") => group(&field[".Group.".len()..]),
        _ => {
            let why = format!(
                "`{{{{ {action} }}}}` is not one of .Name, .Type, .Class, .Zone, .Group.NAME, index .Match N"
            );
            return Err(Verdict::not_taken(why, "write it with groups of the regular expression"));
        }
    })
}
