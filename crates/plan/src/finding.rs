//! Something in the input that could not be honoured.

use std::fmt;

use serde::Serialize;
use types::ObjectRef;

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
