//! What can go wrong, with the codes of the CNI specification.

use apply_netlink::NetlinkError;
use engine_ipam::IpamError;
use netns::NetnsError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CniError {
    /// The configuration is of a version that we, or that version, cannot serve.
    #[error("cniVersion `{asked}` is not supported for {command}; supported are {supported}")]
    Version {
        /// What was asked.
        asked: String,
        /// The command.
        command: &'static str,
        /// What can be asked.
        supported: String,
    },
    /// A field of the configuration has a meaning that we do not serve.
    #[error("field `{field}` is not supported: {reason}")]
    UnsupportedField {
        /// The field.
        field: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// The container's network namespace does not exist.
    #[error("container is unknown: its network namespace {netns} cannot be opened")]
    UnknownContainer {
        /// `CNI_NETNS`.
        netns: String,
        /// Why.
        source: NetnsError,
    },
    /// Environment variables are missing or malformed.
    #[error("environment variables are missing or invalid: {}", problems.join(", "))]
    Environment {
        /// Each variable and what is wrong with it.
        problems: Vec<String>,
    },
    /// A file could not be read or written.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// Something is not the JSON it should be.
    #[error("cannot decode {what}")]
    Decode {
        /// What.
        what: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The configuration is understood and makes no sense.
    #[error("network configuration is invalid: {reason}")]
    Config {
        /// Why, with the field.
        reason: String,
    },
    /// Something is not there yet; the same call may succeed later.
    #[error("try again later: {reason}")]
    TryLater {
        /// What is missing.
        reason: String,
    },
    /// ADD cannot be served now.
    #[error("ADD cannot be served: {reason}")]
    NotAvailable {
        /// Why.
        reason: String,
    },
    /// ADD was called twice.
    #[error("container {container_id} has {ifname} already; DEL comes before another ADD")]
    AlreadyAttached {
        /// `CNI_CONTAINERID`.
        container_id: String,
        /// `CNI_IFNAME`.
        ifname: String,
    },
    /// The kernel's network could not be read or changed.
    #[error("cannot {what}")]
    Network {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: NetlinkError,
    },
    /// There is no address to give.
    #[error("cannot allocate an address")]
    Address(#[from] IpamError),
    /// Every address is in use or rests.
    #[error(
        "no address is free in {range}: {in_use} are in use, {resting} were another Pod's until just now and rest for a \
         while (quarantineSeconds)"
    )]
    Exhausted {
        /// First and last address.
        range: String,
        /// How many are in use.
        in_use: usize,
        /// How many will be free by themselves.
        resting: usize,
    },
    /// The plugin before us gave out an address that we gave to another.
    #[error("the address in prevResult belongs to {ifname} of container {container_id}, whose link is ours")]
    AddressTaken {
        /// `CNI_CONTAINERID`.
        container_id: String,
        /// `CNI_IFNAME`.
        ifname: String,
    },
    /// A port of the node belongs to somebody else.
    #[error("{reason}")]
    PortTaken {
        /// The field, and who has the port.
        reason: String,
    },
    /// CHECK found that something is not as ADD left it.
    #[error("attachment is damaged: {}", missing.join("; "))]
    Damaged {
        /// Everything that is missing or wrong.
        missing: Vec<String>,
    },
    /// GC did what it could, which was not all.
    #[error("some of what is no longer valid could not be removed: {}", failures.join("; "))]
    Garbage {
        /// What, and why.
        failures: Vec<String>,
    },
}

impl CniError {
    /// The code in the answer: below 100 as in the CNI specification, section "Error", from 100 on ours.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::Version { .. } => 1,
            Self::UnsupportedField { .. } => 2,
            Self::UnknownContainer { .. } => 3,
            Self::Environment { .. } => 4,
            Self::Io { .. } => 5,
            Self::Decode { .. } => 6,
            Self::Config { .. } => 7,
            // What rests will be free soon.
            Self::TryLater { .. } | Self::Exhausted { resting: 1.., .. } => 11,
            Self::NotAvailable { .. } => 50,
            Self::AlreadyAttached { .. } => 100,
            Self::Network { .. } => 101,
            Self::Address(_) | Self::Exhausted { resting: 0, .. } | Self::AddressTaken { .. } => 102,
            Self::Damaged { .. } => 103,
            Self::Garbage { .. } => 104,
            Self::PortTaken { .. } => 105,
        }
    }

    /// Every cause below the error itself.
    #[must_use]
    pub fn details(&self) -> String {
        let mut causes = Vec::new();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        causes.join(": ")
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
