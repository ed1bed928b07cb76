//! Resource records: their types, their data and their text form.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::Name;

/// A record type or query type, by its number (IANA "DNS Parameters").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordType(pub u16);

impl RecordType {
    /// An IPv4 address.
    pub const A: Self = Self(1);
    /// A name server.
    pub const NS: Self = Self(2);
    /// Another name for the same thing.
    pub const CNAME: Self = Self(5);
    /// The zone's head.
    pub const SOA: Self = Self(6);
    /// A name for an address.
    pub const PTR: Self = Self(12);
    /// Text.
    pub const TXT: Self = Self(16);
    /// An IPv6 address.
    pub const AAAA: Self = Self(28);
    /// Where a service is: name and port.
    pub const SRV: Self = Self(33);
    /// The pseudo-record that carries EDNS (RFC 6891).
    pub const OPT: Self = Self(41);
    /// Incremental zone transfer.
    pub const IXFR: Self = Self(251);
    /// Whole zone transfer.
    pub const AXFR: Self = Self(252);

    const NAMED: [(Self, &'static str); 10] = [
        (Self::A, "A"),
        (Self::NS, "NS"),
        (Self::CNAME, "CNAME"),
        (Self::SOA, "SOA"),
        (Self::PTR, "PTR"),
        (Self::TXT, "TXT"),
        (Self::AAAA, "AAAA"),
        (Self::SRV, "SRV"),
        (Self::IXFR, "IXFR"),
        (Self::AXFR, "AXFR"),
    ];

    /// From its mnemonic, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(kind, _)| *kind)
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMED.iter().find(|(kind, _)| kind == self) {
            Some((_, name)) => f.write_str(name),
            // RFC 3597 section 5.
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordData {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Another name.
    Cname(Name),
    /// The name of an address.
    Ptr(Name),
    /// A name server of the zone.
    Ns(Name),
    /// Where a service is.
    Srv {
        /// Lower is tried first.
        priority: u16,
        /// Share among equals.
        weight: u16,
        /// Its name; before the port, so that the records of one target follow each other in order.
        target: Name,
        /// Its port.
        port: u16,
    },
    /// A text of at most 255 bytes.
    Txt(&'static str),
    /// The zone's head; its numbers are the zone's.
    Soa,
}

impl RecordData {
    /// The type of such a record.
    #[must_use]
    pub fn record_type(&self) -> RecordType {
        match self {
            Self::A(_) => RecordType::A,
            Self::Aaaa(_) => RecordType::AAAA,
            Self::Cname(_) => RecordType::CNAME,
            Self::Ptr(_) => RecordType::PTR,
            Self::Ns(_) => RecordType::NS,
            Self::Srv { .. } => RecordType::SRV,
            Self::Txt(_) => RecordType::TXT,
            Self::Soa => RecordType::SOA,
        }
    }
}

impl fmt::Display for RecordData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(address) => write!(f, "{address}"),
            Self::Aaaa(address) => write!(f, "{address}"),
            Self::Cname(name) | Self::Ptr(name) | Self::Ns(name) => write!(f, "{name}."),
            Self::Srv { priority, weight, port, target } => {
                write!(f, "{priority} {weight} {port} {target}.")
            }
            Self::Txt(text) => write!(f, "\"{text}\""),
            Self::Soa => f.write_str("(zone)"),
        }
    }
}

/// A record as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its owner.
    pub name: Name,
    /// Seconds it may be kept.
    pub ttl: u32,
    /// What it says.
    pub data: RecordData,
}

impl fmt::Display for Record {
    /// As a line of a zone file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {} IN {} {}", self.name, self.ttl, self.data.record_type(), self.data)
    }
}
