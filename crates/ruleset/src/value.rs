//! What an nftables table is made of: chains, rules, sets, maps and their elements, as plain data.
//!
//! Only what our own table uses can be said. Words are those of nftables.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use types::{IpFamily, LinkName, Mac};

/// The whole of a table of ours. The default value is a table that does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// What passes through it.
    pub family: TableFamily,
    /// Sets and maps, by name.
    pub sets: BTreeMap<String, Set>,
    /// Chains, by name.
    pub chains: BTreeMap<String, Chain>,
}

impl Ruleset {
    /// A table that does not exist.
    #[must_use]
    pub fn absent(family: TableFamily) -> Self {
        Self { family, ..Self::default() }
    }

    /// Whether the table does not exist.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.sets.is_empty() && self.chains.is_empty()
    }
}

/// What passes through a table; of each of these we have one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableFamily {
    /// Packets of IPv4 and IPv6.
    #[default]
    Inet,
    /// Frames on bridges.
    Bridge,
}

/// A chain and its rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Where packets enter, for a base chain; its policy is always accept.
    pub hook: Option<Hook>,
    /// Rules, in order.
    pub rules: Vec<Rule>,
}

/// How a base chain is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hook {
    /// Chain type.
    pub kind: Kind,
    /// Netfilter hook.
    pub point: HookPoint,
    /// Lower runs earlier.
    pub priority: i32,
}

/// Type of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Sees every packet.
    Filter,
    /// Sees the first packet of each connection.
    Nat,
}

/// A netfilter hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookPoint {
    /// Everything that arrives, before routing.
    Prerouting,
    /// What is for this node.
    Input,
    /// What passes through.
    Forward,
    /// What this node sends.
    Output,
    /// Everything that leaves, after routing.
    Postrouting,
}

/// A rule: statements from left to right, until one does not match.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Matches and actions.
    pub statements: Vec<Statement>,
    /// Why it is there; empty for none.
    pub comment: String,
}

/// One match or action of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Statement {
    /// `KEY @SET` or `KEY != @SET`.
    Lookup {
        /// Fields of the packet.
        key: Vec<Field>,
        /// The set.
        set: String,
        /// Whether the packet must be in it or must not.
        is: Membership,
    },
    /// `meta l4proto NUMBER`.
    Protocol(u8),
    /// `ct state` or `ct status`.
    Conntrack(Conntrack),
    /// `icmpv6 type 133-137`: router and neighbour discovery and redirect (RFC 4861 §4).
    NeighbourDiscovery,
    /// `iifname "sl*"`: comes from a Pod's link.
    FromPodLink,
    /// `fib saddr . iif oif missing`: what goes to its source would not leave by the link it comes from.
    ForgedSource,
    /// `meta priority set …`: writes the scratch register.
    Scratch(Scratch),
    /// `KEY vmap @MAP`.
    Dispatch {
        /// Fields of the packet.
        key: Vec<Field>,
        /// A map to verdicts.
        map: String,
    },
    /// `dnat ip to KEY map @MAP`.
    Dnat {
        /// Family of the map's addresses.
        family: IpFamily,
        /// Fields of the packet.
        key: Vec<Field>,
        /// A map to address and port.
        map: String,
    },
    /// `update @MAP { KEY timeout SECONDSs : DATA }`.
    Update {
        /// A dynamic map.
        map: String,
        /// Fields of the packet.
        key: Vec<Field>,
        /// When the element goes unless it is refreshed.
        seconds: u32,
        /// Fields of the packet to store.
        data: Vec<Field>,
    },
    /// `masquerade fully-random`.
    Masquerade,
    /// `reject with …`.
    Reject(Reject),
    /// `notrack`: connection tracking passes the packet over; only before it, at priority -300.
    Notrack,
    /// `counter`.
    Counter,
    /// A verdict.
    Verdict(Verdict),
    /// Read back from the kernel and not one of ours; never rendered.
    Foreign,
}

/// Whether a packet must be in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Membership {
    /// It must.
    In,
    /// It must not.
    NotIn,
}

/// What a rule asks of connection tracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conntrack {
    /// `ct state established,related`.
    Known,
    /// `ct state invalid`.
    Invalid,
    /// `ct status dnat`.
    Translated,
}

/// What is written to the scratch register, `meta priority`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scratch {
    /// A constant.
    Number(u32),
    /// `numgen random mod MODULUS offset OFFSET`.
    Random {
        /// How many values.
        modulus: u32,
        /// The first value.
        offset: u32,
    },
    /// `jhash ip saddr mod MODULUS seed SEED offset OFFSET`: the same for all connections of a client, on every node.
    Hash {
        /// Of which packets; others the rule does not match.
        family: IpFamily,
        /// How many values.
        modulus: u32,
        /// The first value.
        offset: u32,
    },
    /// `KEY map @MAP`; the rule does not match when the map has no such key.
    Map {
        /// Fields of the packet.
        key: Vec<Field>,
        /// A map to numbers.
        map: String,
    },
}

/// How a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reject {
    /// `reject with tcp reset`.
    TcpReset,
    /// `reject with icmpx port-unreachable`.
    PortUnreachable,
}

/// What becomes of the packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Leaves this base chain; later base chains still see the packet.
    Accept,
    /// Ends the packet.
    Drop,
    /// Back to the chain that jumped here.
    Return,
    /// Into a chain, and back after it.
    Jump(String),
    /// Into a chain, and after it back to where the last jump came from.
    Goto(String),
}

