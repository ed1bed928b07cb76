//! Slots of a frontend: how many there are, and to which backend each leads.

use std::collections::BTreeSet;

use plan::{Backend, Choice, Scheduling};

use crate::fixed::{MAX_BACKENDS, class, draw_size};
use crate::services::Clients;

/// Sizes of the tables by which clients are hashed. They are primes, so that every step through a table reaches every
/// slot (Eisenbud et al., "Maglev", NSDI 2016, section 3.4), and fit 16 bits.
pub(crate) const HASH_SIZES: [u32; 5] = [251, 1021, 4093, 16_381, 65_521];
/// Slots per backend that keep shares within about 1 % (the same, section 5.3).
const HASH_SLOTS_PER_BACKEND: usize = 100;
/// Slots among which weights are spread when they cannot be had exactly with [`EXACT_SLOTS`].
const SPREAD_SLOTS: u64 = 256;
/// Up to this many slots are drawn from exactly.
const EXACT_SLOTS: u64 = 32;

/// The slots of an outcome's backends, in order.
pub(crate) fn slots(backends: &BTreeSet<Backend>, scheduling: &Scheduling) -> Vec<Backend> {
    let most = MAX_BACKENDS as usize;
    match scheduling.by {
        Choice::Random if scheduling.shares.is_empty() => backends.iter().take(most).cloned().collect(),
        Choice::Random => spread(&weights(backends, scheduling)),
        Choice::SourceHash => {
            let weights = weights(backends, scheduling);
            maglev(&weights, hash_size(weights.len()))
        }
    }
}

/// How one of an outcome's slots is found, as the first lookup says it; `None` for no backend.
pub(crate) fn choice(backends: &BTreeSet<Backend>, scheduling: &Scheduling, clients: Clients) -> Option<u32> {
    let hash = match clients {
        Clients::Internal => class::HASH,
        Clients::External => class::HASH_EXTERNAL,
    };
    match scheduling.by {
        Choice::Random => draw_of(slots(backends, scheduling).len(), clients),
        Choice::SourceHash if backends.is_empty() => None,
        Choice::SourceHash => Some(hash + hash_size(weights(backends, scheduling).len())),
    }
}

/// How one of so many slots is drawn; `None` for none.
pub(crate) fn draw_of(slots: usize, clients: Clients) -> Option<u32> {
    let draw = match clients {
        Clients::Internal => class::INTERNAL,
        Clients::External => class::EXTERNAL,
    };
    let slots = u32::try_from(slots).map_or(MAX_BACKENDS, |slots| slots.min(MAX_BACKENDS));
    (slots > 0).then(|| draw + draw_size(slots))
}

/// The backends that are chosen from, as many as there may be, with their weights.
fn weights(backends: &BTreeSet<Backend>, scheduling: &Scheduling) -> Vec<(Backend, u64)> {
    let weights = scheduling.weights(backends).into_iter();
    weights.take(MAX_BACKENDS as usize).map(|(backend, weight)| (backend.clone(), weight)).collect()
}

/// As many slots for each backend as its weight asks for: exactly where few slots do, else to the nearest part in 256,
/// by the largest remainder; everyone has one.
fn spread(weighted: &[(Backend, u64)]) -> Vec<Backend> {
    let divisor = weighted.iter().fold(0, |divisor, (_, weight)| gcd(divisor, *weight)).max(1);
    let total: u64 = weighted.iter().map(|(_, weight)| weight / divisor).sum();
    let counts: Vec<u64> = if total <= EXACT_SLOTS.max(weighted.len() as u64) {
        weighted.iter().map(|(_, weight)| weight / divisor).collect()
    } else {
        let most = u64::from(MAX_BACKENDS);
        apportion(weighted, SPREAD_SLOTS.max(weighted.len() as u64 * 4).min(most))
    };
    let repeated = |((backend, _), count): (&(Backend, u64), u64)| {
        std::iter::repeat_n(backend.clone(), usize::try_from(count).unwrap_or(usize::MAX))
    };
    weighted.iter().zip(counts).flat_map(repeated).collect()
}

