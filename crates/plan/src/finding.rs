//! Something in the input that could not be honoured.

use std::fmt;

use serde::Serialize;
use types::{ObjectRef, SharedMap};

/// Something in the input we could not honour, with its object and reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// The object at fault.
    pub object: ObjectRef,
    /// The field at fault, such as `spec.rules[0].host`; empty when it is the whole object.
    pub field: String,
    /// One CamelCase word, the reason of the Event about it.
    pub reason: &'static str,
    /// What is wrong and what to do, for a person; one sentence without a full stop.
    pub message: String,
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Severity {
    /// What the object asks for does not happen.
    Error,
    /// It happens, but likely not as meant.
    Warning,
}

/// Findings, each once, however many ask for it; cheap to copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingSet(SharedMap<Finding, usize>);

impl FindingSet {
    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.keys()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is among them.
    #[must_use]
    pub fn contains(&self, finding: &Finding) -> bool {
        self.0.contains_key(finding)
    }

    /// Adds a finding, or one more who asks for it.
    pub fn add(&mut self, finding: Finding) {
        match self.0.get_mut(&finding) {
            Some(count) => *count += 1,
            None => drop(self.0.insert(finding, 1)),
        }
    }

    /// Removes it with the last who asked for it.
    pub fn remove(&mut self, finding: &Finding) {
        match self.0.get_mut(finding) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.0.remove(finding)),
        }
    }
}

impl FromIterator<Finding> for FindingSet {
    fn from_iter<I: IntoIterator<Item = Finding>>(findings: I) -> Self {
        let mut set = Self::default();
        findings.into_iter().for_each(|finding| set.add(finding));
        set
    }
}

impl Serialize for FindingSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl Finding {
    /// The message, led by the field where there is one: what its Event and its condition say.
    #[must_use]
    pub fn text(&self) -> String {
        match self.field.as_str() {
            "" => self.message.clone(),
            field => format!("{field}: {}", self.message),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = if self.field.is_empty() { String::new() } else { format!(" {}", self.field) };
        write!(f, "{}{field}: {} ({})", self.object, self.message, self.reason)
    }
}
