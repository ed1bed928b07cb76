//! The objects of one kind: a sorted map that can still be read as it was while it goes on changing.
//!
//! Sorted runs of limited length, shared until one side changes them: a copy of the whole costs one reference per
//! run, and a change after it copies the one run it falls into.

use std::sync::Arc;

use crate::key::Key;

/// Longest run.
const RUN: usize = 256;

/// A sorted map from keys to values that are cheap to copy.
#[derive(Clone, Debug)]
pub(crate) struct Collection<V> {
    /// None is empty; keys grow within a run and from run to run.
    runs: Vec<Arc<Vec<(Key, V)>>>,
}

/// A place in a collection that does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    run: usize,
    entry: usize,
}

impl<V> Default for Collection<V> {
    fn default() -> Self {
        Self { runs: Vec::new() }
    }
}

impl<V: Clone> Collection<V> {
    /// The value of a key.
    pub(crate) fn get(&self, key: &Key) -> Option<&V> {
        let run = &self.runs[self.run_of(key)?];
        run.binary_search_by(|(other, _)| other.cmp(key)).ok().map(|entry| &run[entry].1)
    }

    /// Sets the value of a key; returns the one it had.
    pub(crate) fn insert(&mut self, key: &Key, value: V) -> Option<V> {
        let Some(at) = self.run_of(key) else {
            match self.runs.first_mut() {
                Some(first) => Arc::make_mut(first).insert(0, (key.clone(), value)),
                None => self.runs.push(Arc::new(vec![(key.clone(), value)])),
            }
            self.split(0);
            return None;
        };
        let run = Arc::make_mut(&mut self.runs[at]);
        match run.binary_search_by(|(other, _)| other.cmp(key)) {
            Ok(entry) => Some(std::mem::replace(&mut run[entry].1, value)),
            Err(entry) => {
                run.insert(entry, (key.clone(), value));
                self.split(at);
                None
            }
        }
    }

    /// Takes a key out; returns the value it had.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<V> {
        let at = self.run_of(key)?;
        let entry = self.runs[at].binary_search_by(|(other, _)| other.cmp(key)).ok()?;
        let (_, value) = Arc::make_mut(&mut self.runs[at]).remove(entry);
        self.join(at);
        Some(value)
    }

    /// The first place.
    pub(crate) fn start() -> Place {
        Place { run: 0, entry: 0 }
    }

    /// The place of the first key that is not below this one.
    pub(crate) fn place_of(&self, key: &Key) -> Place {
        let Some(run) = self.run_of(key) else { return Self::start() };
        let entry = self.runs[run].partition_point(|(other, _)| other < key);
        Place { run, entry }
    }

    /// What stands at a place, which moves on.
    pub(crate) fn next(&self, place: &mut Place) -> Option<(&Key, &V)> {
        while let Some(run) = self.runs.get(place.run) {
            if let Some((key, value)) = run.get(place.entry) {
                place.entry += 1;
                return Some((key, value));
            }
            *place = Place { run: place.run + 1, entry: 0 };
        }
        None
    }

    /// Everything from a place on, in order.
    pub(crate) fn iter_from(&self, mut place: Place) -> impl Iterator<Item = (&Key, &V)> {
        std::iter::from_fn(move || self.next(&mut place))
    }

    /// Everything, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &V)> {
        self.iter_from(Self::start())
    }

    /// The run a key belongs to; none when it is below all keys.
    fn run_of(&self, key: &Key) -> Option<usize> {
        self.runs.partition_point(|run| run[0].0 <= *key).checked_sub(1)
    }

    /// Makes two of a run that has become too long.
    fn split(&mut self, at: usize) {
        if self.runs[at].len() > RUN {
            let lower = Arc::make_mut(&mut self.runs[at]);
            let upper = lower.split_off(RUN / 2);
            lower.shrink_to_fit();
            self.runs.insert(at + 1, Arc::new(upper));
        }
    }

    /// Drops a run that has become empty, or joins it with the next when both together are short.
    fn join(&mut self, at: usize) {
        let length = self.runs[at].len();
        if length == 0 {
            self.runs.remove(at);
        } else if self.runs.get(at + 1).is_some_and(|next| length + next.len() < RUN / 2) {
            let next = self.runs.remove(at + 1);
            Arc::make_mut(&mut self.runs[at]).extend(next.iter().cloned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u16, u32),
        Remove(u16),
        RemoveFrom(u16, u16),
        Copy,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..2000_u16, any::<u32>()).prop_map(|(key, value)| Step::Insert(key, value)),
            3 => (0..2000_u16).prop_map(Step::Remove),
            1 => (0..2000_u16, 0..400_u16).prop_map(|(from, count)| Step::RemoveFrom(from, count)),
            1 => Just(Step::Copy),
        ]
    }

    /// Numbers spread over namespaces whose names begin alike.
    fn key(number: u16) -> Key {
        let namespace = ["", "a", "a-b", "a.b"][usize::from(number % 4)];
        Key::new(namespace, &format!("n{number}"))
    }

    fn contents(collection: &Collection<u32>) -> Vec<(Key, u32)> {
        collection.iter().map(|(key, value)| (key.clone(), *value)).collect()
    }

    fn is_well_formed(collection: &Collection<u32>) -> bool {
        collection.runs.iter().all(|run| !run.is_empty() && run.len() <= RUN)
    }

    proptest! {
        /// The standard library's map is the oracle; copies taken on the way stay what they were.
        #[test]
        fn behaves_like_a_sorted_map(fill in 0..2000_u16, steps in prop::collection::vec(step(), 0..300)) {
            let (mut ours, mut oracle) = (Collection::default(), BTreeMap::new());
            for number in 0..fill {
                ours.insert(&key(number), 0);
                oracle.insert(key(number), 0);
            }
            let mut copies = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(number, value) => {
                        prop_assert_eq!(ours.insert(&key(number), value), oracle.insert(key(number), value));
                    }
                    Step::Remove(number) => {
                        prop_assert_eq!(ours.remove(&key(number)), oracle.remove(&key(number)));
                    }
                    Step::RemoveFrom(from, count) => {
                        for number in from..from.saturating_add(count) {
                            prop_assert_eq!(ours.remove(&key(number)), oracle.remove(&key(number)));
                        }
                    }
                    Step::Copy => copies.push((ours.clone(), oracle.clone())),
                }
                prop_assert!(is_well_formed(&ours));
            }
            copies.push((ours, oracle));
            for (ours, oracle) in copies {
                let expected: Vec<(Key, u32)> = oracle.iter().map(|(key, value)| (key.clone(), *value)).collect();
                prop_assert_eq!(contents(&ours), expected);
                for number in [0, 1, 2, 3, 500, 1999] {
                    let key = key(number);
                    prop_assert_eq!(ours.get(&key), oracle.get(&key));
                    let rest: Vec<&Key> = ours.iter_from(ours.place_of(&key)).map(|(key, _)| key).collect();
                    let expected: Vec<&Key> = oracle.range(key.clone()..).map(|(key, _)| key).collect();
                    prop_assert_eq!(rest, expected);
                }
            }
        }
    }
}
