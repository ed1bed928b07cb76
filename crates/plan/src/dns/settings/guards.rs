//! Which questions a server block does not look up, and which it writes down.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;

use serde::Serialize;
use types::Prefix;

/// Rules for some zones, of which the first that is for a question decides (CoreDNS, plugin acl).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsAccess {
    /// Where this is said.
    pub at: String,
    /// The zones.
    pub zones: BTreeSet<String>,
    /// The rules, in order; a question that none is for is asked of the next [`DnsAccess`].
    pub rules: Vec<AccessRule>,
}

/// What is done with some questions of some clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessRule {
    /// Where this is said.
    pub at: String,
    /// What is done.
    pub action: AccessAction,
    /// Types of questions; empty: all.
    pub kinds: BTreeSet<u16>,
    /// Where clients are; empty: anywhere.
    pub clients: BTreeSet<Prefix>,
}

/// What is done with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum AccessAction {
    /// It is looked up.
    Allow,
    /// REFUSED.
    Block,
    /// An answer without records.
    Filter,
    /// Nothing is said.
    Drop,
}

/// Names that nobody gets an address for. Ours: CoreDNS has no such plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsBlocklist {
    /// Where this is said.
    pub at: String,
    /// Names, lower case and without final dot; what is below one is blocked as well.
    pub names: BTreeSet<String>,
    /// What is answered.
    pub answer: BlockedAnswer,
}

/// What a blocked name answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum BlockedAnswer {
    /// It does not exist.
    #[default]
    NxDomain,
    /// These addresses, such as `0.0.0.0` and `::`; nothing of another type.
    Addresses(BTreeSet<IpAddr>),
}

/// Which queries are written to the log (CoreDNS, plugin log).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsLog {
    /// Names of these zones.
    pub zones: BTreeSet<String>,
    /// Answers of these kinds; empty: all.
    pub classes: BTreeSet<LogClass>,
    /// One in so many of these queries is written, drawn at random. Ours: CoreDNS writes all.
    pub one_in: NonZeroU32,
}

/// A kind of answers (CoreDNS, plugin log, `class`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LogClass {
    /// With records.
    Success,
    /// NXDOMAIN, or no record of the type.
    Denial,
    /// Anything else.
    Error,
}
