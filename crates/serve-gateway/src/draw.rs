//! Random numbers: which backend, which request ID.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// A keyed hash of a counter; the keys come from the operating system.
#[derive(Debug, Default)]
pub(crate) struct Draw {
    keys: [RandomState; 2],
    counter: AtomicU64,
}

impl Draw {
    /// The next number; its halves are independent.
    pub(crate) fn next(&self) -> u128 {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let [high, low] = [&self.keys[0], &self.keys[1]].map(|keys| {
            let mut hasher = keys.build_hasher();
            hasher.write_u64(number);
            u128::from(hasher.finish())
        });
        high << 64 | low
    }
}
