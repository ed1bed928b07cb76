//! A hash table of byte strings that is quick to clear, bounded, and indifferent to invented collisions.

use std::fmt;
use std::hint::black_box;

use super::lookup::Key;

/// How far from its place an entry is looked for; one that finds all these taken takes the last.
const REACH: usize = 8;
/// Slots of the first table.
const FIRST_SLOTS: usize = 1 << 10;
/// How many entries are fetched side by side.
const SIDE_BY_SIDE: usize = 64;

/// Values by keys. Both lie one after the other in one buffer.
pub(super) struct Table {
    seed: u64,
    max_bytes: usize,
    slots: Vec<Slot>,
    used: usize,
    bytes: Vec<u8>,
}

/// Where an entry lies: two bytes with the length of its key, two with that of its value, then both.
#[derive(Clone, Copy, Default)]
struct Slot {
    /// Upper half of the key's hash.
    tag: u32,
    /// One more than the entry's place; 0 is empty.
    at: u32,
}

impl Table {
    pub(super) fn new(max_bytes: usize, seed: u64) -> Self {
        let max_bytes = max_bytes.min(u32::MAX as usize - 1);
        Self { seed, max_bytes, slots: Vec::new(), used: 0, bytes: Vec::new() }
    }

    pub(super) fn clear(&mut self) {
        if self.used > 0 {
            self.slots.fill(Slot::default());
            self.used = 0;
            self.bytes.clear();
        }
    }

    /// What keys are hashed with.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Reads what [`Self::get`] will, for many keys: first all slots, then all entries, none of which waits for another.
    pub(super) fn fetch(&self, hashes: impl Iterator<Item = u64>) {
        let mut places = [0; SIDE_BY_SIDE];
        let mut number = 0;
        for (place, hash) in places.iter_mut().zip(hashes) {
            *place = self.reach(hash).next().map_or(0, |index| self.slots[index].at);
            number += 1;
        }
        let places = places[..number].iter().filter_map(|at| usize::try_from(*at).ok()?.checked_sub(1));
        let first_bytes = places.filter_map(|at| self.bytes.get(at)).map(|byte| u64::from(*byte));
        black_box(first_bytes.sum::<u64>());
    }

    pub(super) fn get(&self, hash: u64, key: Key<'_>) -> Option<&[u8]> {
        for index in self.reach(hash) {
            let slot = self.slots[index];
            if slot.at == 0 {
                return None;
            }
            if slot.tag == tag(hash)
                && let Some((found, value)) = self.entry(slot)
                && Key::of_bytes(found).is_some_and(|found| found.is(key))
            {
                return Some(value);
            }
        }
        None
    }