/// A field of the packet or its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// `ip saddr` or `ip6 saddr`; implies the family.
    Source(IpFamily),
    /// `ip daddr` or `ip6 daddr`; implies the family.
    Destination(IpFamily),
    /// `meta l4proto`.
    Protocol,
    /// `th dport`.
    DestinationPort,
    /// `meta priority`, our scratch register.
    Scratch,
    /// `ct original ip daddr`: what the client aimed at.
    OriginalDestination(IpFamily),
    /// `ct original proto-dst`: the port the client aimed at.
    OriginalPort,
    /// `iifname`: the link it comes in by.
    InputLink,
    /// `ether saddr`: where the frame comes from.
    SourceMac,
    /// `ether daddr`: where the frame goes.
    DestinationMac,
}

impl Field {
    /// The type a set needs to hold this field.
    #[must_use]
    pub fn field_type(self) -> FieldType {
        match self {
            Self::Source(family) | Self::Destination(family) | Self::OriginalDestination(family) => {
                FieldType::Address(family)
            }
            Self::Protocol => FieldType::Protocol,
            Self::DestinationPort | Self::OriginalPort => FieldType::Port,
            Self::Scratch => FieldType::Number,
            Self::InputLink => FieldType::Link,
            Self::SourceMac | Self::DestinationMac => FieldType::Mac,
        }
    }
}

/// A set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Types of the key's fields.
    pub key: Vec<FieldType>,
    /// What elements carry beside the key.
    pub data: Data<Vec<FieldType>, ()>,
    /// How elements are kept.
    pub kind: SetKind,
    /// Elements; always empty here for [`SetKind::Dynamic`], whose elements the packets make.
    pub elements: BTreeMap<Key, Element>,
}

impl Set {
    /// The same declaration, without elements.
    #[must_use]
    pub fn bare(&self) -> Self {
        let Self { key, data, kind, elements: _ } = self;
        Self { key: key.clone(), data: data.clone(), kind: *kind, elements: BTreeMap::new() }
    }
}

/// How elements of a set are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetKind {
    /// Exact keys in a hash table.
    Exact,
    /// Exact keys, each with a packet counter.
    Counted,
    /// Ranges of keys (`flags interval`).
    Interval,
    /// Filled by packets, elements expire (`flags dynamic,timeout`).
    Dynamic,
}

/// Type of one field of a key or of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldType {
    /// `ipv4_addr` or `ipv6_addr`.
    Address(IpFamily),
    /// `inet_proto`.
    Protocol,
    /// `inet_service`.
    Port,
    /// `classid`: the type of `meta priority`.
    Number,
    /// `ifname`.
    Link,
    /// `ether_addr`.
    Mac,
}

/// One value of a key or of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// An address.
    Address(IpAddr),
    /// An IP protocol number.
    Protocol(u8),
    /// A port; 0 only as the lower end of a range.
    Port(u16),
    /// A number in the scratch register.
    Number(u32),
    /// Name of a link.
    Link(LinkBytes),
    /// A link-layer address.
    Mac(Mac),
}

/// A link's name as the kernel compares it: `IFNAMSIZ` bytes, the rest zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkBytes(pub [u8; 16]);

impl LinkBytes {
    /// Of a name; what no link's name can hold is cut off.
    #[must_use]
    pub fn new(name: &LinkName) -> Self {
        let mut bytes = [0; 16];
        // The last byte stays zero.
        bytes.iter_mut().take(15).zip(name.0.bytes()).for_each(|(to, from)| *to = from);
        Self(bytes)
    }

    /// The name.
    #[must_use]
    pub fn name(self) -> LinkName {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        LinkName(String::from_utf8_lossy(&self.0[..end]).into_owned())
    }
}

/// Key of an element.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The key, or the lower end of each field's range.
    pub first: Vec<Value>,
    /// The upper ends, inclusive; only in interval sets.
    pub last: Option<Vec<Value>>,
}

impl Key {
    /// An exact key.
    #[must_use]
    pub fn exact(values: Vec<Value>) -> Self {
        Self { first: values, last: None }
    }

    /// A range of keys, in each field.
    #[must_use]
    pub fn range(first: Vec<Value>, last: Vec<Value>) -> Self {
        Self { first, last: Some(last) }
    }

    /// Whether a packet's fields lie in it.
    #[must_use]
    pub fn contains(&self, values: &[Value]) -> bool {
        match &self.last {
            None => self.first == values,
            Some(last) => self
                .first
                .iter()
                .zip(last)
                .zip(values)
                .all(|((first, last), value)| first <= value && value <= last),
        }
    }
}

/// What an element carries beside its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// Data of a map's element.
    pub data: Data<Vec<Value>, Verdict>,
    /// Which object it is there for; empty for none, at most [`Element::MAX_COMMENT`] bytes.
    pub comment: String,
}

impl Element {
    /// Longest comment nft accepts: `NFTNL_UDATA_COMMENT_MAXLEN` less the terminating zero byte.
    pub const MAX_COMMENT: usize = 127;

    /// With a comment, cut where nft would refuse it.
    #[must_use]
    pub fn commented(data: Data<Vec<Value>, Verdict>, comment: &str) -> Self {
        Self { data, comment: comment_text(comment).into_owned() }
    }
}

/// A comment as an element can have it: cut where nft would refuse it, without what would end it.
pub(crate) fn comment_text(comment: &str) -> Cow<'_, str> {
    let mut end = comment.len().min(Element::MAX_COMMENT);
    while !comment.is_char_boundary(end) {
        end -= 1;
    }
    match comment.contains('"') {
        true => comment[..end].replace('"', "'").into(),
        false => comment[..end].into(),
    }
}

/// Data of a set, in a declaration or an element.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Data<V, D> {
    /// A set: none.
    #[default]
    None,
    /// A map to values.
    Values(V),
    /// A map to verdicts.
    Verdict(D),
}
