//! Label and field selectors as texts of a query, and whether an object matches them.

use serde_json::Value;
use types::LabelTerm;

use crate::stored::Stored;
use engine_kinds::{FieldValue, Kind, Status};

/// Both selectors of a list or watch; empty matches everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selectors {
    labels: Vec<LabelTerm>,
    fields: Vec<FieldTerm>,
}

/// One condition on a field.
#[derive(Clone, Debug)]
struct FieldTerm {
    value_of: FieldValue,
    value: String,
    equal: bool,
}

impl Selectors {
    /// Reads both texts.
    pub(crate) fn parse(kind: &Kind, labels: Option<&str>, fields: Option<&str>) -> Result<Self, Status> {
        Ok(Self {
            labels: LabelTerm::parse_all(labels.unwrap_or_default())
                .map_err(|why| Status::bad_request(format!("unable to parse requirement: {why}")))?,
            fields: parse_fields(kind, fields.unwrap_or_default())?,
        })
    }

    /// Whether everything matches.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether the object matches; reads no more of its text than the terms ask for.
    pub(crate) fn matches(&self, object: &Stored) -> bool {
        self.labels_match(object) && self.fields_match(object)
    }

    fn labels_match(&self, object: &Stored) -> bool {
        if self.labels.is_empty() {
            return true;
        }
        let labels = object.labels();
        let value = |key: &str| labels.as_ref().and_then(|labels| labels.get(key)).and_then(Value::as_str);
        self.labels.iter().all(|term| term.matches(value(&term.key)))
    }

    fn fields_match(&self, object: &Stored) -> bool {
        if self.fields.is_empty() {
            return true;
        }
        if self
            .fields
            .iter()
            .any(|term| term.equal && is_telling(&term.value) && !object.text().contains(&term.value))
        {
            return false;
        }
        let object = object.untyped();
        self.fields.iter().all(|term| (term.value_of.of(&object) == term.value) == term.equal)
    }
}

/// Whether a field can only have this value where the object's text holds it: no default, nothing that is escaped.
fn is_telling(value: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    value.contains(|letter: char| letter.is_ascii_alphabetic())
        && value.chars().all(plain)
        && !["true", "false"].contains(&value)
}

fn parse_fields(kind: &Kind, text: &str) -> Result<Vec<FieldTerm>, Status> {
    split_unescaped(text)
        .into_iter()
        .map(str::trim)
        .filter(|term| !term.is_empty())
        .map(|term| parse_field_term(kind, term))
        .collect()
}

/// Splits at commas that no backslash stands before (upstream: `fields.splitTerms`).
fn split_unescaped(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (index, character) in text.char_indices() {
        if character == ',' && !escaped {
            terms.push(&text[start..index]);
            start = index + 1;
        }
        escaped = character == '\\' && !escaped;
    }
    terms.push(&text[start..]);
    terms
}

fn parse_field_term(kind: &Kind, term: &str) -> Result<FieldTerm, Status> {
    let (label, value, equal) = if let Some((label, value)) = term.split_once("!=") {
        (label, value, false)
    } else if let Some((label, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        (label, value, true)
    } else {
        return Err(Status::bad_request(format!(
            "invalid field selector: '{term}'; can't understand '{term}'"
        )));
    };
    let value_of = field_value(kind, label)?;
    Ok(FieldTerm { value_of, value: unescape(value)?, equal })
}

/// Values escape `\`, `,` and `=` with a backslash, and nothing else (upstream: `fields.UnescapeValue`).
fn unescape(value: &str) -> Result<String, Status> {
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match (character, characters.as_str().chars().next()) {
            ('\\', Some(escaped @ ('\\' | ',' | '='))) => {
                text.push(escaped);
                characters.next();
            }
            ('\\', next) => {
                let next = next.map(String::from).unwrap_or_default();
                let why = format!("invalid field selector: invalid escape sequence: \\{next}");
                return Err(Status::bad_request(why));
            }
            (',' | '=', _) => {
                let why = format!("invalid field selector: unescaped character in value: {character}");
                return Err(Status::bad_request(why));
            }
            _ => text.push(character),
        }
    }
    Ok(text)
}

fn field_value(kind: &Kind, label: &str) -> Result<FieldValue, Status> {
    if let Some(value) = kind.selectable(label) {
        return Ok(value);
    }
    Err(Status::bad_request(if !kind.has_selectable_fields() {
        format!("\"{label}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
    } else {
        format!("field label not supported: {label}")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;
    use serde_json::json;

    fn kind(plural: &str) -> Kind {
        let registry = Registry::new();
        Kind::clone(registry.kind(registry.built_in("", plural)))
    }

    fn matches(labels: &str, object: &Value) -> bool {
        Selectors::parse(&kind("pods"), Some(labels), None).unwrap().matches(&Stored::new(object))
    }

    #[test]
    fn label_forms() {
        let pod = json!({"metadata": {"labels": {"app": "web", "tier": "2"}}});
        for good in [
            "app=web",
            "app == web",
            "app!=db",
            "other!=x",
            "app in (db, web)",
            "app notin (db)",
            "x notin (a)",
            "app",
            "!other",
            "tier>1",
            "tier<3",
            "app=web,tier=2",
            "",
        ] {
            assert!(matches(good, &pod), "{good}");
        }
        for bad in
            ["app=db", "app!=web", "!app", "other", "tier>2", "app in (db)", "app=web,tier=3", "other=x"]
        {
            assert!(!matches(bad, &pod), "{bad}");
        }
    }

    #[test]
    fn broken_label_selectors_are_400() {
        let kind = kind("pods");
        for bad in ["app in (a", "a b", "x>y", "=x", "a,,b"] {
            assert_eq!(Selectors::parse(&kind, Some(bad), None).unwrap_err().code, 400, "{bad}");
        }
    }

    #[test]
    fn fields_are_known_per_kind() {
        let pods = kind("pods");
        let pod =
            json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}});
        let selectors =
            Selectors::parse(&pods, None, Some("spec.nodeName=n,status.phase!=Failed,metadata.name==p"))
                .unwrap();
        assert!(selectors.matches(&Stored::new(&pod)));
        let odd = Stored::new(&json!({"metadata": {"name": "a,b=c\\d"}}));
        assert!(Selectors::parse(&pods, None, Some(r"metadata.name=a\,b\=c\\d")).unwrap().matches(&odd));
        for bad in [r"metadata.name=a\b", "metadata.name=a=b", r"metadata.name=a\"] {
            assert_eq!(Selectors::parse(&pods, None, Some(bad)).unwrap_err().code, 400, "{bad}");
        }
        let error = Selectors::parse(&pods, None, Some("spec.foo=1")).unwrap_err();
        assert_eq!(error.message, "field label not supported: spec.foo");
        let maps = kind("configmaps");
        let error = Selectors::parse(&maps, None, Some("data=1")).unwrap_err();
        assert!(error.message.contains("is not a known field selector"), "{}", error.message);
    }
}