    /// Sets the value of a key, written in parts; too long ones are not taken.
    pub(super) fn insert(&mut self, hash: u64, key: Key<'_>, value: &[&[u8]]) {
        let key = key.to_bytes();
        let value_length: usize = value.iter().map(|part| part.len()).sum();
        let lengths = (u16::try_from(key.len()), u16::try_from(value_length));
        let (Ok(key_length), Ok(value_length)) = lengths else { return };
        let length = 4 + key.len() + usize::from(value_length);
        if length > self.max_bytes {
            return;
        }
        if self.bytes.len() + length > self.max_bytes {
            self.clear();
        }
        if self.used * 2 >= self.slots.len() {
            self.grow();
        }
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&key_length.to_le_bytes());
        self.bytes.extend_from_slice(&value_length.to_le_bytes());
        self.bytes.extend_from_slice(&key);
        value.iter().for_each(|part| self.bytes.extend_from_slice(part));
        // Bounded by the largest number of bytes.
        let at = u32::try_from(at + 1).unwrap_or(u32::MAX);
        self.place(hash, Slot { tag: tag(hash), at });
    }

    fn place(&mut self, hash: u64, slot: Slot) {
        let index = self.reach(hash).find(|index| self.slots[*index].at == 0);
        self.used += usize::from(index.is_some());
        let index = index.or_else(|| self.reach(hash).last());
        if let Some(index) = index {
            self.slots[index] = slot;
        }
    }

    fn grow(&mut self) {
        let wider = vec![Slot::default(); (self.slots.len() * 2).max(FIRST_SLOTS)];
        let old = std::mem::replace(&mut self.slots, wider);
        self.used = 0;
        for slot in old {
            let key = self.entry(slot).and_then(|(key, _)| Key::of_bytes(key));
            if let Some(hash) = key.map(|key| key.hash(self.seed)) {
                self.place(hash, slot);
            }
        }
    }

    /// The slots where a key may be, in order.
    fn reach(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let slots = self.slots.len();
        let first = hash as usize;
        let number = if slots == 0 { 0 } else { REACH };
        // The number of slots is a power of two.
        (0..number).map(move |step| first.wrapping_add(step) & (slots - 1))
    }

    fn entry(&self, slot: Slot) -> Option<(&[u8], &[u8])> {
        let at = usize::try_from(slot.at).ok()?.checked_sub(1)?;
        let (lengths, rest) = self.bytes.get(at..)?.split_first_chunk::<4>()?;
        let key = usize::from(u16::from_le_bytes([lengths[0], lengths[1]]));
        let value = usize::from(u16::from_le_bytes([lengths[2], lengths[3]]));
        let (key, rest) = rest.split_at_checked(key)?;
        Some((key, rest.get(..value)?))
    }
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("used", &self.used).field("bytes", &self.bytes.len()).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn key(name: &[u8]) -> Key<'_> {
        Key { name, suffix: [0, 1, 2, 3, 4] }
    }

    fn get<'t>(table: &'t Table, name: &[u8]) -> Option<&'t [u8]> {
        let hash = key(name).hash(table.seed());
        table.fetch([hash].into_iter());
        table.get(hash, key(name))
    }

    fn insert(table: &mut Table, name: &[u8], value: &[&[u8]]) {
        table.insert(key(name).hash(table.seed()), key(name), value);
    }

    #[test]
    fn what_is_put_in_is_found_until_it_is_full() {
        let mut table = Table::new(1 << 20, 7);
        let name = |number: u32| format!("name-{number}").into_bytes();
        assert_eq!(get(&table, b"a"), None);
        for number in 0..5000 {
            insert(&mut table, &name(number), &[b"value ", &number.to_le_bytes()]);
        }
        let found = (0..5000).filter(|number| get(&table, &name(*number)).is_some()).count();
        assert!(found > 4900, "few are displaced: {found}");
        let value = [&b"value "[..], &4999_u32.to_le_bytes()].concat();
        assert_eq!(get(&table, &name(4999)).unwrap(), value);
        assert_eq!(get(&table, b"NAME-4999").unwrap(), value);
        table.clear();
        assert_eq!(get(&table, &name(4999)), None);
    }

    #[test]
    fn it_is_begun_anew_when_full() {
        let mut table = Table::new(1000, 7);
        for number in 0..1000 {
            let name = format!("{number:04}");
            insert(&mut table, name.as_bytes(), &[&[0; 87]]);
            assert!(table.bytes.len() <= 1000);
            assert!(get(&table, name.as_bytes()).is_some());
        }
        insert(&mut table, b"long", &[&[0; 997]]);
        assert_eq!(get(&table, b"long"), None);
    }

    #[test]
    fn keys_of_one_hash_displace_each_other_and_no_more() {
        let mut table = Table::new(1 << 20, 7);
        insert(&mut table, b"other", &[b"1"]);
        let hash = key(b"x").hash(table.seed());
        for at in 0..100 {
            table.place(hash, Slot { tag: tag(hash), at: at + 1_000_000 });
        }
        assert_eq!(get(&table, b"x"), None);
        assert_eq!(get(&table, b"other"), Some(&b"1"[..]));
    }
}
