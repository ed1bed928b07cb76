//! How names are answered and where others are asked: server blocks, as a Corefile has them.

mod guards;
mod local;

use std::collections::BTreeSet;
use std::net::SocketAddr;

pub use guards::{AccessAction, AccessRule, BlockedAnswer, DnsAccess, DnsBlocklist, DnsLog, LogClass};
pub use local::{
    AnswerPart, AnswerRewrite, DnsHosts, DnsKubernetes, DnsRewrite, DnsTemplate, ExposedNamespaces,
    Fallthrough, NameMatcher, OptionChange, OptionData, PodNames, ReverseZones, RewriteRule, RewriteThen,
    TemplatePart, TemplateText,
};
use serde::Serialize;

/// How a DNS server behaves, beyond the names of the cluster's objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsSettings {
    /// The block with the longest zone that a name is in answers it; a name in no block's zones is refused.
    pub blocks: Vec<DnsBlock>,
}

/// One server block: what is done with names of its zones, in the order of the fields (CoreDNS, `plugin.cfg`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsBlock {
    /// Where this is said, such as `Corefile:3`; empty where nobody said it.
    pub at: String,
    /// The block's zones, lower case and without final dot; the empty text is the root, of which every name is.
    pub zones: BTreeSet<String>,
    /// Which queries are written down.
    pub logs: Vec<DnsLog>,
    /// Whose questions are looked up.
    pub access: Vec<DnsAccess>,
    /// Names that are not.
    pub blocklists: Vec<DnsBlocklist>,
    /// How questions and answers are changed.
    pub rewrites: Vec<DnsRewrite>,
    /// Whether names of a Pod's search path are searched here for the Pod.
    pub search_path: SearchPath,
    /// Answers made of questions.
    pub templates: Vec<DnsTemplate>,
    /// Names and addresses as in a hosts file.
    pub hosts: Option<DnsHosts>,
    /// The cluster's names.
    pub kubernetes: Option<DnsKubernetes>,
    /// Where names that nothing here answers are asked; the first whose `from` the name is in and whose `except` it is
    /// not in.
    pub forwards: Vec<DnsForward>,
    /// Whether and how long replies of upstream servers are kept.
    pub cache: Option<DnsCache>,
}

/// Who walks a Pod's search path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SearchPath {
    /// The Pod, one query for each step.
    #[default]
    Client,
    /// This server, when the Pod asks for the first step (CoreDNS, plugin autopath).
    Server,
}

/// Upstream servers for a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsForward {
    /// The zone they are asked about, written as [`DnsBlock::zones`].
    pub from: String,
    /// Zones below it that they are not asked about.
    pub except: BTreeSet<String>,
    /// The servers, in order.
    pub to: Vec<Upstream>,
    /// Which of the healthy servers is asked first.
    pub policy: ForwardPolicy,
    /// How queries are sent to servers without TLS.
    pub transport: ForwardTransport,
    /// After how many failed health checks in a row a server is passed over; 0: never.
    pub max_fails: u32,
    /// Milliseconds between health checks of a server that failed to answer.
    pub health_check_millis: u32,
    /// Queries under way at once; beyond, clients get SERVFAIL. 0: the server's own limit alone.
    pub max_concurrent: u32,
    /// Whether the letters' case of a query is drawn at random and its echo demanded
    /// (draft-vixie-dnsext-dns0x20-00): a forger has to guess it.
    pub random_case: bool,
    /// Replies with one of these codes count only if no other server has a better one (CoreDNS, plugin forward, `failover`).
    pub failover: BTreeSet<u8>,
    /// Replies with one of these codes are not the last word: the next forward of the block that is for the name is asked, if
    /// there is one (CoreDNS, plugin forward, `next`).
    pub next: BTreeSet<u8>,
    /// Whether the same goes for replies that the name has no such record (`next_on_nodata`).
    pub next_on_nodata: bool,
    /// How often servers are asked in vain about one question; 0: as long as there is time (`max_connect_attempts`).
    pub max_attempts: u32,
    /// Whether queries fail at once while every server is down; else one is asked all the same
    /// (`failfast_all_unhealthy_upstreams`).
    pub fails_fast: bool,
    /// How long a connection that nobody asks on is kept, in milliseconds; nothing said: as long as the server is configured to.
    pub idle_millis: Option<u32>,
    /// The name whose name servers health checks ask for, written as [`DnsBlock::zones`].
    pub health_check_name: String,
    /// Whether they ask for recursion.
    pub health_check_recursion: bool,
    /// A PEM file with the certificates that those of servers over TLS are to be signed with; nothing said: the system's.
    pub tls_ca_file: Option<String>,
    /// With what this server shows servers over TLS who it is, if it does.
    pub tls_client: Option<ClientFiles>,
}

/// A certificate of ours, in PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientFiles {
    /// The file with the certificate, and those that it is signed with.
    pub certificate: String,
    /// The file with its private key.
    pub key: String,
}

/// An upstream server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Upstream {
    /// The servers the node itself asks, [`crate::DnsPlan::upstreams`].
    Node,
    /// A server, over UDP and TCP.
    Plain(SocketAddr),
    /// A server, over TLS (RFC 7858).
    Tls {
        /// Its address; port 853 if none is said.
        address: SocketAddr,
        /// The name its certificate must be for; its address when nothing is said.
        server_name: Option<String>,
    },
}

