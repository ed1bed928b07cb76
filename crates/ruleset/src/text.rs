//! Printing a ruleset the way `nft` writes it, one element a line; `parse` reads it back.

use std::fmt;
use std::net::IpAddr;

use types::{IpFamily, Prefix};

use crate::fixed::TABLE;
use crate::hash::HASH_SEED;
use crate::value::{
    Chain, Conntrack, Data, Element, Field, FieldType, Hook, HookPoint, Key, Kind, Membership, Reject, Rule,
    Ruleset, Scratch, Set, SetKind, Statement, TableFamily, Value, Verdict,
};

/// Most elements a dynamic map may hold.
pub(crate) const DYNAMIC_SIZE: u32 = 262_144;

impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {} {TABLE} {{", self.family)?;
        for (name, set) in &self.sets {
            write_set(f, name, set)?;
        }
        for (name, chain) in &self.chains {
            write_chain(f, name, chain)?;
        }
        writeln!(f, "}}")
    }
}

impl fmt::Display for TableFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inet => "inet",
            Self::Bridge => "bridge",
        })
    }
}

fn write_set(f: &mut fmt::Formatter<'_>, name: &str, set: &Set) -> fmt::Result {
    let word = if set.data == Data::None { "set" } else { "map" };
    write!(f, "\t{word} {name} {{\n\t\ttype {}", Joined(&set.key))?;
    match &set.data {
        Data::None => writeln!(f)?,
        Data::Values(types) => writeln!(f, " : {}", Joined(types))?,
        Data::Verdict(()) => writeln!(f, " : verdict")?,
    }
    match set.kind {
        SetKind::Exact => {}
        SetKind::Counted => writeln!(f, "\t\tcounter")?,
        SetKind::Interval => writeln!(f, "\t\tflags interval")?,
        SetKind::Dynamic => writeln!(f, "\t\tsize {DYNAMIC_SIZE}\n\t\tflags dynamic,timeout")?,
    }
    if !set.elements.is_empty() {
        writeln!(f, "\t\telements = {{")?;
        let last = set.elements.len() - 1;
        for (index, (key, element)) in set.elements.iter().enumerate() {
            let comma = if index == last { "" } else { "," };
            writeln!(f, "\t\t\t{}{comma}", Entry(key, element))?;
        }
        writeln!(f, "\t\t}}")?;
    }
    writeln!(f, "\t}}")
}

fn write_chain(f: &mut fmt::Formatter<'_>, name: &str, chain: &Chain) -> fmt::Result {
    writeln!(f, "\tchain {name} {{")?;
    if let Some(hook) = &chain.hook {
        writeln!(f, "\t\t{hook}")?;
    }
    for rule in &chain.rules {
        writeln!(f, "\t\t{rule}")?;
    }
    writeln!(f, "\t}}")
}

/// An element as it stands between the braces.
struct Entry<'a>(&'a Key, &'a Element);

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        if !self.1.comment.is_empty() {
            write!(f, " comment \"{}\"", self.1.comment)?;
        }
        match &self.1.data {
            Data::None => Ok(()),
            Data::Values(values) => write!(f, " : {}", Joined(values)),
            Data::Verdict(verdict) => write!(f, " : {verdict}"),
        }
    }
}

/// Parts of a concatenation.
struct Joined<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Joined<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { " . " };
            write!(f, "{dot}{part}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(last) = &self.last else { return write!(f, "{}", Joined(&self.first)) };
        for (index, (first, last)) in self.first.iter().zip(last).enumerate() {
            let dot = if index == 0 { "" } else { " . " };
            match as_prefix(*first, *last) {
                Some(prefix) => write!(f, "{dot}{prefix}")?,
                None if first == last => write!(f, "{dot}{first}")?,
                None => write!(f, "{dot}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// The one prefix, not of a single address, that covers exactly this range.
fn as_prefix(first: Value, last: Value) -> Option<Prefix> {
    let (Value::Address(first), Value::Address(last)) = (first, last) else { return None };
    let differing = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => 32 - (u32::from(first) ^ u32::from(last)).leading_zeros(),
        (IpAddr::V6(first), IpAddr::V6(last)) => 128 - (u128::from(first) ^ u128::from(last)).leading_zeros(),
        _ => return None,
    };
    let width = u32::from(IpFamily::of(first).host_prefix_len());
    let prefix = Prefix::new(first, u8::try_from(width - differing).ok()?)?;
    (differing > 0 && prefix.first() == first && prefix.last() == last).then_some(prefix)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Protocol(number) => f.write_str(&protocol_name(*number)),
            Self::Port(port) => port.fmt(f),
            Self::Number(0) => f.write_str("none"),
            Self::Number(number) => write!(f, "{:x}:{:x}", number >> 16, number & 0xffff),
            Self::Link(name) => write!(f, "\"{}\"", name.name()),
            Self::Mac(mac) => mac.fmt(f),
        }
    }
}

/// The name nft gives a protocol that we name, else its number.
fn protocol_name(number: u8) -> String {
    match number {
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        132 => "sctp".to_owned(),
        _ => number.to_string(),
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address(IpFamily::V4) => "ipv4_addr",
            Self::Address(IpFamily::V6) => "ipv6_addr",
            Self::Protocol => "inet_proto",
            Self::Port => "inet_service",
            Self::Number => "classid",
            Self::Link => "ifname",
            Self::Mac => "ether_addr",
        })
    }
}

