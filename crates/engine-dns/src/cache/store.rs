//! A bounded number of entries and of bytes: the clock algorithm makes room.
//!
//! A hand goes round; it spares an entry that was looked for since it last came by, once, and takes any other. A new entry
//! has not been looked for, so that a flood of questions that nobody repeats pushes out itself and nothing else (SIEVE,
//! Zhang et al., NSDI 2024, has the same rule; its order is that of arrival, ours that of places).

use super::entry::Entry;

/// How much memory entries may take on average.
const BYTES_PER_ENTRY: usize = 1024;
/// But one reply of the largest size must fit.
const LEAST_BYTES: usize = 80 * 1024;

/// Entries by their slots.
#[derive(Debug)]
pub(crate) struct Store {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    hand: usize,
    bytes: usize,
    capacity: usize,
    evictions: u64,
}

#[derive(Debug)]
struct Slot {
    entry: Entry,
    was_looked_for: bool,
}

impl Store {
    /// An empty store for so many entries.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), hand: 0, bytes: 0, capacity, evictions: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn evictions(&self) -> u64 {
        self.evictions
    }

    pub(crate) fn entry(&self, slot: usize) -> Option<&Entry> {
        self.slots.get(slot)?.as_ref().map(|slot| &slot.entry)
    }

    /// An entry that is looked for.
    pub(crate) fn touch(&mut self, slot: usize) -> Option<&mut Entry> {
        let slot = self.slots.get_mut(slot)?.as_mut()?;
        slot.was_looked_for = true;
        Some(&mut slot.entry)
    }

    /// Adds an entry and tells its slot; `gone` is told the hash and the slot of each that makes room. Entries that ended
    /// before `dead` go first.
    pub(crate) fn insert(
        &mut self,
        entry: Entry,
        dead: u64,
        mut gone: impl FnMut(u64, usize),
    ) -> Option<usize> {
        let size = entry.size();
        let most = self.most_bytes();
        if self.capacity == 0 || size > most {
            return None;
        }
        while self.len() >= self.capacity || self.bytes + size > most {
            let (hash, slot) = self.evict(dead);
            gone(hash, slot);
        }
        self.bytes += size;
        let slot = Slot { entry, was_looked_for: false };
        Some(match self.free.pop() {
            Some(at) => {
                self.slots[at] = Some(slot);
                at
            }
            None => {
                self.slots.push(Some(slot));
                self.slots.len() - 1
            }
        })
    }

    pub(crate) fn remove(&mut self, at: usize) {
        if let Some(slot) = self.slots.get_mut(at).and_then(Option::take) {
            self.bytes -= slot.entry.size();
            self.free.push(at);
        }
    }

    /// Takes the next entry that the hand does not spare. There is one: after one round none is spared any more.
    fn evict(&mut self, dead: u64) -> (u64, usize) {
        loop {
            let at = self.hand % self.slots.len();
            self.hand = at + 1;
            let Some(slot) = &mut self.slots[at] else { continue };
            if slot.was_looked_for && slot.entry.ends >= dead {
                slot.was_looked_for = false;
                continue;
            }
            let hash = slot.entry.hash;
            self.evictions += 1;
            self.remove(at);
            return (hash, at);
        }
    }

    fn most_bytes(&self) -> usize {
        self.capacity.saturating_mul(BYTES_PER_ENTRY).max(LEAST_BYTES)
    }
}
