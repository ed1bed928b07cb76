//! What every socket's task has in common: the published zone, and how one query is served.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use engine_dns::{Answer, Ask, Limits, Rcode, Transport, Zone, answer, fail, query_record, resume};
use nix::sys::resource::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::Config;
use crate::asking::Asking;
use crate::draw::Draw;
use crate::query_log::QueryLog;
use crate::ready::Ready;
use crate::statistics::{Counters, Source, Statistics};
use crate::tcp::Idle;
use crate::upstream::Upstreams;

thread_local! {
    /// Room for a kept reply, so that none is made for every query.
    static KEPT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The state of a server that its tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) zone: ArcSwapOption<Zone>,
    pub(crate) draw: Draw,
    /// One permit for each query that waits for an upstream server.
    pub(crate) forwards: Arc<Semaphore>,
    /// One permit for each TCP connection.
    pub(crate) connections: Arc<Semaphore>,
    /// How many these are.
    pub(crate) max_connections: usize,
    /// The idle ones of them.
    pub(crate) idle: Idle,
    pub(crate) upstreams: ArcSwap<Upstreams>,
    pub(crate) asking: Arc<Asking>,
    pub(crate) counters: Counters,
    pub(crate) query_log: QueryLog,
    /// For all connections; threads for datagrams have their own.
    pub(crate) ready: Mutex<Ready>,
    /// Turns true when the server stops: connections end after the query they are at.
    pub(crate) closing: watch::Sender<bool>,
}

/// A query that needs an upstream server; under way until it is dropped.
pub(crate) struct Pending {
    query: Vec<u8>,
    limits: Limits,
    upstreams: Arc<Upstreams>,
    ask: Ask,
    permit: OwnedSemaphorePermit,
}

/// What becomes of a query at once.
pub(crate) enum Served {
    /// The response is written, and is the zone's own: as long as the zone is the same, so is the response, but for the order
    /// of records.
    FromZone,
    /// The response is written.
    Respond,
    /// An upstream server must be asked.
    Later(Pending),
    /// Nothing is sent.
    Silence,
}

impl Shared {
    /// To be called within a tokio runtime.
    pub(crate) fn new(config: Config) -> Self {
        let asking = Arc::new(Asking::new(config.clone()));
        let draw = Draw::default();
        let ready = Mutex::new(Ready::new(config.prepared_bytes, draw.next()));
        let forwards = Arc::new(Semaphore::new(config.max_forwards));
        let max_connections = config.max_connections.min(files() / 2).max(1);
        let connections = Arc::new(Semaphore::new(max_connections));
        Self {
            config,
            zone: ArcSwapOption::empty(),
            draw,
            ready,
            forwards,
            connections,
            max_connections,
            idle: Idle::default(),
            upstreams: ArcSwap::default(),
            asking,
            counters: Counters::default(),
            query_log: QueryLog::default(),
            closing: watch::Sender::new(false),
        }
    }

    /// Where the published zone lies; of a zone that is nowhere while there is none.
    pub(crate) fn published(&self) -> *const Zone {
        self.zone.load().as_ref().map_or(Weak::<Zone>::new().as_ptr(), Arc::as_ptr)
    }

    /// What a response to this client is limited to.
    pub(crate) fn limits(&self, (transport, client): (Transport, IpAddr), draw: u64) -> Limits {
        let udp_payload = self.config.udp_payload;
        Limits { transport, client: Some(client.to_canonical()), udp_payload, draw }
    }

    /// Takes up a zone's upstream servers, before the zone itself is published.
    pub(crate) fn follow_upstreams(&self, zone: &Zone) {
        let next = Upstreams::follow(&self.upstreams.load(), zone, &self.asking);
        self.upstreams.store(Arc::new(next));
    }

    /// As [`Self::serve`], for connections: what is ready is given, and what is the zone's gets ready.
    pub(crate) fn serve_connection(&self, packet: &[u8], limits: Limits, out: &mut Vec<u8>) -> Served {
        let lock = || self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ready = lock();
        ready.mind_publication(self);
        let lookup = ready.read(packet, limits);
        if lookup.is_some_and(|lookup| ready.respond(&lookup, packet, limits.draw, out)) {
            return Served::FromZone;
        }
        let zone = ready.zone();
        // Others need not wait while this one is looked up.
        drop(ready);
        let served = self.serve(packet, limits, out);
        if matches!(served, Served::FromZone) {
            let mut ready = lock();
            // Only if it was this zone that answered: another may have been published meanwhile.
            if ready.is_of(&zone) && zone.as_ptr() == self.published() {
                ready.learn(packet, limits, out);
            }
        }
        served
    }

