//! The part of kubectl's JSONPath that printer columns, scale and selectable fields use: fields, indices, filters by
//! equality, and wildcards.
//!
//! Source: client-go `util/jsonpath`, as `apiextensions` `pkg/registry/customresource/tableconvertor` calls it.

use serde_json::Value;

/// A compiled path.
#[derive(Clone, Debug)]
pub struct JsonPath {
    steps: Vec<Step>,
}

/// Why a text is no path of the supported form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PathError(String);

#[derive(Clone, Debug)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// `[?(@.type=="Ready")]`.
    Filter(Vec<String>, Compare, Value),
}

#[derive(Clone, Copy, Debug)]
enum Compare {
    Equal,
    NotEqual,
}

impl JsonPath {
    /// Reads a path such as `.status.conditions[?(@.type=="Ready")].status`.
    ///
    /// # Errors
    /// When it is of another form.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let text = text.trim();
        let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        let mut rest = inner.strip_prefix('$').unwrap_or(inner);
        let mut steps = Vec::new();
        if !rest.starts_with(['.', '[']) {
            return Err(PathError(format!("unrecognized path {text:?}: it must begin with a dot")));
        }
        while !rest.is_empty() {
            let (step, after) = step(rest).ok_or_else(|| PathError(format!("unrecognized path {text:?}")))?;
            steps.extend(step);
            rest = after;
        }
        Ok(Self { steps })
    }

    /// The fields, when the path is nothing but fields.
    pub fn fields(&self) -> Option<Vec<&str>> {
        self.steps
            .iter()
            .map(|step| match step {
                Step::Field(name) => Some(name.as_str()),
                _ => None,
            })
            .collect()
    }

    /// All values at the path.
    pub fn find<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![object];
        for step in &self.steps {
            found = found.into_iter().flat_map(|value| step.apply(value)).collect();
        }
        found
    }
}

/// The first step of a text and what is left; no step for the root itself.
fn step(text: &str) -> Option<(Option<Step>, &str)> {
    if let Some(after) = text.strip_prefix('.') {
        if after.is_empty() || after.starts_with('[') {
            return Some((None, after));
        }
        if let Some(after) = after.strip_prefix('*') {
            return Some((Some(Step::All), after));
        }
        let (name, after) = name(after)?;
        return Some((Some(Step::Field(name)), after));
    }
    let after = text.strip_prefix('[')?;
    if let Some(after) = after.strip_prefix("?(") {
        let (inner, after) = after.split_once(")]")?;
        return Some((Some(filter(inner)?), after));
    }
    if let Some(after) = after.strip_prefix("*]") {
        return Some((Some(Step::All), after));
    }
    if let Some(quote) = after.chars().next().filter(|first| matches!(first, '\'' | '"')) {
        let (name, after) = after[1..].split_once(quote)?;
        return Some((Some(Step::Field(name.replace("\\.", "."))), after.strip_prefix(']')?));
    }
    let (index, after) = after.split_once(']')?;
    match index.parse() {
        Ok(index) => Some((Some(Step::Index(index)), after)),
        Err(_) => None,
    }
}

/// A field's name up to the next dot or bracket; a backslash takes the meaning off a dot.
fn name(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => name.push(chars.next()?.1),
            '.' | '[' if name.is_empty() => return None,
            '.' | '[' => return Some((name, &text[at..])),
            '{' | '}' | ']' | '(' | ')' => return None,
            char => name.push(char),
        }
    }
    (!name.is_empty()).then_some((name, ""))
}

fn filter(text: &str) -> Option<Step> {
    let (left, compare, right) = match (text.split_once("=="), text.split_once("!=")) {
        (Some((left, right)), _) => (left, Compare::Equal, right),
        (None, Some((left, right))) => (left, Compare::NotEqual, right),
        (None, None) => return None,
    };
    let mut rest = left.trim().strip_prefix('@')?;
    let mut path = Vec::new();
    while !rest.is_empty() {
        match step(rest)? {
            (Some(Step::Field(name)), after) => {
                path.push(name);
                rest = after;
            }
            _ => return None,
        }
    }
    let right = right.trim();
    let quoted = right.strip_prefix('\'').and_then(|right| right.strip_suffix('\''));
    let value = match quoted {
        Some(text) => Value::from(text),
        None => serde_json::from_str(right).ok()?,
    };
    Some(Step::Filter(path, compare, value))
}

impl Step {
    fn apply<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match (self, value) {
            (Self::Field(name), Value::Object(map)) => map.get(name).into_iter().collect(),
            (Self::Index(index), Value::Array(items)) => {
                let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
                let place = if *index < 0 { count + index } else { *index };
                usize::try_from(place).ok().and_then(|place| items.get(place)).into_iter().collect()
            }
            (Self::All, Value::Array(items)) => items.iter().collect(),
            (Self::All, Value::Object(map)) => map.values().collect(),
            (Self::Filter(path, compare, wanted), Value::Array(items)) => {
                let read = |item: &'a Value| path.iter().try_fold(item, |value, name| value.get(name));
                let fits = |item: &&'a Value| match compare {
                    Compare::Equal => read(item) == Some(wanted),
                    Compare::NotEqual => read(item).is_some_and(|found| found != wanted),
                };
                items.iter().filter(fits).collect()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths() {
        let object = json!({
            "spec": {"a": [1, {"b": "x"}], "with.dot": 7},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
        });
        for (path, wanted) in [
            (".spec.a[0]", vec![json!(1)]),
            (".spec.a[-1].b", vec![json!("x")]),
            (".spec.a[*]", vec![json!(1), json!({"b": "x"})]),
            (".spec['with.dot']", vec![json!(7)]),
            (r".spec.with\.dot", vec![json!(7)]),
            (".status.conditions[?(@.type==\"Ready\")].status", vec![json!("True")]),
            (".status.conditions[?(@.type!='Ready')].status", vec![json!("False")]),
            (".missing.field", vec![]),
            ("{.spec.a[0]}", vec![json!(1)]),
        ] {
            let found: Vec<Value> =
                JsonPath::parse(path).unwrap().find(&object).into_iter().cloned().collect();
            assert_eq!(found, wanted, "{path}");
        }
        for bad in ["spec", "", ".a[", ".a[x]", ".a[?(@.b)]", ".a..b", ".a{"] {
            assert!(JsonPath::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(JsonPath::parse(".spec.replicas").unwrap().fields(), Some(vec!["spec", "replicas"]));
        assert_eq!(JsonPath::parse(".spec[0]").unwrap().fields(), None);
    }
}
