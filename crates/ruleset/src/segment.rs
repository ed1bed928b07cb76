//! Address ranges: prefixes merged into disjoint ranges, and a family's address space cut into segments.

use std::collections::BTreeSet;
use std::net::IpAddr;

use types::{IpFamily, Prefix};

use crate::value::{Key, Value};

/// A range of addresses, both ends inclusive.
pub(crate) type Range = (IpAddr, IpAddr);

/// The prefixes of one family as disjoint ranges with gaps between them.
pub(crate) fn merged<'a>(prefixes: impl IntoIterator<Item = &'a Prefix>, family: IpFamily) -> Vec<Range> {
    let mut ranges: Vec<Range> = prefixes
        .into_iter()
        .filter(|prefix| prefix.family() == family)
        .map(|prefix| (prefix.first(), prefix.last()))
        .collect();
    ranges.sort();
    let mut merged: Vec<Range> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= *end || after(*end) == Some(first) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// Where segments begin, so that no prefix begins or ends inside one.
pub(crate) fn boundaries<'a>(
    prefixes: impl IntoIterator<Item = &'a Prefix>,
    family: IpFamily,
) -> BTreeSet<IpAddr> {
    prefixes
        .into_iter()
        .filter(|prefix| prefix.family() == family)
        .flat_map(|prefix| [Some(prefix.first()), after(prefix.last())])
        .flatten()
        .collect()
}

/// The next address, or `None` after the last one.
pub(crate) fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_add(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(address) => u128::from(address).checked_add(1).map(|next| IpAddr::V6(next.into())),
    }
}

/// The address before; the first address of a family has none.
pub(crate) fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_sub(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(address) => u128::from(address).checked_sub(1).map(|next| IpAddr::V6(next.into())),
    }
}

/// The last address of a family.
pub(crate) fn highest(family: IpFamily) -> IpAddr {
    match family {
        IpFamily::V4 => IpAddr::V4(u32::MAX.into()),
        IpFamily::V6 => IpAddr::V6(u128::MAX.into()),
    }
}

/// The range as a key of an interval set of addresses.
pub(crate) fn as_key((first, last): Range) -> Key {
    Key::range(vec![Value::Address(first)], vec![Value::Address(last)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(texts: &[&str]) -> Vec<Prefix> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn nested_and_adjacent_prefixes_become_one_range() {
        let merged =
            merged(&prefixes(&["10.1.0.0/16", "10.0.0.0/16", "10.0.3.0/24", "fd00::/8"]), IpFamily::V4);
        assert_eq!(merged, [("10.0.0.0".parse().unwrap(), "10.1.255.255".parse().unwrap())]);
    }

    #[test]
    fn the_whole_address_space_has_no_upper_boundary() {
        let boundaries = boundaries(&prefixes(&["0.0.0.0/0"]), IpFamily::V4);
        assert_eq!(boundaries.into_iter().collect::<Vec<_>>(), ["0.0.0.0".parse::<IpAddr>().unwrap()]);
    }
}
