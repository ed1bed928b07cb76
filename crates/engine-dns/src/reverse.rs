//! Names under `in-addr.arpa` and `ip6.arpa`, and the addresses they stand for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use types::{IpFamily, Prefix};

#[cfg(test)]
use crate::Name;
use crate::name::labels;

/// The reverse name of an address (RFC 1035 section 3.5, RFC 3596 section 2.5).
#[cfg(test)]
pub(crate) fn reverse_name(address: IpAddr) -> Name {
    let text = match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let mut text = String::with_capacity(72);
            for byte in address.octets().iter().rev() {
                text.push_str(&format!("{:x}.{:x}.", byte & 15, byte >> 4));
            }
            text + "ip6.arpa"
        }
    };
    Name::parse(&text).expect("a reverse name has short labels and at most 74 bytes")
}

/// The address a reverse name stands for; `None` for anything else, shorter reverse names included.
pub(crate) fn parse_reverse(wire: &[u8]) -> Option<IpAddr> {
    let mut rest = labels(wire).collect::<Vec<_>>();
    if rest.pop()? != b"arpa" {
        return None;
    }
    match rest.pop()? {
        b"in-addr" if rest.len() == 4 => {
            let mut octets = [0; 4];
            for (octet, label) in octets.iter_mut().zip(rest.iter().rev()) {
                *octet = parse_octet(label)?;
            }
            Some(Ipv4Addr::from(octets).into())
        }
        b"ip6" if rest.len() == 32 => {
            let mut bits: u128 = 0;
            for label in rest.iter().rev() {
                let [digit] = label else { return None };
                bits = bits << 4 | u128::from(char::from(*digit).to_digit(16)?);
            }
            Some(Ipv6Addr::from(bits).into())
        }
        _ => None,
    }
}

/// A decimal octet without leading zeros, as [`reverse_name`] writes it.
fn parse_octet(label: &[u8]) -> Option<u8> {
    if label.len() > 1 && label[0] == b'0' || !label.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(label).ok()?.parse().ok()
}

/// How many labels a reverse zone that holds `range` has, as few as needed: `10.96.0.0/12` lies in `10.in-addr.arpa`.
pub(crate) fn reverse_zone_labels(range: Prefix) -> usize {
    let bits_per_label = if range.family() == IpFamily::V4 { 8 } else { 4 };
    usize::from(range.len() / bits_per_label) + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for text in ["10.96.0.10", "0.0.0.0", "255.255.255.255", "fd00::1", "2001:db8::ff:10"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(parse_reverse(reverse_name(address).as_wire()), Some(address), "{text}");
        }
        let text = reverse_name("10.96.0.1".parse().unwrap()).to_string();
        assert_eq!(text, "1.0.96.10.in-addr.arpa");
    }

    #[test]
    fn other_names_stand_for_no_address() {
        for text in
            ["0.96.10.in-addr.arpa", "01.0.96.10.in-addr.arpa", "256.0.96.10.in-addr.arpa", "arpa", "."]
        {
            assert_eq!(parse_reverse(Name::parse(text).unwrap().as_wire()), None, "{text}");
        }
    }
}
