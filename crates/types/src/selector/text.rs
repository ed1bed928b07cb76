//! Label selectors as texts, as `kubectl --selector` and the API's lists have them (apimachinery, `pkg/labels`).

use crate::{LabelSelector, Operator, Requirement};

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelTerm {
    /// Label key.
    pub key: String,
    /// What its value has to be.
    pub test: LabelTest,
}

/// What a label's value has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelTest {
    /// `=` or `==`: this.
    Equal(String),
    /// `!=`: something else, or the label is not there.
    NotEqual(String),
    /// `in`: one of these.
    In(Vec<String>),
    /// `notin`: none of these, or the label is not there.
    NotIn(Vec<String>),
    /// The key alone: anything.
    Exists,
    /// `!` before the key: the label is not there.
    Absent,
    /// `>`: a larger number.
    Greater(i64),
    /// `<`: a smaller number.
    Less(i64),
}

impl LabelTerm {
    /// The terms of a text with commas between them; none in an empty one.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        split_terms(text).into_iter().map(|term| parse_term(term.trim())).collect()
    }

    /// Whether a label of this key with this value meets the condition; `None`: there is no such label.
    #[must_use]
    pub fn matches(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            LabelTest::Equal(wanted) => value == Some(wanted),
            LabelTest::NotEqual(other) => value != Some(other),
            LabelTest::In(values) => value.is_some_and(|value| values.iter().any(|listed| listed == value)),
            LabelTest::NotIn(values) => value.is_none_or(|value| values.iter().all(|listed| listed != value)),
            LabelTest::Exists => value.is_some(),
            LabelTest::Absent => value.is_none(),
            LabelTest::Greater(bound) => number().is_some_and(|value| value > *bound),
            LabelTest::Less(bound) => number().is_some_and(|value| value < *bound),
        }
    }
}

impl LabelSelector {
    /// From a text (apimachinery, `metav1.ParseToLabelSelector`): of two `=` for one key, the last counts.
    ///
    /// # Errors
    /// What is wrong with the text; `!=`, `>` and `<` are no operators of a [`LabelSelector`].
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: String| format!("couldn't parse the selector string \"{text}\": {why}");
        let mut requirements: Vec<Requirement> = Vec::new();
        let mut equal: Vec<Requirement> = Vec::new();
        for LabelTerm { key, test } in LabelTerm::parse_all(text).map_err(wrong)? {
            let (operator, values) = match test {
                LabelTest::Equal(value) => {
                    equal.retain(|earlier| earlier.key != key);
                    equal.push(Requirement { key, operator: Operator::In, values: vec![value] });
                    continue;
                }
                LabelTest::In(values) => (Operator::In, values),
                LabelTest::NotIn(values) => (Operator::NotIn, values),
                LabelTest::Exists => (Operator::Exists, Vec::new()),
                LabelTest::Absent => (Operator::DoesNotExist, Vec::new()),
                LabelTest::NotEqual(_) => {
                    return Err("\"!=\" is not a valid label selector operator".to_owned());
                }
                LabelTest::Greater(_) => return Err("\"gt\" isn't supported in label selectors".to_owned()),
                LabelTest::Less(_) => return Err("\"lt\" isn't supported in label selectors".to_owned()),
            };
            requirements.push(Requirement { key, operator, values });
        }
        equal.append(&mut requirements);
        Ok(Self { requirements: equal })
    }
}

/// Splits at commas outside parentheses.
fn split_terms(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let mut terms = Vec::new();
    let mut start = 0;
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                terms.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn parse_term(term: &str) -> Result<LabelTerm, String> {
    let mk = |key: &str, test| {
        let key = key.trim();
        if key.is_empty() || key.contains(|c: char| c.is_whitespace() || "()!=<>".contains(c)) {
            return Err(format!("\"{term}\": found '{key}', expected: a label key"));
        }
        Ok(LabelTerm { key: key.to_owned(), test })
    };
    if let Some(key) = term.strip_prefix('!') {
        return mk(key, LabelTest::Absent);
    }
    if let Some((key, value)) = term.split_once("!=") {
        return mk(key, LabelTest::NotEqual(plain_value(value)?));
    }
    if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return mk(key, LabelTest::Equal(plain_value(value)?));
    }
    if let Some((key, bound)) = term.split_once('>') {
        return mk(key, LabelTest::Greater(parse_bound(bound)?));
    }
    if let Some((key, bound)) = term.split_once('<') {
        return mk(key, LabelTest::Less(parse_bound(bound)?));
    }
    let Some((head, values)) = term.split_once('(') else { return mk(term, LabelTest::Exists) };
    let values = values.strip_suffix(')').ok_or_else(|| format!("\"{term}\": expected: ')'"))?;
    let values = values.split(',').map(plain_value).collect::<Result<Vec<_>, _>>()?;
    let mut words = head.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(key), Some("in"), None) => mk(key, LabelTest::In(values)),
        (Some(key), Some("notin"), None) => mk(key, LabelTest::NotIn(values)),
        _ => Err(format!("\"{term}\": expected: in, notin, =, ==, !=, >, <")),
    }
}

fn plain_value(text: &str) -> Result<String, String> {
    let value = text.trim();
    if value.contains(|c: char| c.is_whitespace() || "()!=<>,".contains(c)) {
        return Err(format!("found '{value}', expected: a label value"));
    }
    Ok(value.to_owned())
}

fn parse_bound(text: &str) -> Result<i64, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("\"{}\": for 'Gt', 'Lt' operators, the value must be an integer", text.trim()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::Labels;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_selector_is_read_as_people_write_it() {
        let web = labels(&[("app", "web"), ("tier", "front")]);
        for text in [
            "app=web",
            "app == web",
            "app in (db, web),tier",
            "tier notin (back), !gone",
            "app=db,app=web",
            "x notin (a)",
            "",
        ] {
            assert!(LabelSelector::parse(text).unwrap().matches(&web), "{text}");
        }
        for text in ["app=db", "app in (db)", "!app", "gone", "app=web,tier=back", "app=web,app=db"] {
            assert!(!LabelSelector::parse(text).unwrap().matches(&web), "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_in_the_words_of_the_api() {
        for (text, why) in [
            ("app!=web", "\"!=\" is not a valid label selector operator"),
            ("tier>2", "\"gt\" isn't supported in label selectors"),
            ("tier<2", "\"lt\" isn't supported in label selectors"),
            (
                "app in (web",
                "couldn't parse the selector string \"app in (web\": \"app in (web\": expected: ')'",
            ),
            ("a,,b", "couldn't parse the selector string \"a,,b\": \"\": found '', expected: a label key"),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap_err(), why);
        }
    }
}
