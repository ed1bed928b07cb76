//! What an apply did, and what it could not.

use serde::Serialize;

/// Result of one converge step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Changes written; 0 when the world already was as planned.
    pub written: usize,
    /// What failed and stays due.
    pub failures: Vec<Failure>,
}

/// One thing that could not be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// What, such as `route 10.244.1.0/24`.
    pub what: String,
    /// Why, with every cause.
    pub why: String,
}

impl Report {
    /// Both reports in one.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.written += other.written;
        self.failures.extend(other.failures);
        self
    }
}
