//! What is counted, with the meanings that CoreDNS's metrics have.

mod text;

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use engine_dns::{CacheCounts, Limits, Transport};

use crate::asking::Asking;
use crate::query_log::LogCounts;
use crate::upstream::{Dialled, Upstream, Upstreams};

/// The upper bounds of CoreDNS's buckets of time, doubling (`plugin/plugin.go`, `TimeBuckets`): the first in microseconds.
const FIRST_BUCKET_MICROS: u64 = 250;
/// How many there are, without the last, which has no bound.
const BUCKETS: usize = 16;
/// Record types that are counted by themselves (CoreDNS, `plugin/metrics/vars/monitor.go`); the others together.
const TYPES: [(u16, &str); 18] = [
    (1, "A"),
    (28, "AAAA"),
    (15, "MX"),
    (6, "SOA"),
    (5, "CNAME"),
    (12, "PTR"),
    (16, "TXT"),
    (2, "NS"),
    (33, "SRV"),
    (43, "DS"),
    (48, "DNSKEY"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (50, "NSEC3"),
    (65, "HTTPS"),
    (251, "IXFR"),
    (252, "AXFR"),
    (255, "ANY"),
];
/// Response codes in a message's header.
const RCODES: [&str; 16] = [
    "NOERROR",
    "FORMERR",
    "SERVFAIL",
    "NXDOMAIN",
    "NOTIMP",
    "REFUSED",
    "YXDOMAIN",
    "YXRRSET",
    "NXRRSET",
    "NOTAUTH",
    "NOTZONE",
    "DSOTYPENI",
    "12",
    "13",
    "14",
    "15",
];
/// Threads that count at the same time seldom meet with as many shards.
const SHARDS: usize = 8;

/// Who had the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The zone.
    Zone,
    /// The cache, or nobody.
    Cache,
    /// Upstream servers.
    Upstream,
}

/// Queries of one transport and address family that the zone answered, before they are counted with all others.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    types: [u32; TYPES.len() + 1],
    rcodes: [u32; RCODES.len()],
}

/// Counts of queries, in shards: every thread counts in its own.
#[derive(Debug, Default)]
pub(crate) struct Counters([Shard; SHARDS]);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    /// By transport, address family and type.
    requests: [[[AtomicU64; TYPES.len() + 1]; 2]; 2],
    /// By source and response code.
    responses: [[AtomicU64; RCODES.len()]; 3],
    durations: AtomicHistogram,
}

#[derive(Debug, Default)]
struct AtomicHistogram {
    buckets: [AtomicU64; BUCKETS + 1],
    nanos: AtomicU64,
}

/// How long things took, by CoreDNS's buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    buckets: [u64; BUCKETS + 1],
    nanos: u64,
}

/// What was counted so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    requests: [[[u64; TYPES.len() + 1]; 2]; 2],
    responses: [[u64; RCODES.len()]; 3],
    durations: Histogram,
    /// What the caches of the server blocks have done, by their zones.
    pub caches: Vec<(String, CacheCounts)>,
    /// What is known of upstream servers.
    pub upstreams: Vec<UpstreamStatistics>,
    /// Queries for which every server of a forward was down.
    pub broken_health_checks: u64,
    /// Queries turned away because a forward had too many under way.
    pub rejects: u64,
    /// Queries that waited for what others had asked already.
    pub joined: u64,
    /// Queries written to the log.
    pub logged: u64,
    /// Queries that were to be, and found no room.
    pub log_lost: u64,
}

/// What is known of one upstream server of one forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamStatistics {
    /// The zone it is asked about.
    pub zone: String,
    /// Its address.
    pub address: SocketAddr,
    /// Whether it is asked over TLS.
    pub is_tls: bool,
    /// Whether it is passed over because it does not answer.
    pub is_down: bool,
    /// Whether what it is asked comes back to this server.
    pub leads_back: bool,
    /// Health checks that failed.
    pub failed_checks: u64,
    /// Queries on a connection that was there.
    pub line_hits: u64,
    /// Connections that had to be made.
    pub line_misses: u64,
    /// Queries in datagrams, each from a socket of its own.
    pub datagrams: u64,
    replies: Vec<(u8, Histogram)>,
}

impl Counters {
    /// Counts a query by its response.
    pub(crate) fn count(&self, limits: Limits, source: Source, response: &[u8]) {
        let shard = self.shard();
        let transport = usize::from(limits.transport == Transport::Tcp);
        let family = usize::from(matches!(limits.client, Some(IpAddr::V6(_))));
        add(&shard.requests[transport][family][type_index(response)], 1);
        add(&shard.responses[source as usize][rcode_index(response)], 1);
    }

    /// Counts what came over this transport, to an address of this family, and begins the tally anew.
    pub(crate) fn take(&self, tally: &mut Tally, transport: Transport, address: Option<IpAddr>) {
        let shard = self.shard();
        let transport = usize::from(transport == Transport::Tcp);
        let family = usize::from(matches!(address, Some(IpAddr::V6(_))));
        let counters =
            shard.requests[transport][family].iter().chain(&shard.responses[Source::Zone as usize]);
        for (counter, number) in counters.zip(tally.types.iter_mut().chain(&mut tally.rcodes)) {
            if *number > 0 {
                add(counter, std::mem::take(number).into());
            }
        }
    }

