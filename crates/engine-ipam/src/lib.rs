//! Which address comes next: one allocator for Pods and for LoadBalancer addresses.
//!
//! The allocator remembers nothing: who calls it knows what is in use and what was given out last, and stores the
//! answer before anybody else asks.

mod range;

use std::collections::BTreeSet;
use std::net::IpAddr;

pub use range::{IpRange, IpRangeError};

/// Why there is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IpamError {
    /// Every address of every range is in use.
    #[error("no address is free in {ranges}")]
    Exhausted {
        /// The ranges, for a person.
        ranges: String,
    },
    /// The wished address is in use.
    #[error("address {address} is in use")]
    Taken {
        /// The wish.
        address: IpAddr,
    },
    /// The wished address is in none of the ranges.
    #[error("address {address} is not in {ranges}")]
    Outside {
        /// The wish.
        address: IpAddr,
        /// The ranges, for a person.
        ranges: String,
    },
}

/// A free address of `ranges`: the `wish` if there is one, else the first free one behind `after`.
///
/// Ranges are searched in their order and as a ring, so that with the last given address as `after`, an address that
/// was just freed comes again as late as possible: whoever still knows it as somebody else's is then less likely to
/// meet the wrong one.
///
/// # Errors
/// When the wish cannot be had, or nothing is free.
pub fn allocate(
    ranges: &[IpRange],
    in_use: &BTreeSet<IpAddr>,
    wish: Option<IpAddr>,
    after: Option<IpAddr>,
) -> Result<IpAddr, IpamError> {
    if let Some(address) = wish {
        return match ranges.iter().any(|range| range.contains(address)) {
            false => Err(IpamError::Outside { address, ranges: listed(ranges) }),
            true if in_use.contains(&address) => Err(IpamError::Taken { address }),
            true => Ok(address),
        };
    }
    let start = after.and_then(|after| {
        let index = ranges.iter().position(|range| range.contains(after))?;
        Some((index, after))
    });
    let found = match start {
        None => ranges.iter().find_map(|range| range.first_free(in_use)),
        Some((index, after)) => {
            let behind = ranges[index].behind(after).and_then(|range| range.first_free(in_use));
            // The ring closes with the whole of the range it began in: what is before `after` was not looked at yet.
            let ring = ranges[index + 1..].iter().chain(&ranges[..=index]);
            behind.or_else(|| ring.into_iter().find_map(|range| range.first_free(in_use)))
        }
    };
    found.ok_or_else(|| IpamError::Exhausted { ranges: listed(ranges) })
}

fn listed(ranges: &[IpRange]) -> String {
    if ranges.is_empty() {
        return "an empty list of ranges".to_owned();
    }
    ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
