//! What came of a check.

use serde::Serialize;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckResult {
    /// What was looked at, in two or three words.
    pub check: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// The setting, link, chain, route or file.
    pub object: String,
    /// What is so, for a person.
    pub message: String,
    /// What to do; empty when there is nothing to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Not looked at, with the reason.
    Skipped,
    /// It may do harm; that cannot be said from here.
    Warning,
    /// Traffic of Pods is lost.
    Broken,
}

impl CheckResult {
    pub(crate) fn good(check: &'static str, object: impl Into<String>, message: impl Into<String>) -> Self {
        let (object, message) = (object.into(), message.into());
        Self { check, verdict: Verdict::Good, object, message, remedy: String::new() }
    }

    pub(crate) fn skipped(check: &'static str, object: impl Into<String>, why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skipped, ..Self::good(check, object, why) }
    }

    pub(crate) fn warning(
        check: &'static str,
        object: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Warning, ..Self::broken(check, object, message, remedy) }
    }

    pub(crate) fn broken(
        check: &'static str,
        object: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Broken, remedy: remedy.into(), ..Self::good(check, object, message) }
    }
}
