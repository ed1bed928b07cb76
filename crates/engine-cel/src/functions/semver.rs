//! Semantic versions (apiserver: `pkg/cel/library/semverlib.go`; <https://semver.org>).

use std::cmp::Ordering;

use std::sync::Arc;

use crate::eval::Budget;
use crate::functions::Result;
use crate::value::{Error, Value};

/// A semantic version. Build data does not count in comparisons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    numbers: [u64; 3],
    pre: Vec<String>,
}

impl Version {
    fn parse(text: &str, normalize: bool) -> Option<Self> {
        let normal = if normalize { normalized(text) } else { text.to_owned() };
        let (rest, build) = normal.split_once('+').map_or((normal.as_str(), None), |(a, b)| (a, Some(b)));
        let (core, pre) = rest.split_once('-').map_or((rest, None), |(core, pre)| (core, Some(pre)));
        let is_word = |word: &str| {
            !word.is_empty() && word.chars().all(|char| char.is_ascii_alphanumeric() || char == '-')
        };
        let is_number = |word: &str| word.chars().all(|char| char.is_ascii_digit());
        let has_zero = |word: &str| word.len() > 1 && word.starts_with('0');
        let parts: Vec<&str> = core.split('.').collect();
        let [major, minor, patch] = parts[..] else { return None };
        let number = |part: &str| -> Option<u64> {
            (is_number(part) && !has_zero(part)).then(|| part.parse().ok()).flatten()
        };
        let pre: Vec<String> = pre.into_iter().flat_map(|pre| pre.split('.')).map(str::to_owned).collect();
        let good = pre.iter().all(|word| is_word(word) && !(is_number(word) && has_zero(word)))
            && build.into_iter().flat_map(|build| build.split('.')).all(is_word);
        good.then_some(())?;
        Some(Self { numbers: [number(major)?, number(minor)?, number(patch)?], pre })
    }

    /// Order of two versions.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        let pre = || match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let words = self.pre.iter().zip(&other.pre);
                let differing = words.map(|(a, b)| compare_words(a, b)).find(|order| order.is_ne());
                differing.unwrap_or_else(|| self.pre.len().cmp(&other.pre.len()))
            }
        };
        self.numbers.cmp(&other.numbers).then_with(pre)
    }
}

/// Numbers are before words and compare by value.
fn compare_words(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

/// Without `v`, with all three numbers, without leading zeros.
fn normalized(text: &str) -> String {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (core, rest) = text.split_at(end);
    let mut parts: Vec<String> = core
        .split('.')
        .map(|part| {
            let trimmed = part.trim_start_matches('0');
            if trimmed.is_empty() && !part.is_empty() { "0".to_owned() } else { trimmed.to_owned() }
        })
        .collect();
    while parts.len() < 3 {
        parts.push("0".to_owned());
    }
    format!("{}{rest}", parts.join("."))
}

/// `None` when the library has no such function for such arguments.
pub(crate) fn call(name: &str, arguments: &[Value], budget: &mut Budget) -> Option<Result> {
    let (text, normalize) = match arguments {
        [Value::String(text)] => (text, false),
        [Value::String(text), Value::Bool(normalize)] => (text, *normalize),
        [Value::Semver(version)] => return of_version(name, version),
        [Value::Semver(left), Value::Semver(right)] => return with_version(name, left.compare(right)),
        _ => return None,
    };
    if !matches!(name, "semver" | "isSemver") {
        return None;
    }
    let parsed = budget.walk(text.len() as u64).map(|()| Version::parse(text, normalize));
    Some(parsed.and_then(|version| match (name, version) {
        ("isSemver", version) => Ok(Value::Bool(version.is_some())),
        (_, Some(version)) => Ok(Value::Semver(Arc::new(version))),
        (_, None) => Err(Error::other(format!("invalid semantic version {text:?}"))),
    }))
}

fn of_version(name: &str, version: &Version) -> Option<Result> {
    let place = ["major", "minor", "patch"].iter().position(|part| *part == name)?;
    Some(i64::try_from(version.numbers[place]).map(Value::Int).map_err(|_| Error::other("integer overflow")))
}

fn with_version(name: &str, order: Ordering) -> Option<Result> {
    Some(Ok(match name {
        "isLessThan" => Value::Bool(order == Ordering::Less),
        "isGreaterThan" => Value::Bool(order == Ordering::Greater),
        "compareTo" => Value::Int(order as i64),
        _ => return None,
    }))
}
