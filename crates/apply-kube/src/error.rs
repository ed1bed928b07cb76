//! What the Kubernetes API answered when it did not do what was asked, in the classes that callers tell apart.

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object, or the namespace it should be in, does not exist.
    #[error("not found: {message}")]
    NotFound {
        /// The server's message.
        message: String,
    },
    /// An object of that name exists.
    #[error("already exists: {message}")]
    AlreadyExists {
        /// The server's message.
        message: String,
    },
    /// The object changed since it was read, or another field manager owns a field; read again and retry.
    #[error("conflict: {message}")]
    Conflict {
        /// The server's message.
        message: String,
    },
    /// The server finds the object invalid (400 or 422).
    #[error("invalid: {message}")]
    Invalid {
        /// The server's message, with the field paths.
        message: String,
    },
    /// Credentials missing or not sufficient (401 or 403).
    #[error("forbidden: {message}")]
    Forbidden {
        /// The server's message.
        message: String,
    },
    /// No answer: the server is away, or the connection broke.
    #[error("the Kubernetes API cannot be reached")]
    Unreachable(#[source] Box<kube::Error>),
    /// Any other answer.
    #[error("the Kubernetes API answered {code}: {message}")]
    Refused {
        /// HTTP status.
        code: u16,
        /// The server's message.
        message: String,
    },
    /// A kind that is not in the table of known kinds.
    #[error("kind `{kind}` of `{api_version}` is not known to this program")]
    UnknownKind {
        /// `apiVersion`.
        api_version: String,
        /// `kind`.
        kind: String,
    },
    /// The object to write lacks what every object has.
    #[error("object has no `{field}`")]
    Incomplete {
        /// The field.
        field: &'static str,
    },
    /// The command's connection broke before its exit status came.
    #[error("the connection of a command broke: {reason}")]
    Exec {
        /// What broke.
        reason: String,
    },
}

impl Error {
    /// Whether the same request may succeed later without a change to it.
    #[must_use]
    pub fn is_worth_retrying(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Conflict { .. } => true,
            Self::Refused { code, .. } => *code == 429 || *code >= 500,
            _ => false,
        }
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => from_status(&status),
            // The request itself could not be built; no retry can help.
            kube::Error::BuildRequest(error) => Self::Invalid { message: error.to_string() },
            other => Self::Unreachable(Box::new(other)),
        }
    }
}

fn from_status(status: &kube::core::Status) -> Error {
    let message = if status.message.is_empty() { status.reason.clone() } else { status.message.clone() };
    match (status.code, status.reason.as_str()) {
        (404, _) => Error::NotFound { message },
        (409, "AlreadyExists") => Error::AlreadyExists { message },
        (409, _) => Error::Conflict { message },
        (400 | 422, _) => Error::Invalid { message },
        (401 | 403, _) => Error::Forbidden { message },
        (code, _) => Error::Refused { code, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_error(code: u16, reason: &str) -> Error {
        kube::Error::Api(kube::core::Status::failure("text", reason).with_code(code).boxed()).into()
    }

    #[test]
    fn answers_fall_into_classes() {
        assert!(matches!(mk_error(404, "NotFound"), Error::NotFound { .. }));
        assert!(matches!(mk_error(409, "AlreadyExists"), Error::AlreadyExists { .. }));
        assert!(matches!(mk_error(409, "Conflict"), Error::Conflict { .. }));
        assert!(matches!(mk_error(422, "Invalid"), Error::Invalid { .. }));
        assert!(matches!(mk_error(403, "Forbidden"), Error::Forbidden { .. }));
        assert!(mk_error(503, "ServiceUnavailable").is_worth_retrying());
        assert!(!mk_error(422, "Invalid").is_worth_retrying());
    }
}
