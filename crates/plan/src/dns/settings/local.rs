//! What a server block answers by itself: the cluster's objects, hosts entries, templates; and names that it rewrites.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;
use types::LabelSelector;

/// The cluster's names in a server block (CoreDNS, plugin kubernetes).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsKubernetes {
    /// Where this is said, such as `Corefile:4`; empty where nobody said it.
    pub at: String,
    /// Zones that cluster names end in, lower case and without final dot, the first of them the one that answers name. Empty:
    /// the cluster domain.
    pub zones: Vec<String>,
    /// Which reverse names nothing but the cluster's objects answers.
    pub reverse: ReverseZones,
    /// Names of Pods.
    pub pods: PodNames,
    /// Time to live of answers, in seconds.
    pub ttl_seconds: u32,
    /// Whether an endpoint without hostname is called by its Pod's name instead of its address
    /// (`endpoint_pod_names`).
    pub endpoint_pod_names: bool,
    /// Whether headless Services have names that mean their endpoints in one topology zone (`zonal`).
    pub zonal: bool,
    /// Which Namespaces' names there are.
    pub namespaces: ExposedNamespaces,
    /// Labels without which a Service, an EndpointSlice or a Pod is as if it were not there (`labels`).
    pub labels: Option<LabelSelector>,
    /// Whether there are names of endpoints, and so of headless Services; not with `noendpoints`.
    pub endpoint_names: bool,
    /// Whether a Service with a cluster address and without ready endpoint has no name (`ignore empty_service`).
    pub ignore_empty: bool,
    /// Which names that do not exist here are looked for further on.
    pub fallthrough: Fallthrough,
}

/// The Namespaces whose names a server block answers (CoreDNS, plugin kubernetes, `namespaceExposed`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ExposedNamespaces {
    /// All.
    #[default]
    All,
    /// These (`namespaces`); reverse names lead to no others.
    Named(BTreeSet<String>),
    /// Those with matching labels (`namespace_labels`); reverse names lead to all.
    Labelled {
        /// The labels.
        selector: LabelSelector,
        /// The Namespaces that have them.
        matching: BTreeSet<String>,
    },
}

/// Which reverse names belong to the cluster alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ReverseZones {
    /// Those of [`crate::DnsPlan::reverse_ranges`].
    Ranges,
    /// Those in these zones, such as `in-addr.arpa`.
    Zones(BTreeSet<String>),
}

/// Which Pods have names (CoreDNS, plugin kubernetes, `pods`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PodNames {
    /// None.
    Disabled,
    /// Every address of an existing Namespace, whether a Pod has it or not.
    Insecure,
    /// Those that exist.
    #[default]
    Verified,
}

/// Which names a plugin hands on that it does not know (CoreDNS, `fallthrough`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fallthrough {
    /// None.
    #[default]
    Never,
    /// All.
    All,
    /// Those in these zones.
    Zones(BTreeSet<String>),
}

/// Names and addresses as in a hosts file (CoreDNS, plugin hosts).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsHosts {
    /// Where this is said.
    pub at: String,
    /// Zones whose names are answered; addresses are answered in any.
    pub zones: BTreeSet<String>,
    /// Names, lower case and without final dot, and their addresses in the order of the entries.
    pub names: BTreeMap<String, Vec<IpAddr>>,
    /// The names of an address, in the order of the entries; empty with `no_reverse`.
    pub addresses: BTreeMap<IpAddr, Vec<String>>,
    /// Time to live of answers, in seconds.
    pub ttl_seconds: u32,
    /// Which names without entry are looked for further on; the others are SERVFAIL, as CoreDNS has it.
    pub fallthrough: Fallthrough,
}

/// Answers made of a question's parts (CoreDNS, plugin template).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsTemplate {
    /// Where this is said.
    pub at: String,
    /// Zones of the names that it is for.
    pub zones: BTreeSet<String>,
    /// The type of the questions that it is for; `None`: every type.
    pub kind: Option<u16>,
    /// Regular expressions, of which a name has to match one.
    pub patterns: Vec<String>,
    /// Records of the answer section, as lines of a zone file.
    pub answer: Vec<TemplateText>,
    /// Records of the authority section.
    pub authority: Vec<TemplateText>,
    /// Records of the additional section.
    pub additional: Vec<TemplateText>,
    /// The response code.
    pub rcode: u8,
    /// An extended error (RFC 8914) of every answer.
    pub extended_error: Option<(u16, String)>,
    /// Which names that match none of the patterns are looked for further on; the others are SERVFAIL.
    pub fallthrough: Fallthrough,
}

