//! Against the standard library's map; and that nothing shared is looked at.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::node::MOST;
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Insert(u16, u8),
    Remove(u16),
    RemoveFrom(u16, u16),
    Copy,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3000_u16, any::<u8>()).prop_map(|(key, value)| Step::Insert(key, value)),
        3 => (0..3000_u16).prop_map(Step::Remove),
        1 => (0..3000_u16, 0..900_u16).prop_map(|(from, count)| Step::RemoveFrom(from, count)),
        1 => Just(Step::Copy),
    ]
}

fn contents(map: &SharedMap<u16, u8>) -> Vec<(u16, u8)> {
    map.iter().map(|(key, value)| (*key, *value)).collect()
}

fn is_well_formed(node: &Node<u16, u8>) -> bool {
    match node {
        Node::Leaf(entries) => !entries.is_empty() && entries.len() <= MOST,
        Node::Inner { height, children } => {
            (1..=MOST).contains(&children.len())
                && children.iter().all(|child| child.height() + 1 == *height && is_well_formed(child))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// The standard library's map is the oracle; copies taken on the way stay what they were.
    #[test]
    fn behaves_like_a_sorted_map(fill in 0..3000_u16, steps in prop::collection::vec(step(), 0..200)) {
        let mut oracle: BTreeMap<u16, u8> = (0..fill).map(|key| (key, 0)).collect();
        let mut ours: SharedMap<u16, u8> = oracle.clone().into();
        let mut copies = vec![(ours.clone(), oracle.clone())];
        for step in steps {
            match step {
                Step::Insert(key, value) => {
                    let replaced = ours.insert(key, value).map(|entry| entry.1);
                    prop_assert_eq!(replaced, oracle.insert(key, value));
                }
                Step::Remove(key) => {
                    prop_assert_eq!(ours.remove(&key).map(|entry| entry.1), oracle.remove(&key));
                }
                Step::RemoveFrom(from, count) => {
                    for key in from..from.saturating_add(count) {
                        prop_assert_eq!(ours.remove(&key).map(|entry| entry.1), oracle.remove(&key));
                    }
                }
                Step::Copy => copies.push((ours.clone(), oracle.clone())),
            }
            prop_assert_eq!(ours.len(), oracle.len());
        }
        prop_assert!(ours.root.iter().all(|root| is_well_formed(root)));
        copies.push((ours.clone(), oracle.clone()));
        for (map, oracle) in &copies {
            prop_assert_eq!(contents(map), oracle.iter().map(|(key, value)| (*key, *value)).collect::<Vec<_>>());
            for key in [0, 1, 47, 48, 63, 64, 500, 2999] {
                prop_assert_eq!(map.get(&key), oracle.get(&key));
                let rest: Vec<u16> = map.iter_from(&key).map(|(key, _)| *key).collect();
                prop_assert_eq!(rest, oracle.range(key..).map(|(key, _)| *key).collect::<Vec<_>>());
            }
            let keys: BTreeSet<&u16> = oracle.keys().chain(copies.last().unwrap().1.keys()).collect();
            let newest = &copies.last().unwrap().1;
            let expected: Vec<_> = keys
                .into_iter()
                .filter(|key| oracle.get(key) != newest.get(key))
                .map(|key| (*key, oracle.get(key).copied(), newest.get(key).copied()))
                .collect();
            let found = ours.changes_since(map);
            let found: Vec<_> = found.map(|one| (*one.key, one.old.copied(), one.new.copied())).collect();
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!(ours == *map, expected.is_empty());
        }
    }
}

/// A value that counts how often it is compared.
#[derive(Clone, Debug)]
struct Counted(std::rc::Rc<std::cell::Cell<usize>>, u32);

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.0.set(self.0.get() + 1);
        self.1 == other.1
    }
}

#[test]
fn what_is_shared_is_not_compared() {
    let compared = std::rc::Rc::new(std::cell::Cell::new(0));
    let old: SharedMap<u32, Counted> =
        (0..100_000).map(|key| (key, Counted(std::rc::Rc::clone(&compared), 0))).collect();
    let mut new = old.clone();
    assert!(new.is_same(&old));
    new.get_mut(&50_000).unwrap().1 = 1;
    new.remove(&70_000);
    let keys: Vec<u32> = new.changes_since(&old).map(|one| *one.key).collect();
    assert_eq!(keys, [50_000, 70_000]);
    assert_eq!(compared.get(), 1, "the removed one has nothing to be compared with");
}

#[test]
fn values_can_be_changed_without_touching_copies() {
    let mut map: SharedMap<u16, u8> = (0..500).map(|key| (key, 1)).collect();
    let copy = map.clone();
    map.values_mut().for_each(|value| *value += 1);
    map.retain(|key, _| key % 2 == 0);
    assert_eq!((map.len(), map[&498], map.get(&499)), (250, 2, None));
    assert!(copy.values().all(|value| *value == 1) && copy.len() == 500);
}
