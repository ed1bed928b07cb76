//! Replies of upstream servers, kept for a while: what is found, what is kept and for how long, and what makes room.
//!
//! A [`Cache`] is plain data: who holds it locks it, tells the time, and asks upstream servers. Names that we own never come
//! here, for they are answered before anybody is asked.

mod entry;
mod store;

use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use hashbrown::HashTable;
use plan::{CacheLimits, DnsCache};

use crate::Keep;
use crate::received::Received;
use entry::{Entry, Kind};
use store::Store;

/// Extended DNS Errors (RFC 8914 section 4): Stale Answer.
const STALE_ANSWER: u16 = 3;
/// Extended DNS Errors: Cached Error.
const CACHED_ERROR: u16 = 13;
/// Extended DNS Errors: Stale NXDOMAIN Answer.
const STALE_NXDOMAIN: u16 = 19;
/// The time to live of stale records, in seconds (RFC 8767 section 4).
const STALE_TTL: u32 = 30;
/// Somebody who was told to ask anew is given so many milliseconds, then the next is told.
const REFRESH_PAUSE: u64 = 5_000;

/// What is looked for, with its hash.
#[derive(Clone, Copy, Debug)]
pub struct CacheKey<'a> {
    /// The hash, for a cache and for its choice among several.
    pub hash: u64,
    question: Question<'a>,
}

/// A question for upstream servers of a block, as a cache tells it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question<'a> {
    /// Which forward of the block it goes to.
    pub forward: usize,
    /// Which replies to it are kept: clients that asked for other names, which rewrites made the same, may differ in that.
    pub keep: Keep,
    /// The packet, as [`crate::Ask::query`] has it.
    pub query: &'a [u8],
}

/// What is known of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Absent,
    /// A reply, which was written.
    Fresh,
    /// A reply, which was written, and which is to be asked anew before it ends.
    Ending,
    /// A reply that has ended; it was written, for upstream servers have just failed.
    Stale,
    /// A reply that has ended; it was written, and is to be asked anew.
    StaleEnding,
    /// A reply that has ended; it is written by [`Cache::fall_back`] when upstream servers fail or take too long.
    Waiting,
}

/// What a cache has done so far, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Look-ups.
    pub requests: u64,
    /// Look-ups that found a reply with records.
    pub success_hits: u64,
    /// Look-ups that found one without, or a failure.
    pub denial_hits: u64,
    /// Look-ups that found none.
    pub misses: u64,
    /// Stale replies given.
    pub stale: u64,
    /// Replies to be asked anew before they ended.
    pub prefetches: u64,
    /// Replies not kept because they do not answer the question.
    pub drops: u64,
    /// Replies with records that had to make room.
    pub success_evictions: u64,
    /// Replies without, that had to make room.
    pub denial_evictions: u64,
    /// Replies with records, now.
    pub success_entries: u64,
    /// Replies without, now.
    pub denial_entries: u64,
}

/// Replies by their questions.
#[derive(Debug)]
pub struct Cache {
    settings: DnsCache,
    index: HashTable<Place>,
    /// Replies with records, and replies without.
    stores: [Store; 2],
    counts: CacheCounts,
}

/// Where an entry is.
#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u64,
    store: usize,
    slot: usize,
}

impl<'a> CacheKey<'a> {
    /// The key of a question.
    pub fn new(question: Question<'a>, hasher: &impl BuildHasher) -> Self {
        Self { hash: hasher.hash_one(question), question }
    }
}

impl Cache {
    /// An empty cache, one of so many that share the settings' capacity.
    #[must_use]
    pub fn new(settings: &DnsCache, shares: u32) -> Self {
        let store = |limits: &CacheLimits| Store::new(limits.capacity.div_ceil(shares.max(1)) as usize);
        let stores = [store(&settings.success), store(&settings.denial)];
        Self { settings: settings.clone(), index: HashTable::new(), stores, counts: CacheCounts::default() }
    }

