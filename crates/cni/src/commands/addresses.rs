//! Which addresses an attachment gets.

use std::collections::BTreeSet;
use std::net::IpAddr;

use engine_ipam::{IpRange, allocate};
use types::{IpFamily, Prefix};

use crate::CniError;
use crate::store::LastGiven;

/// What is known of the addresses of a node.
pub(super) struct Pool<'a> {
    pub(super) in_use: &'a BTreeSet<IpAddr>,
    pub(super) resting: &'a BTreeSet<IpAddr>,
    pub(super) last: &'a LastGiven,
}

impl Pool<'_> {
    /// One address out of each range, the wished one where there is a wish.
    pub(super) fn choose(&self, ranges: &[Prefix], wishes: &[IpAddr]) -> Result<Vec<IpAddr>, CniError> {
        for (index, wish) in wishes.iter().enumerate() {
            let family = IpFamily::of(*wish);
            let is_first = wishes[..index].iter().all(|other| IpFamily::of(*other) != family);
            let has_range = ranges.iter().any(|range| range.family() == family);
            let reason = match (has_range, is_first) {
                (true, true) => continue,
                (false, _) => {
                    format!("address {wish} is asked for, and the node has no Pod range of its family")
                }
                (true, false) => format!("address {wish} is asked for, and another of the same family"),
            };
            return Err(CniError::Config { reason });
        }
        let wish = |range: &Prefix| wishes.iter().copied().find(|wish| IpFamily::of(*wish) == range.family());
        ranges.iter().map(|range| self.next(*range, wish(range))).collect()
    }

    /// Whoever asks for a certain address knows whose it was; everybody else gets one that no Pod has had for a while.
    pub(super) fn next(&self, range: Prefix, wish: Option<IpAddr>) -> Result<IpAddr, CniError> {
        let Some(hosts) = IpRange::hosts(range) else {
            let reason = format!("range {range} has no address for a Pod");
            return Err(CniError::Config { reason });
        };
        if wish.is_some() {
            return Ok(allocate(&[hosts], self.in_use, wish, None)?);
        }
        let after = self.last.addresses.iter().copied().find(|address| hosts.contains(*address));
        let taken = self.in_use.union(self.resting).copied().collect();
        allocate(&[hosts], &taken, None, after).map_err(|_| self.exhausted(hosts))
    }

    fn exhausted(&self, hosts: IpRange) -> CniError {
        let within = |addresses: &BTreeSet<IpAddr>| addresses.range(hosts.first()..=hosts.last()).count();
        let in_use = within(self.in_use);
        let resting = self.resting.difference(self.in_use).copied().collect();
        CniError::Exhausted { range: hosts.to_string(), in_use, resting: within(&resting) }
    }
}