/// Which upstream server is asked first (CoreDNS, plugin forward, `policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ForwardPolicy {
    /// Any.
    #[default]
    Random,
    /// One after the other.
    RoundRobin,
    /// The first that is healthy.
    Sequential,
}

/// How queries are sent to a plain upstream server (CoreDNS, plugin forward, `force_tcp` and `prefer_udp`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ForwardTransport {
    /// In datagrams, and again over TCP when the reply is truncated.
    #[default]
    Udp,
    /// Over TCP.
    Tcp,
}

/// How long replies of upstream servers are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsCache {
    /// For names of these zones; a name that a client asks for, whatever rewrites make of it.
    pub zones: BTreeSet<String>,
    /// But replies with records are not kept for names of these (CoreDNS, plugin cache, `disable success`),
    pub no_success: BTreeSet<String>,
    /// and replies without are not for names of these (`disable denial`).
    pub no_denial: BTreeSet<String>,
    /// Whether a kept reply is given with its whole time to live, and not with what is left of it (CoreDNS, plugin cache,
    /// `keepttl`).
    pub keep_ttl: bool,
    /// Replies with records.
    pub success: CacheLimits,
    /// Replies that there are none: NXDOMAIN and NODATA (RFC 2308).
    pub denial: CacheLimits,
    /// Seconds a failure of all upstream servers is kept (RFC 9520 section 3.2 wants one at least).
    pub failure_seconds: u32,
    /// When a reply that is asked for often is asked anew before it ends.
    pub prefetch: Option<Prefetch>,
    /// For how many seconds after its end a reply is still given when upstream servers fail (RFC 8767); 0: never.
    pub stale_seconds: u32,
    /// Whether a stale reply is given at once and asked anew afterwards, or only when upstream servers have not
    /// answered in time (CoreDNS, plugin cache, `serve_stale` with `immediate` and `verify`).
    pub stale_at_once: bool,
}

/// How many replies of a kind are kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheLimits {
    /// How many.
    pub capacity: u32,
    /// Longer times to live are cut to this, in seconds.
    pub max_ttl_seconds: u32,
    /// Shorter ones are stretched to this, in seconds.
    pub min_ttl_seconds: u32,
}

/// When a reply is asked anew before it ends (CoreDNS, plugin cache, `prefetch`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Prefetch {
    /// So many queries...
    pub amount: u32,
    /// ...with no pause between them longer than this, in seconds...
    pub pause_seconds: u32,
    /// ...and less than this share of the time to live left, in percent.
    pub percent: u8,
}

impl Default for DnsSettings {
    /// Everything but the cluster's names is asked of the node's own servers.
    fn default() -> Self {
        Self { blocks: vec![DnsBlock::default()] }
    }
}

impl DnsSettings {
    /// The first section about the cluster's names: what it says of naming holds for all.
    #[must_use]
    pub fn kubernetes(&self) -> Option<&DnsKubernetes> {
        self.blocks.iter().find_map(|block| block.kubernetes.as_ref())
    }
}

impl Default for DnsBlock {
    fn default() -> Self {
        Self {
            at: String::new(),
            zones: BTreeSet::from([String::new()]),
            logs: Vec::new(),
            access: Vec::new(),
            blocklists: Vec::new(),
            rewrites: Vec::new(),
            search_path: SearchPath::default(),
            templates: Vec::new(),
            hosts: None,
            kubernetes: Some(DnsKubernetes::default()),
            forwards: vec![DnsForward::default()],
            cache: Some(DnsCache::default()),
        }
    }
}

impl Default for DnsForward {
    /// The node's own servers for all names, with CoreDNS's numbers (plugin forward).
    fn default() -> Self {
        Self {
            from: String::new(),
            except: BTreeSet::new(),
            to: vec![Upstream::Node],
            policy: ForwardPolicy::default(),
            transport: ForwardTransport::default(),
            max_fails: 2,
            health_check_millis: 500,
            max_concurrent: 0,
            random_case: false,
            failover: BTreeSet::new(),
            next: BTreeSet::new(),
            next_on_nodata: false,
            max_attempts: 0,
            fails_fast: false,
            idle_millis: None,
            health_check_name: String::new(),
            health_check_recursion: true,
            tls_ca_file: None,
            tls_client: None,
        }
    }
}

impl Default for DnsCache {
    /// CoreDNS's numbers (plugin cache), but for two: a name that did not exist is asked again after at most 30 seconds
    /// and not 1 800, for people create names and wait for them; and stale replies are given while upstream servers fail.
    fn default() -> Self {
        Self {
            zones: BTreeSet::from([String::new()]),
            no_success: BTreeSet::new(),
            no_denial: BTreeSet::new(),
            keep_ttl: false,
            success: CacheLimits { capacity: 9984, max_ttl_seconds: 3600, min_ttl_seconds: 5 },
            denial: CacheLimits { capacity: 9984, max_ttl_seconds: 30, min_ttl_seconds: 5 },
            failure_seconds: 5,
            prefetch: Some(Prefetch { amount: 10, pause_seconds: 60, percent: 10 }),
            stale_seconds: 3600,
            stale_at_once: false,
        }
    }
}