    /// What it has done and what it holds.
    #[must_use]
    pub fn counts(&self) -> CacheCounts {
        let [success, denial] = &self.stores;
        CacheCounts {
            success_entries: success.len() as u64,
            denial_entries: denial.len() as u64,
            success_evictions: success.evictions(),
            denial_evictions: denial.evictions(),
            ..self.counts
        }
    }

    /// Looks for a reply, and writes it to `out` where [`Found`] says so. Times are since any fixed moment.
    pub fn look_up(&mut self, key: &CacheKey<'_>, now: Duration, out: &mut Vec<u8>) -> Found {
        let now = millis(now);
        self.counts.requests += 1;
        let Some(place) = self.place(key) else {
            self.counts.misses += 1;
            return Found::Absent;
        };
        let Some(entry) = self.stores[place.store].touch(place.slot) else { return Found::Absent };
        let found = found(entry, &self.settings, now);
        match found {
            Found::Absent => self.counts.misses += 1,
            _ if entry.kind == Kind::Success => self.counts.success_hits += 1,
            _ => self.counts.denial_hits += 1,
        }
        match found {
            Found::Absent | Found::Waiting => {}
            Found::Fresh | Found::Ending => write_fresh(entry, &self.settings, now, out),
            Found::Stale | Found::StaleEnding => {
                self.counts.stale += 1;
                write_stale(entry, out);
            }
        }
        self.counts.prefetches += u64::from(found == Found::Ending);
        found
    }

    /// Writes a reply that has ended, for upstream servers have failed or take too long; `false` when there is none.
    pub fn fall_back(&mut self, key: &CacheKey<'_>, now: Duration, out: &mut Vec<u8>) -> bool {
        let now = millis(now);
        let Some(place) = self.place(key) else { return false };
        let Some(entry) = self.stores[place.store].touch(place.slot) else { return false };
        if now < entry.ends {
            write_fresh(entry, &self.settings, now, out);
            return true;
        }
        if !is_servable(entry, &self.settings, now) {
            return false;
        }
        self.counts.stale += 1;
        write_stale(entry, out);
        true
    }