/// `slots` among the backends, by the largest remainder.
fn apportion(weighted: &[(Backend, u64)], slots: u64) -> Vec<u64> {
    let total: u64 = weighted.iter().map(|(_, weight)| weight).sum();
    let exact = |weight: u64| u128::from(weight) * u128::from(slots);
    let whole = |weight: u64| u64::try_from(exact(weight) / u128::from(total)).unwrap_or(slots).max(1);
    let mut counts: Vec<u64> = weighted.iter().map(|(_, weight)| whole(*weight)).collect();
    let mut order: Vec<usize> = (0..weighted.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(exact(weighted[*index].1) % u128::from(total)));
    let mut left = slots.saturating_sub(counts.iter().sum());
    for index in order.into_iter().cycle() {
        if left == 0 {
            break;
        }
        counts[index] += 1;
        left -= 1;
    }
    counts
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// How large the table for this many backends is.
fn hash_size(backends: usize) -> u32 {
    let enough = |size: &u32| *size as usize >= backends * HASH_SLOTS_PER_BACKEND;
    HASH_SIZES.into_iter().find(enough).unwrap_or(HASH_SIZES[HASH_SIZES.len() - 1])
}

/// The table of Maglev (the same, section 3.4): each backend in its turn takes the next free slot of its own walk through
/// the table, so that one that comes or goes changes little but its own slots. Weights make turns more or less frequent.
fn maglev(weighted: &[(Backend, u64)], size: u32) -> Vec<Backend> {
    let Some(heaviest) = weighted.iter().map(|(_, weight)| *weight).max() else { return Vec::new() };
    let size = u64::from(size);
    let mut walks: Vec<(u64, u64)> = weighted
        .iter()
        .map(|(backend, _)| {
            let hash = types::mixed_hash(&backend.to_string());
            ((hash >> 32) % size, (hash & 0xffff_ffff) % (size - 1) + 1)
        })
        .collect();
    let mut turns = vec![0; weighted.len()];
    let mut table: Vec<Option<usize>> = vec![None; usize::try_from(size).unwrap_or(usize::MAX)];
    let mut left = table.len();
    while left > 0 {
        for (index, (_, weight)) in weighted.iter().enumerate() {
            turns[index] += weight;
            if turns[index] < heaviest || left == 0 {
                continue;
            }
            turns[index] -= heaviest;
            let (place, step) = &mut walks[index];
            loop {
                let slot = &mut table[usize::try_from(*place).unwrap_or_default()];
                *place = (*place + *step) % size;
                if slot.is_none() {
                    *slot = Some(index);
                    left -= 1;
                    break;
                }
            }
        }
    }
    table.into_iter().flatten().map(|index| weighted[index].0.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::Share;
    use std::collections::BTreeMap;
    use types::Port;

    fn mk_backends(count: u8) -> BTreeSet<Backend> {
        let port = Port::try_from(8080).unwrap();
        (1..=count).map(|last| Backend { address: [10, 244, 0, last].into(), port }).collect()
    }

    /// The first `counts[0]` backends are of the first group, the next of the second, and so on.
    fn mk_scheduling(by: Choice, groups: &[(u32, u8)]) -> Scheduling {
        let mut rest = mk_backends(groups.iter().map(|(_, count)| count).sum()).into_iter();
        let shares = groups.iter().map(|(weight, count)| Share {
            group: String::new(),
            weight: *weight,
            backends: rest.by_ref().take(usize::from(*count)).collect(),
        });
        Scheduling { by, shares: shares.collect() }
    }

    fn counts(slots: &[Backend]) -> Vec<usize> {
        let mut counts: BTreeMap<&Backend, usize> = BTreeMap::new();
        slots.iter().for_each(|backend| *counts.entry(backend).or_default() += 1);
        counts.into_values().collect()
    }

    #[test]
    fn without_weights_everyone_has_one_slot() {
        assert_eq!(counts(&slots(&mk_backends(40), &Scheduling::default())), [1; 40]);
    }

    #[test]
    fn a_group_has_its_share_however_many_it_is() {
        let nine_to_one = mk_scheduling(Choice::Random, &[(9, 3), (1, 1)]);
        assert_eq!(counts(&slots(&mk_backends(4), &nine_to_one)), [3, 3, 3, 1]);
        // Two of the three are left: nine tenths are theirs.
        let mut left = mk_backends(4);
        left.pop_first();
        assert_eq!(counts(&slots(&left, &nine_to_one)), [9, 9, 2]);
        let odd = mk_scheduling(Choice::Random, &[(97, 1), (3, 7)]);
        let counts = counts(&slots(&mk_backends(8), &odd));
        assert_eq!((counts[0], counts.iter().sum::<usize>()), (249, 256));
    }

    #[test]
    fn weight_nought_gets_nothing_unless_there_is_nothing_else() {
        let drained = mk_scheduling(Choice::Random, &[(1, 1), (0, 1)]);
        assert_eq!(slots(&mk_backends(2), &drained).len(), 1);
        let last: BTreeSet<Backend> = mk_backends(2).into_iter().skip(1).collect();
        assert_eq!(slots(&last, &drained).len(), 1);
    }

    #[test]
    fn hashed_clients_are_spread_evenly_and_by_weight() {
        for count in [1, 2, 3, 10, 40, 200] {
            let by_hash = mk_scheduling(Choice::SourceHash, &[]);
            let counts = counts(&slots(&mk_backends(count), &by_hash));
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - least <= 1 + most / 50, "{count} backends: {least} to {most}");
        }
        let weighted = mk_scheduling(Choice::SourceHash, &[(3, 1), (1, 1)]);
        let counts = counts(&slots(&mk_backends(2), &weighted));
        assert!((counts[0] * 100 / 251).abs_diff(75) <= 1, "{counts:?}");
    }

    #[test]
    fn few_clients_move_when_a_backend_goes() {
        let by_hash = mk_scheduling(Choice::SourceHash, &[]);
        let all = mk_backends(10);
        let before = slots(&all, &by_hash);
        for gone in &all {
            let left: BTreeSet<Backend> = all.iter().filter(|backend| *backend != gone).cloned().collect();
            let after = slots(&left, &by_hash);
            assert_eq!(after.len(), before.len(), "the table keeps its size");
            let moved = before
                .iter()
                .zip(&after)
                .filter(|(before, after)| *before != gone && before != after)
                .count();
            assert!(moved * 100 < before.len() * 6, "{moved} of {} moved without need", before.len());
        }
    }
}
