//! The cache of one server block: shards with a lock each, so that threads seldom wait for each other.

use std::hash::RandomState;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use engine_dns::{Cache, CacheCounts, CacheKey, Found, Question};
use plan::DnsCache;

/// With more, threads hardly meet.
const MOST_SHARDS: u32 = 16;
/// With fewer entries in each, chance would fill some shards much more than others.
const ENTRIES_PER_SHARD: u32 = 64;

/// Replies kept for a server block.
#[derive(Debug)]
pub(crate) struct BlockCache {
    shards: Box<[Mutex<Cache>]>,
    hasher: RandomState,
}

impl BlockCache {
    pub(crate) fn new(settings: &DnsCache) -> Self {
        let capacity = settings.success.capacity.max(settings.denial.capacity);
        let number = (capacity / ENTRIES_PER_SHARD).clamp(1, MOST_SHARDS);
        let shards = (0..number).map(|_| Mutex::new(Cache::new(settings, number)));
        Self { shards: shards.collect(), hasher: RandomState::new() }
    }

    /// See [`Cache::look_up`].
    pub(crate) fn look_up(&self, question: Question<'_>, now: Duration, out: &mut Vec<u8>) -> Found {
        self.with(question, |cache, key| cache.look_up(key, now, out))
    }

    /// See [`Cache::fall_back`].
    pub(crate) fn fall_back(&self, question: Question<'_>, now: Duration, out: &mut Vec<u8>) -> bool {
        self.with(question, |cache, key| cache.fall_back(key, now, out))
    }

    /// See [`Cache::settle`]; the reply that clients get.
    pub(crate) fn settle(
        &self,
        question: Question<'_>,
        reply: Option<Vec<u8>>,
        now: Duration,
    ) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let is_written = self.with(question, |cache, key| cache.settle(key, reply.as_deref(), now, &mut out));
        if is_written { Some(out) } else { reply }
    }

    pub(crate) fn counts(&self) -> Vec<CacheCounts> {
        self.shards.iter().map(|shard| lock(shard).counts()).collect()
    }

    fn with<T>(&self, question: Question<'_>, act: impl FnOnce(&mut Cache, &CacheKey<'_>) -> T) -> T {
        let key = CacheKey::new(question, &self.hasher);
        // The low bits choose the place within a shard.
        let shard = usize::try_from((key.hash >> 40) % self.shards.len() as u64).unwrap_or(0);
        act(&mut lock(&self.shards[shard]), &key)
    }
}

fn lock(shard: &Mutex<Cache>) -> std::sync::MutexGuard<'_, Cache> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
