//! Address families, prefixes and link-layer addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IpFamily {
    /// IPv4, `IPv4` in the Kubernetes API.
    #[serde(rename = "IPv4")]
    V4,
    /// IPv6, `IPv6` in the Kubernetes API.
    #[serde(rename = "IPv6")]
    V6,
}

impl IpFamily {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Prefix length of a single address: 32 or 128.
    #[must_use]
    pub fn host_prefix_len(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl fmt::Display for IpFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// An address as one label of a name, such as that of a Pod: `10-244-1-5`.
#[must_use]
pub fn dashed(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}

/// An address range in CIDR form, with all host bits zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Prefix(ipnet::IpNet);

/// Why a text is not a [`Prefix`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address range in CIDR form, such as 10.244.0.0/16")]
pub struct PrefixError {
    /// What was given.
    pub text: String,
}

impl Prefix {
    /// The range that holds `address` and is `len` bits long; `None` when `len` exceeds the family's width.
    #[must_use]
    pub fn new(address: IpAddr, len: u8) -> Option<Self> {
        ipnet::IpNet::new(address, len).ok().map(|net| Self(net.trunc()))
    }

    /// The range of exactly one address.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self(ipnet::IpNet::from(address))
    }

    /// First address, also called the network address.
    #[must_use]
    pub fn first(self) -> IpAddr {
        self.0.network()
    }

    /// Last address; for IPv4 the broadcast address of a subnet.
    #[must_use]
    pub fn last(self) -> IpAddr {
        self.0.broadcast()
    }

    /// Prefix length in bits.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a prefix is never empty; this is its length in bits")]
    pub fn len(self) -> u8 {
        self.0.prefix_len()
    }

    /// Address family.
    #[must_use]
    pub fn family(self) -> IpFamily {
        IpFamily::of(self.first())
    }

    /// Whether `address` lies in the range.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Whether all of `other` lies in the range.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Whether the two ranges share an address.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The address `offset` places after the first, or `None` past the end.
    #[must_use]
    pub fn nth(self, offset: u128) -> Option<IpAddr> {
        let address = match self.first() {
            IpAddr::V4(first) => {
                let sum = u128::from(u32::from(first)).checked_add(offset)?;
                IpAddr::V4(u32::try_from(sum).ok()?.into())
            }
            IpAddr::V6(first) => IpAddr::V6(u128::from(first).checked_add(offset)?.into()),
        };
        self.contains(address).then_some(address)
    }

    /// How many places `address` is behind the first, or `None` when it is not in the range.
    #[must_use]
    pub fn offset(self, address: IpAddr) -> Option<u128> {
        let number = |address| match address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        };
        self.contains(address).then(|| number(address) - number(self.first()))
    }

    /// How many addresses the range holds, saturating at `u128::MAX`.
    #[must_use]
    pub fn size(self) -> u128 {
        let host_bits = u32::from(self.family().host_prefix_len() - self.len());
        1u128.checked_shl(host_bits).unwrap_or(u128::MAX)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<ipnet::IpNet>()
            .map(|net| Self(net.trunc()))
            .map_err(|_| PrefixError { text: text.to_owned() })
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A 48-bit link-layer address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// A locally administered unicast address derived from `seed`, the same on every machine and run.
    ///
    /// FNV-1a (64 bit), of which 46 bits are kept.
    #[must_use]
    pub fn derived(seed: &str) -> Self {
        let hash = crate::fnv_hash(seed.bytes());
        let [_, _, a, b, c, d, e, f] = hash.to_be_bytes();
        Self([(a & 0xfc) | 0x02, b, c, d, e, f])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().unwrap_or_default();
            *byte =
                u8::from_str_radix(part, 16).map_err(|_| format!("`{text}` is not a link-layer address"))?;
        }
        if parts.next().is_some() {
            return Err(format!("`{text}` is not a link-layer address"));
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_drops_host_bits() {
        let prefix: Prefix = "10.244.1.7/24".parse().unwrap();
        assert_eq!(prefix.to_string(), "10.244.1.0/24");
        assert_eq!(prefix.nth(255), Some("10.244.1.255".parse().unwrap()));
        assert_eq!(prefix.nth(256), None);
        assert_eq!(prefix.size(), 256);
    }

    #[test]
    fn mac_round_trips_and_is_local_unicast() {
        let mac = Mac::derived("node-a");
        assert_eq!(Mac::try_from(mac.to_string()), Ok(mac));
        assert_eq!(mac.0[0] & 0x03, 0x02);
        assert!(Mac::try_from("00:11:22".to_owned()).is_err());
    }
}
