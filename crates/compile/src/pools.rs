//! How much of a node's Pod ranges is in use, and when that is worth telling.

use std::collections::BTreeSet;
use std::net::IpAddr;

use engine_ipam::IpRange;
use types::{PoolFacts, Prefix};

/// Share of a range beyond which it counts as nearly full.
const NEARLY_FULL_PERCENT: u64 = 90;
/// Share of a range by which its use must change before it is told anew: an annotation that followed every Pod would be
/// read by every node for every Pod.
const WORTH_TELLING_PERCENT: u64 = 5;

/// How full a range is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// There is room.
    Room,
    /// A tenth is left, or less.
    NearlyFull,
    /// No address can be given.
    Full,
}

/// The state of each Pod range, given the addresses that Pods have and those that rest.
#[must_use]
pub fn pools(ranges: &[Prefix], used: &BTreeSet<IpAddr>, resting: &BTreeSet<IpAddr>) -> Vec<PoolFacts> {
    let pool = |range: &Prefix| {
        let hosts = IpRange::hosts(*range)?;
        let count = |addresses: &mut dyn Iterator<Item = &IpAddr>| {
            let count = addresses.filter(|address| hosts.contains(**address)).count();
            u64::try_from(count).unwrap_or(u64::MAX)
        };
        let size = u64::try_from(range.size().saturating_sub(2)).unwrap_or(u64::MAX);
        let (used_here, resting_here) = (count(&mut used.iter()), count(&mut resting.difference(used)));
        Some(PoolFacts { range: *range, size, used: used_here, resting: resting_here })
    };
    ranges.iter().filter_map(pool).collect()
}

/// What is to be told of the ranges: what was told already, unless that misleads by now.
#[must_use]
pub fn pools_to_tell(told: &[PoolFacts], now: Vec<PoolFacts>) -> Vec<PoolFacts> {
    let old = |now: &PoolFacts| told.iter().copied().find(|told| is_alike(told, now));
    now.into_iter().map(|now| old(&now).unwrap_or(now)).collect()
}

fn is_alike(told: &PoolFacts, now: &PoolFacts) -> bool {
    let difference = taken(told).abs_diff(taken(now));
    (told.range, told.size) == (now.range, now.size)
        && level(told) == level(now)
        && difference.saturating_mul(100) <= now.size.saturating_mul(WORTH_TELLING_PERCENT)
}

pub(crate) fn level(pool: &PoolFacts) -> Level {
    let taken = taken(pool);
    if taken >= pool.size {
        Level::Full
    } else if taken.saturating_mul(100) >= pool.size.saturating_mul(NEARLY_FULL_PERCENT) {
        Level::NearlyFull
    } else {
        Level::Room
    }
}

pub(crate) fn taken(pool: &PoolFacts) -> u64 {
    pool.used.saturating_add(pool.resting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_pool(used: u64, resting: u64) -> PoolFacts {
        PoolFacts { range: "10.244.0.0/24".parse().unwrap(), size: 254, used, resting }
    }

    fn ip(last: u8) -> IpAddr {
        [10, 244, 0, last].into()
    }

    #[test]
    fn addresses_are_counted_in_their_range_and_once() {
        let ranges = ["10.244.0.0/24", "fd00::/64"].map(|range| range.parse().unwrap());
        let used = BTreeSet::from([ip(0), ip(2), ip(3), [10, 244, 9, 9].into()]);
        let resting = BTreeSet::from([ip(3), ip(4)]);
        let found = pools(&ranges, &used, &resting);
        assert_eq!(found[0], mk_pool(2, 1), "the first address is the node's own");
        assert_eq!((found[1].used, found[1].size), (0, u64::MAX - 1));
        assert_eq!(level(&found[1]), Level::Room);
    }

    #[test]
    fn a_range_is_nearly_full_when_a_tenth_is_left_and_full_when_nothing_is() {
        assert_eq!(level(&mk_pool(220, 8)), Level::Room);
        assert_eq!(level(&mk_pool(220, 9)), Level::NearlyFull);
        assert_eq!(level(&mk_pool(250, 4)), Level::Full);
    }

    #[test]
    fn single_pods_are_not_told_but_a_full_range_is() {
        let tell = |told: PoolFacts, now| pools_to_tell(&[told], vec![now])[0];
        assert_eq!(tell(mk_pool(10, 0), mk_pool(22, 0)), mk_pool(10, 0));
        assert_eq!(tell(mk_pool(10, 0), mk_pool(23, 0)), mk_pool(23, 0));
        assert_eq!(tell(mk_pool(253, 0), mk_pool(254, 0)), mk_pool(254, 0));
        assert_eq!(tell(mk_pool(254, 0), mk_pool(250, 0)), mk_pool(250, 0));
        assert_eq!(pools_to_tell(&[], vec![mk_pool(1, 0)]), [mk_pool(1, 0)]);
    }
}
