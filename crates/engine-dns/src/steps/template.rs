//! Answers made of a question's parts (CoreDNS, `plugin/template/template.go`).

use plan::{DnsTemplate, TemplatePart, TemplateText};
use regex::Captures;

use super::record_text;
use super::undo::Pattern;
use super::{Outcome, dotted, type_name};
use crate::RecordType;
use crate::decoded::{Decoded, Item};
use crate::extended_error::ExtendedError;
use crate::message::Rcode;
use crate::zones::{Through, Zones};

/// The type in a question that wants every type.
const ANY: RecordType = RecordType(255);

/// One template, with its regular expressions compiled.
#[derive(Clone, Debug)]
pub(super) struct Template {
    template: DnsTemplate,
    zones: Zones,
    patterns: Vec<Pattern>,
    through: Through,
}

/// What the places of a text are filled with.
struct Values<'v> {
    name: String,
    zone: String,
    kind: RecordType,
    groups: Captures<'v>,
}

impl Template {
    /// A template whose regular expression cannot be compiled is left out; who reads settings does not let it in.
    pub(super) fn of(template: &DnsTemplate) -> Option<Self> {
        Some(Self {
            zones: Zones::of(&template.zones),
            patterns: template.patterns.iter().map(|text| Pattern::of(text)).collect::<Option<_>>()?,
            through: Through::of(&template.fallthrough),
            template: template.clone(),
        })
    }

    pub(super) fn at(&self) -> &str {
        &self.template.at
    }

    /// Whether it is the end for a question.
    pub(super) fn has_a_say(&self, name: &[u8], kind: RecordType) -> bool {
        !matches!(answer(std::slice::from_ref(self), name, kind), Outcome::Next)
    }

    fn is_for(&self, kind: RecordType) -> bool {
        self.template.kind.is_none_or(|own| kind == ANY || kind.0 == own)
    }
}

/// The answer of the first template that is for a question.
pub(super) fn answer(templates: &[Template], name: &[u8], kind: RecordType) -> Outcome {
    for template in templates.iter().filter(|template| template.is_for(kind)) {
        let Some(zone) = template.zones.of_name(name) else { continue };
        let text = dotted(name);
        let Some(groups) = template.patterns.iter().find_map(|pattern| pattern.0.captures(&text)) else {
            match template.through.lets(name) {
                true => continue,
                false => {
                    let why = format!("matches no pattern of {} (template)", template.template.at);
                    return Outcome::Fail(ExtendedError::other(why));
                }
            }
        };
        let kind = template.template.kind.filter(|_| kind == ANY).map_or(kind, RecordType);
        let values = Values { name: text.clone(), zone: dotted(zone.as_wire()), kind, groups };
        return filled(&template.template, &values);
    }
    Outcome::Next
}

fn filled(template: &DnsTemplate, values: &Values<'_>) -> Outcome {
    let error =
        template.extended_error.as_ref().map(|(code, text)| ExtendedError::with_code(*code, text.clone()));
    if u16::from(template.rcode) == Rcode::ServFail.number() {
        let why = || ExtendedError::other(format!("as {} (template) has it", template.at));
        return Outcome::Fail(error.unwrap_or_else(why));
    }
    let section = |texts: &[TemplateText]| {
        texts.iter().map(|text| record_text::parse(&values.fill(text))).collect::<Option<Vec<Item>>>()
    };
    let sections = (section(&template.answer), section(&template.authority), section(&template.additional));
    let (Some(answer), Some(authority), Some(additional)) = sections else {
        return Outcome::Fail(ExtendedError::other(format!("{} (template) gives no record", template.at)));
    };
    Outcome::Answer(Box::new(Decoded {
        is_authoritative: true,
        rcode: u16::from(template.rcode),
        sections: [answer, authority, additional],
        errors: error.iter().map(ExtendedError::to_option).collect(),
        ..Decoded::default()
    }))
}

impl Values<'_> {
    fn fill(&self, text: &TemplateText) -> String {
        let part = |part: &TemplatePart| match part {
            TemplatePart::Text(text) => text.clone(),
            TemplatePart::Name => self.name.clone(),
            TemplatePart::Type => type_name(self.kind),
            TemplatePart::Class => "IN".to_owned(),
            TemplatePart::Zone => self.zone.clone(),
            TemplatePart::Group(name) => self.group(name).to_owned(),
        };
        text.iter().map(part).collect()
    }

    fn group(&self, name: &str) -> &str {
        let numbered = || self.groups.get(name.parse().ok()?);
        let group = self.groups.name(name).or_else(numbered);
        group.map(|group| group.as_str()).unwrap_or_default()
    }
}
