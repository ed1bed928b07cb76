//! A range of addresses from a first to a last one.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use types::{IpFamily, Prefix};

/// Addresses of one family, first and last included; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IpRange {
    first: IpAddr,
    last: IpAddr,
}

/// Why something is not an [`IpRange`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address range, such as 172.31.0.200-172.31.0.250 or 192.0.2.0/28")]
pub struct IpRangeError {
    /// What was given.
    pub text: String,
}

impl IpRange {
    /// From a first to a last address of the same family; `None` when there is nothing between them.
    #[must_use]
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        let holds = IpFamily::of(first) == IpFamily::of(last) && first <= last;
        holds.then_some(Self { first, last })
    }

    /// All addresses of a prefix.
    #[must_use]
    pub fn whole(prefix: Prefix) -> Self {
        Self { first: prefix.first(), last: prefix.last() }
    }

    /// The addresses of a subnet that can be given to hosts: all but its first and its last.
    ///
    /// The first is the network's own (RFC 1122 section 3.2.1.3; for Pods the node's tunnel address, for IPv6 the
    /// subnet-router anycast address of RFC 4291 section 2.6.1), the last is the broadcast address. `None` when nothing
    /// remains.
    #[must_use]
    pub fn hosts(subnet: Prefix) -> Option<Self> {
        let last = subnet.size().checked_sub(2)?;
        Self::new(subnet.nth(1)?, subnet.nth(last)?)
    }

    /// First address.
    #[must_use]
    pub fn first(self) -> IpAddr {
        self.first
    }

    /// Last address.
    #[must_use]
    pub fn last(self) -> IpAddr {
        self.last
    }

    /// Address family.
    #[must_use]
    pub fn family(self) -> IpFamily {
        IpFamily::of(self.first)
    }

    /// Whether `address` lies in the range.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        // `IpAddr` orders IPv4 before IPv6, so both bounds together also compare families.
        self.first <= address && address <= self.last
    }

    /// What is left of the range behind `address`, which lies in it.
    pub(crate) fn behind(self, address: IpAddr) -> Option<Self> {
        Self::new(next(address)?, self.last)
    }

    /// The first address that is not in use.
    ///
    /// Walks along the used addresses only, so that the size of the range does not matter.
    pub(crate) fn first_free(self, in_use: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        let mut candidate = self.first;
        for used in in_use.range(self.first..=self.last) {
            if *used != candidate {
                break;
            }
            candidate = next(candidate).filter(|next| self.contains(*next))?;
        }
        Some(candidate)
    }
}

fn next(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_add(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(address) => u128::from(address).checked_add(1).map(|next| IpAddr::V6(next.into())),
    }
}

impl FromStr for IpRange {
    type Err = IpRangeError;

    /// `FIRST-LAST`, a prefix in CIDR form (all of it), or a single address.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = match text.split_once('-') {
            Some((first, last)) => match (first.trim().parse(), last.trim().parse()) {
                (Ok(first), Ok(last)) => Self::new(first, last),
                _ => None,
            },
            None if text.contains('/') => text.trim().parse().ok().map(Self::whole),
            None => text.trim().parse().ok().and_then(|address| Self::new(address, address)),
        };
        parsed.ok_or_else(|| IpRangeError { text: text.to_owned() })
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_leave_out_first_and_last() {
        let hosts = |text: &str| IpRange::hosts(text.parse().unwrap()).map(|range| range.to_string());
        assert_eq!(hosts("10.244.1.0/24"), Some("10.244.1.1-10.244.1.254".to_owned()));
        assert_eq!(hosts("10.244.1.0/30"), Some("10.244.1.1-10.244.1.2".to_owned()));
        assert_eq!(hosts("10.244.1.0/31"), None);
        assert_eq!(hosts("10.244.1.0/32"), None);
        assert_eq!(hosts("fd00::/126"), Some("fd00::1-fd00::2".to_owned()));
        assert!(hosts("fd00::/64").is_some());
        assert!(hosts("0.0.0.0/0").is_some());
        assert!(hosts("::/0").is_some());
    }

    #[test]
    fn ranges_are_read_from_text() {
        for (text, shown) in [
            ("172.31.0.200-172.31.0.250", "172.31.0.200-172.31.0.250"),
            ("192.0.2.0 - 192.0.2.3", "192.0.2.0-192.0.2.3"),
            ("192.0.2.0/30", "192.0.2.0-192.0.2.3"),
            ("192.0.2.9", "192.0.2.9-192.0.2.9"),
            ("2001:db8::1-2001:db8::2", "2001:db8::1-2001:db8::2"),
        ] {
            assert_eq!(text.parse::<IpRange>().unwrap().to_string(), shown);
        }
        for text in ["", "-", "192.0.2.5-192.0.2.1", "192.0.2.1-2001:db8::1", "192.0.2.0/33", "a-b"] {
            assert!(text.parse::<IpRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_last_address_of_all_has_no_next() {
        let range: IpRange = "255.255.255.254-255.255.255.255".parse().unwrap();
        let used = [range.first(), range.last()].into();
        assert_eq!(range.first_free(&used), None);
        assert_eq!(range.behind(range.last()), None);
    }
}
