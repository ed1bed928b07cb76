//! Changes of answers: to what was asked before the question was changed.

use plan::AnswerPart;
use regex::{Regex, RegexBuilder};

use super::{dotted, fail};
use crate::answer::{Answer, Limits};
use crate::decoded::{Decoded, Item};
use crate::extended_error::ExtendedError;
use crate::message::Query;
use crate::name::{MAX_NAME, suffix_start};
use crate::{Name, RecordType};

/// How large a compiled regular expression may be, in bytes.
const LARGEST_PATTERN: usize = 1 << 20;

/// One change. Names are texts with final dot, as CoreDNS compares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Undo {
    /// This name, and what is below it, becomes that one.
    Remap { from: String, to: String },
    /// An ending becomes another.
    Suffix { from: String, to: String },
    /// What matches becomes this.
    Replace { part: AnswerPart, pattern: Pattern, replacement: String },
    /// Times to live are brought into a range.
    Ttl { min: u32, max: u32 },
    /// A response code becomes another.
    Rcode { from: u8, to: u8 },
    /// The name that was looked up, and names beside it in its zone, stand in another zone. Aliases stay what they lead to.
    Zone { from: Vec<u8>, to: Vec<u8>, name: Vec<u8> },
}

/// A regular expression that can be compared.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(pub(super) Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Pattern {
    pub(super) fn of(text: &str) -> Option<Self> {
        RegexBuilder::new(text).size_limit(LARGEST_PATTERN).build().ok().map(Self)
    }

    /// The replacement for a text that matches anywhere, with its groups filled in; the rest of the text is lost, as with
    /// CoreDNS.
    pub(super) fn replace(&self, replacement: &str, text: &str) -> Option<String> {
        let groups = self.0.captures(text)?;
        let mut new = replacement.to_owned();
        for (index, group) in groups.iter().enumerate() {
            let group = group.map(|group| group.as_str()).unwrap_or_default();
            new = new.replace(&format!("{{{index}}}"), group);
        }
        Some(new)
    }
}

/// Writes what was answered in the query's place as the query's answer.
pub(crate) fn finish(
    undo: &[Undo],
    written: &[u8],
    (query, limits): (&Query<'_>, Limits),
    out: &mut Vec<u8>,
) -> Answer {
    let Some(mut decoded) = Decoded::read(written) else {
        return fail(query, limits, &ExtendedError::other("the answer could not be changed back"), out);
    };
    // The last change is undone first. CoreDNS looks at the code once for each record; an answer without any has one, too.
    for step in undo.iter().rev() {
        if let Undo::Rcode { from, to } = step
            && decoded.rcode == u16::from(*from)
        {
            decoded.rcode = u16::from(*to);
        }
        for (section, items) in decoded.sections.iter_mut().enumerate() {
            items.iter_mut().for_each(|item| step.change(section, item));
        }
    }
    decoded.write(query, limits, out);
    Answer::Respond
}

impl Undo {
    fn change(&self, section: usize, item: &mut Item) {
        match self {
            Self::Ttl { min, max } => item.ttl = item.ttl.clamp(*min, *max),
            Self::Rcode { .. } => {}
            Self::Zone { from, to, name } => change_zone((from, to), name, section, item),
            Self::Replace { part: AnswerPart::Name, .. } => self.rename(&mut item.owner),
            Self::Replace { part: AnswerPart::Value, .. } => {
                if let Some(target) = item.target_mut() {
                    self.rename(target);
                }
            }
            Self::Remap { .. } | Self::Suffix { .. } => {
                self.rename(&mut item.owner);
                if let Some(target) = item.target_mut() {
                    self.rename(target);
                }
            }
        }
    }

    /// A name that would not be one stays as it is.
    fn rename(&self, wire: &mut Vec<u8>) {
        let text = dotted(wire);
        let new = match self {
            Self::Remap { from, to } if text == *from => Some(to.clone()),
            Self::Remap { from, to } => {
                let rest = text.strip_suffix(from.as_str()).filter(|rest| rest.ends_with('.'));
                rest.map(|rest| format!("{rest}{to}"))
            }
            Self::Suffix { from, to } => text.strip_suffix(from.as_str()).map(|rest| format!("{rest}{to}")),
            Self::Replace { pattern, replacement, .. } => pattern.replace(replacement, &text),
            Self::Ttl { .. } | Self::Rcode { .. } | Self::Zone { .. } => None,
        };
        if let Some(name) = new.and_then(|new| Name::parse(&new).ok()) {
            *wire = name.as_wire().to_vec();
        }
    }
}

fn change_zone((from, to): (&[u8], &[u8]), name: &[u8], section: usize, item: &mut Item) {
    let moved = |wire: &[u8]| {
        let end = suffix_start(wire, from)?;
        Some([&wire[..end], to].concat()).filter(|moved| moved.len() <= MAX_NAME)
    };
    let is_of_answer = section > 0 || item.owner == name;
    if is_of_answer && let Some(owner) = moved(&item.owner) {
        item.owner = owner;
    }
    if matches!(item.kind, RecordType::SRV | RecordType::NS | RecordType::SOA)
        && let Some(target) = item.target_mut()
        && let Some(new) = moved(target)
    {
        *target = new;
    }
}