    /// Takes what upstream servers have replied, nothing if none did, and writes what clients get, as [`crate::resume()`] takes
    /// it; `false` when that is the reply as it came.
    pub fn settle(
        &mut self,
        key: &CacheKey<'_>,
        reply: Option<&[u8]>,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> bool {
        let moment = millis(now);
        let received = reply.and_then(Received::parse);
        let is_answer = received.as_ref().is_some_and(|reply| matches!(reply.rcode(), 0 | 3));
        if !is_answer && self.put_off(key, moment) {
            return self.fall_back(key, now, out);
        }
        let hits = self.hits(key);
        let entry = match &received {
            Some(received) => Entry::of(received, &self.settings, moment),
            None => Some(Entry::failure(key.question.query, self.settings.failure_seconds, moment)),
        };
        let Some(mut entry) = entry else {
            self.counts.drops += u64::from(received.is_some_and(|reply| entry::is_off_topic(&reply)));
            // Upstream servers no longer say what was kept.
            if is_answer {
                self.forget(key);
            }
            return false;
        };
        entry.take_hits(hits, moment);
        let is_reply = received.is_some() && entry.kind != Kind::Failure;
        if is_reply {
            write_fresh(&entry, &self.settings, moment, out);
        }
        match is_kept(key.question.keep, entry.kind) {
            true if entry.ends > moment => self.keep(key, entry, moment),
            false if is_answer => self.forget(key),
            _ => {}
        }
        is_reply
    }

    /// Puts off asking anew, if there is a reply to be given meanwhile (RFC 8767 section 5, "failure recheck timer").
    fn put_off(&mut self, key: &CacheKey<'_>, now: u64) -> bool {
        let pause = u64::from(self.settings.failure_seconds) * 1000;
        let Some(place) = self.place(key) else { return false };
        let settings = &self.settings;
        let entry = self.stores[place.store].touch(place.slot);
        let Some(entry) = entry.filter(|entry| entry.kind != Kind::Failure) else { return false };
        if now >= entry.ends && !is_servable(entry, settings, now) {
            return false;
        }
        entry.asked_again_at = now + pause;
        true
    }

    fn hits(&mut self, key: &CacheKey<'_>) -> u32 {
        let place = self.place(key);
        place.and_then(|place| self.stores[place.store].touch(place.slot)).map_or(0, |entry| entry.hits)
    }

    fn keep(&mut self, key: &CacheKey<'_>, mut entry: Entry, now: u64) {
        self.forget(key);
        entry.set_key(key);
        let (store, hash) = (entry.kind.store(), key.hash);
        let stale = u64::from(self.settings.stale_seconds) * 1000;
        let index = &mut self.index;
        let slot = self.stores[store].insert(entry, now.saturating_sub(stale), |hash, slot| {
            if let Ok(entry) = index.find_entry(hash, |place| (place.store, place.slot) == (store, slot)) {
                entry.remove();
            }
        });
        if let Some(slot) = slot {
            self.index.insert_unique(hash, Place { hash, store, slot }, |place| place.hash);
        }
    }

    fn forget(&mut self, key: &CacheKey<'_>) {
        let stores = &mut self.stores;
        if let Ok(found) = self.index.find_entry(key.hash, |place| is_at(stores, place, key)) {
            let (place, _) = found.remove();
            self.stores[place.store].remove(place.slot);
        }
    }

    fn place(&self, key: &CacheKey<'_>) -> Option<Place> {
        self.index.find(key.hash, |place| is_at(&self.stores, place, key)).copied()
    }
}

fn is_at(stores: &[Store; 2], place: &Place, key: &CacheKey<'_>) -> bool {
    let entry = stores[place.store].entry(place.slot);
    place.hash == key.hash && entry.is_some_and(|entry| entry.is_of(&key.question))
}

/// What an entry is good for. Notes that it was looked for, and that somebody was told to ask anew.
fn found(entry: &mut Entry, settings: &DnsCache, now: u64) -> Found {
    if now < entry.ends {
        let is_ending = entry.is_ending(settings.prefetch.as_ref(), now) && entry.asked_again_at <= now;
        if !is_ending {
            return Found::Fresh;
        }
        entry.asked_again_at = now + REFRESH_PAUSE;
        return Found::Ending;
    }
    if !is_servable(entry, settings, now) {
        return Found::Absent;
    }
    if entry.asked_again_at > now {
        return Found::Stale;
    }
    if !settings.stale_at_once {
        return Found::Waiting;
    }
    entry.asked_again_at = now + REFRESH_PAUSE;
    Found::StaleEnding
}

/// Whether an entry that has ended may still be given.
fn is_servable(entry: &Entry, settings: &DnsCache, now: u64) -> bool {
    entry.kind != Kind::Failure && now < entry.ends + u64::from(settings.stale_seconds) * 1000
}

/// Whether a reply of this kind is kept.
fn is_kept(keep: Keep, kind: Kind) -> bool {
    match kind {
        Kind::Success => keep.success,
        Kind::Denial | Kind::Failure => keep.denial,
    }
}

fn write_fresh(entry: &Entry, settings: &DnsCache, now: u64, out: &mut Vec<u8>) {
    let age = if settings.keep_ttl { 0 } else { now.saturating_sub(entry.stored) / 1000 };
    let seconds = u32::try_from(age).unwrap_or(u32::MAX);
    let error = (entry.kind == Kind::Failure).then_some(CACHED_ERROR);
    entry.write(|ttl| ttl.saturating_sub(seconds), error, out);
}

fn write_stale(entry: &Entry, out: &mut Vec<u8>) {
    let error = if entry.is_name_error() { STALE_NXDOMAIN } else { STALE_ANSWER };
    entry.write(|_| STALE_TTL, Some(error), out);
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2)
}