    /// Serves what can be served without waiting, and writes it down where that is asked for.
    pub(crate) fn serve(&self, packet: &[u8], limits: Limits, out: &mut Vec<u8>) -> Served {
        let served = self.serve_unlogged(packet, limits, out);
        match served {
            Served::FromZone | Served::Respond => self.log(packet, limits, out),
            Served::Silence => self.log(packet, limits, &[]),
            Served::Later(_) => {}
        }
        served
    }

    fn log(&self, packet: &[u8], limits: Limits, response: &[u8]) {
        let zone = self.zone.load();
        if let Some(record) = zone.as_ref().and_then(|zone| query_record(zone, limits, packet, response)) {
            self.query_log.write(record);
        }
    }

    fn serve_unlogged(&self, packet: &[u8], limits: Limits, out: &mut Vec<u8>) -> Served {
        let guard = self.zone.load();
        let Some(zone) = guard.as_ref() else {
            return served(fail(packet, Rcode::ServFail, out));
        };
        let ask = match answer(zone, packet, limits, out) {
            Answer::Ask(ask) => ask,
            Answer::Respond => return Served::FromZone,
            Answer::Drop => return Served::Silence,
        };
        let upstreams = self.upstreams.load();
        // In the instant between their publication and the zone's, clients are to ask again.
        if upstreams.settings != *zone.settings() {
            return refuse(packet, ask, limits, out);
        }
        let ask = match self.serve_kept(&upstreams, packet, ask, limits, out) {
            Ok(served) => return served,
            Err(ask) => ask,
        };
        match Arc::clone(&self.forwards).try_acquire_owned() {
            Ok(permit) => {
                let (query, upstreams) = (packet.to_vec(), Arc::clone(&upstreams));
                Served::Later(Pending { query, limits, upstreams, ask, permit })
            }
            Err(_) => refuse(packet, ask, limits, out),
        }
    }

    /// Serves with what is kept of upstream servers' replies; what nobody has asked yet comes back.
    fn serve_kept(
        &self,
        upstreams: &Upstreams,
        packet: &[u8],
        mut ask: Ask,
        limits: Limits,
        out: &mut Vec<u8>,
    ) -> Result<Served, Ask> {
        KEPT.with_borrow_mut(|kept| {
            loop {
                if self.asking.probes.is_back(&ask.query) {
                    return Ok(refuse(packet, ask, limits, out));
                }
                if !upstreams.look_up(&ask, kept) {
                    return Err(ask);
                }
                match resume(packet, ask, Some(kept), limits, out) {
                    Answer::Ask(next) => ask = next,
                    done => return Ok(served(done)),
                }
            }
        })
    }

    /// Completes a query with the help of upstream servers; the response is written to `out`.
    pub(crate) async fn complete(&self, pending: Pending, out: &mut Vec<u8>) {
        let start = Instant::now();
        let (limits, query) = (pending.limits, pending.query.clone());
        self.complete_uncounted(pending, out).await;
        self.log(&query, limits, out);
        self.counters.count(limits, Source::Upstream, out);
        self.counters.observe(start.elapsed(), 1);
    }

    async fn complete_uncounted(&self, pending: Pending, out: &mut Vec<u8>) {
        // The permit is held to the end.
        let Pending { query, limits, upstreams, mut ask, permit: _held } = pending;
        let id = query.first_chunk().map(|id| u16::from_be_bytes(*id));
        let mut reply = upstreams.ask(&ask, id).await;
        loop {
            match resume(&query, ask, reply.as_deref(), limits, out) {
                Answer::Ask(next) => ask = next,
                Answer::Respond | Answer::Drop => return,
            }
            let mut kept = Vec::new();
            reply = match upstreams.look_up(&ask, &mut kept) {
                true => Some(kept.into()),
                false => upstreams.ask(&ask, None).await,
            };
        }
    }

    pub(crate) fn statistics(&self) -> Statistics {
        Statistics::of(&self.counters, self.query_log.counts(), (&self.upstreams.load(), &self.asking))
    }
}

/// How many files this process may have open. Others in it need some, too.
fn files() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// SERVFAIL at once, without a task: too many queries are under way, and a flood must not become a queue.
fn refuse(packet: &[u8], mut ask: Ask, limits: Limits, out: &mut Vec<u8>) -> Served {
    loop {
        match resume(packet, ask, None, limits, out) {
            Answer::Ask(next) => ask = next,
            done => return served(done),
        }
    }
}

fn served(answer: Answer) -> Served {
    if answer == Answer::Respond { Served::Respond } else { Served::Silence }
}
