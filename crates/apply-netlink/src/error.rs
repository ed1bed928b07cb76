//! What can go wrong with the kernel's network configuration.

use std::{fmt, io};

use netns::NetnsError;

/// Why something could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The kernel said no.
    #[error("cannot {what}")]
    Refused {
        /// What was tried, such as `add route 10.244.1.0/24`.
        what: String,
        /// Its answer.
        source: Refusal,
    },
    /// The socket itself failed.
    #[error("cannot talk to the kernel over netlink")]
    Socket(#[source] io::Error),
    /// A file under `/proc/sys` could not be read or written.
    #[error("cannot set {name} to {value}")]
    Sysctl {
        /// The setting, such as `net/ipv4/ip_forward`.
        name: String,
        /// The wanted value.
        value: String,
        /// Why.
        source: io::Error,
    },
    /// There is no such link.
    #[error("link {name} does not exist")]
    NoLink {
        /// Its name.
        name: String,
    },
    /// A link of this name is there and is not ours to change.
    #[error("link {name} exists already and is not ours: {reason}")]
    ForeignLink {
        /// Its name.
        name: String,
        /// How one sees it.
        reason: String,
    },
    /// A network namespace could not be entered.
    #[error("cannot reach the network namespace")]
    Netns(#[from] NetnsError),
    /// The plan asks for something that cannot be written.
    #[error("{0}")]
    Unsupported(String),
}

/// The kernel's answer when it refuses.
#[derive(Debug)]
pub struct Refusal {
    /// `errno`.
    pub code: i32,
    /// Its own words, when it gave any (extended acknowledgement).
    pub detail: Option<String>,
}

impl Refusal {
    pub(crate) fn is(&self, code: i32) -> bool {
        self.code == code
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", io::Error::from_raw_os_error(self.code))?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

impl std::error::Error for Refusal {}

impl NetlinkError {
    /// Whether the kernel's answer was this `errno`.
    #[must_use]
    pub fn is_refusal(&self, code: i32) -> bool {
        matches!(self, Self::Refused { source, .. } if source.is(code))
    }
}

/// Takes an answer that means that the wish was fulfilled before as success.
pub(crate) fn unless(result: Result<(), NetlinkError>, codes: &[i32]) -> Result<(), NetlinkError> {
    match result {
        Err(error) if codes.iter().any(|code| error.is_refusal(*code)) => Ok(()),
        result => result,
    }
}