/// A text with places to be filled in.
pub type TemplateText = Vec<TemplatePart>;

/// A piece of a [`TemplateText`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TemplatePart {
    /// Literally this.
    Text(String),
    /// `{{ .Name }}`, with final dot.
    Name,
    /// `{{ .Type }}`.
    Type,
    /// `{{ .Class }}`.
    Class,
    /// `{{ .Zone }}`, with final dot.
    Zone,
    /// `{{ .Group.name }}`, or by number `{{ index .Match 1 }}`.
    Group(String),
}

/// One rule that changes questions, or their answers (CoreDNS, plugin rewrite).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsRewrite {
    /// Where this is said.
    pub at: String,
    /// Whether the rules after this one are looked at as well when this one is used.
    pub then: RewriteThen,
    /// What is changed.
    pub rule: RewriteRule,
}

/// What follows a rule that was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RewriteThen {
    /// Nothing.
    #[default]
    Stop,
    /// The next rule.
    Continue,
}

/// What a [`DnsRewrite`] changes. Names are lower case and with their final dot where the rule means one, as CoreDNS compares
/// them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RewriteRule {
    /// The question's name.
    Name {
        /// Names that are changed.
        matcher: NameMatcher,
        /// What takes the place of what was matched; `{1}` is the first group of a regular expression.
        replacement: String,
        /// Whether the change is undone in names and values of answers (`answer auto`).
        auto: bool,
        /// Further changes of answers.
        answers: Vec<AnswerRewrite>,
    },
    /// The question's type.
    Type {
        /// Of this type...
        from: u16,
        /// ...it becomes this.
        to: u16,
    },
    /// Times to live of answers to names that match are brought into this range.
    Ttl {
        /// Names it is for.
        matcher: NameMatcher,
        /// At least so many seconds.
        min: u32,
        /// At most so many.
        max: u32,
    },
    /// The response code of answers to names that match.
    Rcode {
        /// Names it is for.
        matcher: NameMatcher,
        /// This code...
        from: u8,
        /// ...becomes this.
        to: u8,
    },
    /// An EDNS option of what upstream servers are asked.
    Option {
        /// Its code (IANA, "DNS EDNS0 Option Codes").
        code: u16,
        /// What becomes of it.
        change: OptionChange,
    },
}

/// What becomes of an EDNS option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OptionChange {
    /// It has this, whether it was there or not.
    Set(OptionData),
    /// There is one more with this; data of the question is added only where there is no such option yet.
    Append(OptionData),
    /// It is not there.
    Unset,
}

/// What an EDNS option says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OptionData {
    /// Literally this.
    Bytes(Vec<u8>),
    /// `{qname}`, with final dot.
    Name,
    /// `{qtype}`, its number.
    Type,
    /// `{client_ip}`, four bytes or sixteen.
    Client,
    /// `{protocol}`, `udp` or `tcp`.
    Protocol,
    /// The client's network, so long in bits (RFC 7871).
    Subnet {
        /// Of a client with an IPv4 address.
        ipv4: u8,
        /// Of one with an IPv6 address.
        ipv6: u8,
    },
}

/// Which names a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum NameMatcher {
    /// This one.
    Exact(String),
    /// Those that begin with this.
    Prefix(String),
    /// Those that end in this.
    Suffix(String),
    /// Those with this in them.
    Substring(String),
    /// Those that match this regular expression.
    Regex(String),
}

/// A change of answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerRewrite {
    /// What of a record is changed.
    pub part: AnswerPart,
    /// A regular expression for it.
    pub pattern: String,
    /// What it becomes; `{1}` is the first group.
    pub replacement: String,
}

/// A part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum AnswerPart {
    /// Its owner.
    Name,
    /// The name in its data.
    Value,
}

impl Default for DnsKubernetes {
    /// CoreDNS's time to live (plugin kubernetes); Pods are verified, which costs us nothing.
    fn default() -> Self {
        Self {
            at: String::new(),
            zones: Vec::new(),
            reverse: ReverseZones::Ranges,
            pods: PodNames::default(),
            ttl_seconds: 5,
            endpoint_pod_names: false,
            zonal: false,
            namespaces: ExposedNamespaces::All,
            labels: None,
            endpoint_names: true,
            ignore_empty: false,
            fallthrough: Fallthrough::Never,
        }
    }
}