/// `ip` or `ip6`.
fn family_word(family: IpFamily) -> &'static str {
    match family {
        IpFamily::V4 => "ip",
        IpFamily::V6 => "ip6",
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(family) => write!(f, "{} saddr", family_word(*family)),
            Self::Destination(family) => write!(f, "{} daddr", family_word(*family)),
            Self::Protocol => f.write_str("meta l4proto"),
            Self::DestinationPort => f.write_str("th dport"),
            Self::Scratch => f.write_str("meta priority"),
            Self::OriginalDestination(family) => write!(f, "ct original {} daddr", family_word(*family)),
            Self::OriginalPort => f.write_str("ct original proto-dst"),
            Self::InputLink => f.write_str("iifname"),
            Self::SourceMac => f.write_str("ether saddr"),
            Self::DestinationMac => f.write_str("ether daddr"),
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Filter => "filter",
            Kind::Nat => "nat",
        };
        write!(f, "type {kind} hook {} priority {}; policy accept;", self.point, self.priority)
    }
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, statement) in self.statements.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{statement}")?;
        }
        if !self.comment.is_empty() {
            write!(f, " comment \"{}\"", self.comment)?;
        }
        Ok(())
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup { key, set, is: Membership::In } => write!(f, "{} @{set}", Joined(key)),
            Self::Lookup { key, set, is: Membership::NotIn } => write!(f, "{} != @{set}", Joined(key)),
            Self::Protocol(number) => write!(f, "meta l4proto {}", protocol_name(*number)),
            Self::Conntrack(Conntrack::Known) => f.write_str("ct state established,related"),
            Self::Conntrack(Conntrack::Invalid) => f.write_str("ct state invalid"),
            Self::Conntrack(Conntrack::Translated) => f.write_str("ct status dnat"),
            Self::NeighbourDiscovery => f.write_str("icmpv6 type 133-137"),
            Self::FromPodLink => f.write_str("iifname \"sl*\""),
            Self::ForgedSource => f.write_str("fib saddr . iif oif missing"),
            Self::Scratch(source) => write!(f, "meta priority set {source}"),
            Self::Dispatch { key, map } => write!(f, "{} vmap @{map}", Joined(key)),
            Self::Dnat { family, key, map } => {
                write!(f, "dnat {} to {} map @{map}", family_word(*family), Joined(key))
            }
            Self::Update { map, key, seconds, data } => {
                write!(f, "update @{map} {{ {} timeout {seconds}s : {} }}", Joined(key), Joined(data))
            }
            Self::Masquerade => f.write_str("masquerade fully-random"),
            Self::Reject(Reject::TcpReset) => f.write_str("reject with tcp reset"),
            Self::Reject(Reject::PortUnreachable) => f.write_str("reject with icmpx port-unreachable"),
            Self::Notrack => f.write_str("notrack"),
            Self::Counter => f.write_str("counter"),
            Self::Verdict(verdict) => verdict.fmt(f),
            Self::Foreign => f.write_str("foreign"),
        }
    }
}

impl fmt::Display for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => Value::Number(*number).fmt(f),
            Self::Random { modulus, offset: 0 } => write!(f, "numgen random mod {modulus}"),
            Self::Random { modulus, offset } => write!(f, "numgen random mod {modulus} offset {offset}"),
            Self::Hash { family, modulus, offset } => {
                write!(f, "jhash {} saddr mod {modulus} seed {HASH_SEED:#x}", family_word(*family))?;
                if *offset == 0 { Ok(()) } else { write!(f, " offset {offset}") }
            }
            Self::Map { key, map } => write!(f, "{} map @{map}", Joined(key)),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}