    /// Counts how long so many queries took together.
    pub(crate) fn observe(&self, took: Duration, number: usize) {
        let Ok(number @ 1..) = u32::try_from(number) else { return };
        let durations = &self.shard().durations;
        add(&durations.buckets[bucket(took / number)], u64::from(number));
        add(&durations.nanos, nanos(took));
    }

    fn shard(&self) -> &Shard {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static OWN: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        &self.0[OWN.get()]
    }
}

impl Tally {
    /// Counts a query by its response.
    pub(crate) fn count(&mut self, response: &[u8]) {
        self.types[type_index(response)] += 1;
        self.rcodes[rcode_index(response)] += 1;
    }
}

impl Histogram {
    pub(crate) fn observe(&mut self, took: Duration) {
        self.buckets[bucket(took)] += 1;
        self.nanos = self.nanos.saturating_add(nanos(took));
    }

    fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl Statistics {
    pub(crate) fn of(
        counters: &Counters,
        log: &LogCounts,
        (upstreams, asking): (&Upstreams, &Asking),
    ) -> Self {
        let mut all = Self {
            broken_health_checks: load(&asking.broken_health_checks),
            rejects: load(&asking.rejects),
            joined: load(&asking.joined),
            logged: load(&log.written),
            log_lost: load(&log.lost),
            ..Self::default()
        };
        counters.0.iter().for_each(|shard| all.add(shard));
        for block in &upstreams.blocks {
            let shards = block.cache.iter().flat_map(|cache| cache.counts());
            if let Some(counts) = shards.reduce(sum) {
                all.caches.push((block.zones.join(","), counts));
            }
            for forward in &block.forwards {
                let max_fails = forward.settings.max_fails;
                let servers = forward.servers.iter();
                all.upstreams
                    .extend(servers.map(|server| known_of(server, &forward.settings.from, max_fails)));
            }
        }
        all
    }

    /// How many queries were answered.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.responses.iter().flatten().sum()
    }

    /// Everything in OpenMetrics' text form, without its last line, under CoreDNS's names.
    #[must_use]
    pub fn to_metrics(&self) -> String {
        text::write(self)
    }

    fn add(&mut self, shard: &Shard) {
        let sums = self.requests.as_flattened_mut().as_flattened_mut().iter_mut();
        let sums = sums.chain(self.responses.as_flattened_mut()).chain(&mut self.durations.buckets);
        let counts = shard.requests.as_flattened().as_flattened().iter();
        let counts = counts.chain(shard.responses.as_flattened()).chain(&shard.durations.buckets);
        for (sum, count) in sums.zip(counts) {
            *sum += load(count);
        }
        self.durations.nanos += load(&shard.durations.nanos);
    }
}

fn known_of(server: &Upstream, zone: &str, max_fails: u32) -> UpstreamStatistics {
    let Dialled { hits, misses, datagrams } = &server.dialled;
    let replies = server.replies.lock().unwrap_or_else(PoisonError::into_inner);
    UpstreamStatistics {
        zone: zone.to_owned(),
        address: server.server.address,
        is_tls: server.server.tls.is_some(),
        is_down: server.is_down(max_fails),
        leads_back: server.leads_back(),
        failed_checks: load(&server.failed_checks),
        line_hits: load(hits),
        line_misses: load(misses),
        datagrams: load(datagrams),
        replies: replies.iter().map(|(rcode, histogram)| (*rcode, histogram.clone())).collect(),
    }
}

fn sum(one: CacheCounts, other: CacheCounts) -> CacheCounts {
    CacheCounts {
        requests: one.requests + other.requests,
        success_hits: one.success_hits + other.success_hits,
        denial_hits: one.denial_hits + other.denial_hits,
        misses: one.misses + other.misses,
        stale: one.stale + other.stale,
        prefetches: one.prefetches + other.prefetches,
        drops: one.drops + other.drops,
        success_evictions: one.success_evictions + other.success_evictions,
        denial_evictions: one.denial_evictions + other.denial_evictions,
        success_entries: one.success_entries + other.success_entries,
        denial_entries: one.denial_entries + other.denial_entries,
    }
}

/// Where the type of a response's question is counted.
fn type_index(response: &[u8]) -> usize {
    let kind = question_type(response);
    TYPES.iter().position(|(number, _)| Some(*number) == kind).unwrap_or(TYPES.len())
}

/// Where a response's code is counted.
fn rcode_index(response: &[u8]) -> usize {
    usize::from(response.get(3).map_or(0, |byte| byte & 0x0f))
}

/// The type that a response's question asks for. Its name is not compressed: there is nothing before it.
fn question_type(response: &[u8]) -> Option<u16> {
    let mut at = 12;
    loop {
        match usize::from(*response.get(at)?) {
            0 => break,
            label => at += 1 + label,
        }
    }
    Some(u16::from_be_bytes([*response.get(at + 1)?, *response.get(at + 2)?]))
}

/// The bucket of a time: the first whose bound it does not exceed.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    (0..BUCKETS).find(|bucket| micros <= FIRST_BUCKET_MICROS << bucket).unwrap_or(BUCKETS)
}

fn nanos(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
