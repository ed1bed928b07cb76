//! Random numbers that strangers cannot foresee, for query IDs and the order of records.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// A source of random numbers: a keyed hash (SipHash, keys from the operating system) of a counter.
#[derive(Debug, Default)]
pub(crate) struct Draw {
    keys: RandomState,
    counter: AtomicU64,
}

impl Draw {
    /// The next number.
    pub(crate) fn next(&self) -> u64 {
        let mut hasher = self.keys.build_hasher();
        hasher.write_u64(self.counter.fetch_add(1, Ordering::Relaxed));
        hasher.finish()
    }

    /// The next query ID.
    pub(crate) fn next_id(&self) -> u16 {
        let [low, high, ..] = self.next().to_le_bytes();
        u16::from_le_bytes([low, high])
    }
}

/// Random numbers for what nobody gains from foreseeing, as many per second as can be: splitmix64 from a random start.
#[derive(Debug)]
pub(crate) struct Quick(u64);

impl Quick {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
