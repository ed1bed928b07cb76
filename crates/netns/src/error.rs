//! What can go wrong with namespaces.

use std::io;

/// Why a namespace could not be made or entered.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// A system call failed.
    #[error("cannot {step}")]
    Step {
        /// What was tried, such as `open network namespace /run/netns/a`.
        step: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel or a security module does not let this user make namespaces.
    #[error("namespaces are not allowed here: {hint}")]
    NotAllowed {
        /// What to change.
        hint: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Only a process with one thread can change its user namespace.
    #[error("this process has {threads} threads; namespaces must be entered before the first thread starts")]
    Threads {
        /// How many threads there are.
        threads: usize,
    },
}

impl NetnsError {
    pub(crate) fn step(step: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Step { step: step.into(), source: source.into() }
    }
}
