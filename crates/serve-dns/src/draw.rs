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
