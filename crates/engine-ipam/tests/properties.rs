//! What holds for every list of ranges and every state of use.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use sealane_engine_ipam::{IpRange, IpamError, allocate};

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn any_range() -> impl Strategy<Value = IpRange> {
    (0_u8..60, 0_u8..12).prop_map(|(first, more)| {
        IpRange::new(address(first), address(first + more)).expect("first is not after last")
    })
}

fn all_of(ranges: &[IpRange]) -> BTreeSet<IpAddr> {
    (0..=255).map(address).filter(|address| ranges.iter().any(|range| range.contains(*address))).collect()
}

proptest! {
    #[test]
    fn each_address_is_given_once_and_then_none_is_left(
        ranges in prop::collection::vec(any_range(), 0..4),
    ) {
        let all = all_of(&ranges);
        let mut in_use = BTreeSet::new();
        let mut last = None;
        for _ in 0..all.len() {
            let given = allocate(&ranges, &in_use, None, last).unwrap();
            prop_assert!(all.contains(&given));
            prop_assert!(in_use.insert(given), "{given} was given twice");
            last = Some(given);
        }
        let exhausted = allocate(&ranges, &in_use, None, last);
        let is_exhausted = matches!(exhausted, Err(IpamError::Exhausted { .. }));
        prop_assert!(is_exhausted);
    }

    #[test]
    fn a_freed_address_comes_last(
        range in any_range(), used in prop::collection::btree_set(0_u8..72, 0..40),
    ) {
        let ranges = [range];
        let mut in_use: BTreeSet<_> = used.into_iter().map(address).collect();
        let free = all_of(&ranges).difference(&in_use).count();
        let Ok(freed) = allocate(&ranges, &in_use, None, None) else { return Ok(()) };
        // `freed` was given out and freed at once; all others that are free come before it.
        let mut last = freed;
        for _ in 1..free {
            last = allocate(&ranges, &in_use, None, Some(last)).unwrap();
            prop_assert_ne!(last, freed);
            in_use.insert(last);
        }
        prop_assert_eq!(allocate(&ranges, &in_use, None, Some(last)), Ok(freed));
    }

    #[test]
    fn a_wish_is_honoured_or_refused_with_its_reason(
        ranges in prop::collection::vec(any_range(), 1..4),
        used in prop::collection::btree_set(0_u8..72, 0..40),
        wish in 0_u8..80,
    ) {
        let in_use: BTreeSet<_> = used.into_iter().map(address).collect();
        let wish = address(wish);
        match allocate(&ranges, &in_use, Some(wish), None) {
            Ok(given) => {
                prop_assert_eq!(given, wish);
                prop_assert!(!in_use.contains(&wish));
                prop_assert!(all_of(&ranges).contains(&wish));
            }
            Err(IpamError::Taken { .. }) => prop_assert!(in_use.contains(&wish)),
            Err(IpamError::Outside { .. }) => prop_assert!(!all_of(&ranges).contains(&wish)),
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn the_same_question_has_the_same_answer(
        ranges in prop::collection::vec(any_range(), 0..4),
        used in prop::collection::btree_set(0_u8..72, 0..40),
        after in prop::option::of(0_u8..80),
    ) {
        let in_use: BTreeSet<_> = used.into_iter().map(address).collect();
        let ask = || allocate(&ranges, &in_use, None, after.map(address));
        prop_assert_eq!(ask(), ask());
        if let Ok(given) = ask() {
            prop_assert!(!in_use.contains(&given));
        }
    }
}

#[test]
fn a_huge_range_with_few_used_answers_at_once() {
    let ranges = [IpRange::hosts("2001:db8::/64".parse().unwrap()).unwrap()];
    let in_use = (1..=1000_u16).map(|last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last])).collect();
    assert_eq!(allocate(&ranges, &in_use, None, None), Ok("2001:db8::3e9".parse().unwrap()));
}

#[test]
fn errors_say_what_is_wrong() {
    let ranges = ["192.0.2.1-192.0.2.2".parse().unwrap(), "192.0.2.9".parse().unwrap()];
    let wish = allocate(&ranges, &BTreeSet::new(), Some(address(5)), None).unwrap_err();
    assert_eq!(wish.to_string(), "address 192.0.2.5 is not in 192.0.2.1-192.0.2.2, 192.0.2.9-192.0.2.9");
    assert_eq!(
        allocate(&[], &BTreeSet::new(), None, None).unwrap_err().to_string(),
        "no address is free in an empty list of ranges"
    );
}
