//! What policies say of a write.

/// The first policy and binding that forbid a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The policy.
    pub policy: String,
    /// The binding.
    pub binding: String,
    /// The policy's message.
    pub message: String,
    /// Reason of the answer, such as `Invalid`.
    pub reason: &'static str,
}

/// What all policies together say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Why the write may not be.
    pub denial: Option<Denial>,
    /// What its author is told.
    pub warnings: Vec<String>,
}

impl Denial {
    /// The API's text (upstream: `validating.dispatcher`).
    #[must_use]
    pub fn text(&self) -> String {
        let Self { policy, binding, message, .. } = self;
        format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {message}")
    }

    /// The status code that goes with the reason (upstream: `reasonToCode`).
    #[must_use]
    pub fn code(&self) -> u16 {
        match self.reason {
            "Unauthorized" => 401,
            "Forbidden" => 403,
            "RequestEntityTooLarge" => 413,
            _ => 422,
        }
    }
}
