//! Named formats and what is wrong with a text (apiserver: `pkg/cel/library/format.go`).

use std::sync::Arc;

use base64::Engine as _;

use crate::eval::Budget;
use crate::functions::{Result, time, url};
use crate::value::Value;

/// Names of the formats, as `format.named` knows them.
pub const FORMATS: &[&str] = &[
    "dns1123Label",
    "dns1123Subdomain",
    "dns1035Label",
    "qualifiedName",
    "dns1123LabelPrefix",
    "dns1123SubdomainPrefix",
    "dns1035LabelPrefix",
    "labelValue",
    "uri",
    "uuid",
    "byte",
    "date",
    "datetime",
];

/// Texts of apimachinery `pkg/util/validation/validation.go`.
const LABEL_1123: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_1123: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUALIFIED_NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// Whether `format.named` knows the name.
pub fn is_named_format(name: &str) -> bool {
    FORMATS.contains(&name)
}

/// `None` when the library has no such function for such arguments.
pub(crate) fn call(name: &str, arguments: &[Value], budget: &mut Budget) -> Option<Result> {
    let known = |name: &str| FORMATS.iter().copied().find(|known| *known == name);
    match (name, arguments) {
        ("format.named", [Value::String(wanted)]) => {
            let found = known(wanted).map(|name| Arc::new(Value::Format(name)));
            Some(Ok(Value::Optional(found)))
        }
        ("validate", [Value::Format(format), Value::String(text)]) => {
            Some(budget.walk(text.len() as u64 * 4).map(|()| {
                let problems = problems(format, text);
                let problems = problems.into_iter().map(Value::string).collect::<Vec<_>>();
                Value::Optional((!problems.is_empty()).then(|| Arc::new(Value::list(problems))))
            }))
        }
        (name, []) => known(name.strip_prefix("format.")?).map(|name| Ok(Value::Format(name))),
        _ => None,
    }
}

fn problems(format: &str, text: &str) -> Vec<String> {
    // A prefix may end with what a whole name may not: something follows (`maskTrailingDash`).
    let (base, text) = match format.strip_suffix("Prefix") {
        Some(base) if text.ends_with('-') && text.len() > 1 => {
            (base, format!("{}a", &text[..text.len() - 1]))
        }
        Some(base) => (base, text.to_owned()),
        None => (format, text.to_owned()),
    };
    let unless = |good: bool, problem: &str| if good { Vec::new() } else { vec![problem.to_owned()] };
    match base {
        "dns1123Label" => too_long(&text, 63).chain(unless(is_label(&text), LABEL_1123)).collect(),
        "dns1123Subdomain" => {
            too_long(&text, 253).chain(unless(text.split('.').all(is_label), SUBDOMAIN_1123)).collect()
        }
        "dns1035Label" => {
            let good = is_label(&text) && text.starts_with(|char: char| char.is_ascii_lowercase());
            too_long(&text, 63).chain(unless(good, LABEL_1035)).collect()
        }
        "labelValue" => {
            too_long(&text, 63).chain(unless(text.is_empty() || is_name(&text), LABEL_VALUE)).collect()
        }
        "qualifiedName" => qualified_name(&text),
        "uri" => unless(
            url::parse(&text).is_some(),
            &format!(
                "parse {text:?}: {}",
                if text.is_empty() { "empty url" } else { "invalid URI for request" }
            ),
        ),
        "uuid" => unless(is_uuid(&text), "does not match the UUID format"),
        "byte" => unless(base64::engine::general_purpose::STANDARD.decode(&text).is_ok(), "invalid base64"),
        "date" => unless(text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10, "invalid date"),
        _ => unless(time::parse_timestamp(&text).is_ok(), "invalid datetime"),
    }
}

fn too_long(text: &str, most: usize) -> impl Iterator<Item = String> + use<> {
    (text.len() > most).then(|| format!("must be no more than {most} characters")).into_iter()
}

fn is_label(text: &str) -> bool {
    let edge = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(|char| edge(char) || char == '-')
}

fn is_name(text: &str) -> bool {
    let edge = |char: char| char.is_ascii_alphanumeric();
    text.starts_with(edge)
        && text.ends_with(edge)
        && text.chars().all(|char| edge(char) || matches!(char, '-' | '_' | '.'))
}

fn qualified_name(text: &str) -> Vec<String> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let mut problems = Vec::new();
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            problems.push("prefix part must be non-empty".to_owned());
        } else if !prefix.split('.').all(is_label) {
            problems.push(format!("prefix part {SUBDOMAIN_1123}"));
        }
    }
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        problems.push("name part must be no more than 63 characters".to_owned());
    }
    if !is_name(name) {
        problems.push(QUALIFIED_NAME.to_owned());
    }
    problems
}

/// With dashes, or without any of them.
fn is_uuid(text: &str) -> bool {
    let bare: String = text.chars().filter(|char| *char != '-').collect();
    bare.len() == 32
        && bare.chars().all(|char| char.is_ascii_hexdigit())
        && text
            .char_indices()
            .all(|(at, char)| char != '-' || text.len() != 36 || matches!(at, 8 | 13 | 18 | 23))
}
