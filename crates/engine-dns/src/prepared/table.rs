//! A hash table of byte strings that is quick to clear, bounded, and indifferent to invented collisions.

use std::fmt;

/// How far from its place an entry is looked for; one that finds all these taken takes the last.
const REACH: usize = 8;
/// Slots of the first table.
const FIRST_SLOTS: usize = 1 << 10;
/// Odd numbers without pattern, as wyhash multiplies with.
const FACTORS: [u64; 2] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db];

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

    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let hash = self.hash(key);
        for index in self.reach(hash) {
            let slot = self.slots[index];
            if slot.at == 0 {
                return None;
            }
            if slot.tag == tag(hash)
                && let Some((found, value)) = self.entry(slot)
                && found == key
            {
                return Some(value);
            }
        }
        None
    }

    /// Sets the value of a key, written in parts; too long ones are not taken.
    pub(super) fn insert(&mut self, key: &[u8], value: &[&[u8]]) {
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
        self.bytes.extend_from_slice(key);
        value.iter().for_each(|part| self.bytes.extend_from_slice(part));
        // Bounded by the largest number of bytes.
        let at = u32::try_from(at + 1).unwrap_or(u32::MAX);
        let hash = self.hash(key);
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
            if let Some((key, _)) = self.entry(slot) {
                self.place(self.hash(key), slot);
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

    /// A hash that somebody who does not know the seed cannot foresee well; if they could, they would only displace entries.
    fn hash(&self, key: &[u8]) -> u64 {
        let mut hash = self.seed ^ key.len() as u64;
        let (words, rest) = key.as_chunks::<8>();
        for word in words {
            hash = fold(hash ^ u64::from_le_bytes(*word), FACTORS[0]);
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        fold(hash ^ u64::from_le_bytes(last), FACTORS[1])
    }
}

fn fold(number: u64, factor: u64) -> u64 {
    let product = u128::from(number) * u128::from(factor);
    (product >> 64) as u64 ^ product as u64
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

    #[test]
    fn what_is_put_in_is_found_until_it_is_full() {
        let mut table = Table::new(1 << 20, 7);
        assert_eq!(table.get(b"a"), None);
        for number in 0..5000_u32 {
            table.insert(&number.to_be_bytes(), &[b"value ", &number.to_le_bytes()]);
        }
        let found = (0..5000_u32).filter(|number| table.get(&number.to_be_bytes()).is_some()).count();
        assert!(found > 4900, "few are displaced: {found}");
        let value = table.get(&4999_u32.to_be_bytes()).unwrap();
        assert_eq!(value, [&b"value "[..], &4999_u32.to_le_bytes()].concat());
        table.clear();
        assert_eq!(table.get(&4999_u32.to_be_bytes()), None);
    }

    #[test]
    fn it_is_begun_anew_when_full() {
        let mut table = Table::new(1000, 7);
        for number in 0..1000_u32 {
            table.insert(&number.to_be_bytes(), &[&[0; 92]]);
            assert!(table.bytes.len() <= 1000);
            assert!(table.get(&number.to_be_bytes()).is_some());
        }
        table.insert(b"long", &[&[0; 997]]);
        assert_eq!(table.get(b"long"), None);
    }

    #[test]
    fn keys_of_one_hash_displace_each_other_and_no_more() {
        let mut table = Table::new(1 << 20, 7);
        table.insert(b"other", &[b"1"]);
        let hash = table.hash(b"x");
        for at in 0..100 {
            table.place(hash, Slot { tag: tag(hash), at: at + 1_000_000 });
        }
        assert_eq!(table.get(b"x"), None);
        assert_eq!(table.get(b"other"), Some(&b"1"[..]));
    }
}
