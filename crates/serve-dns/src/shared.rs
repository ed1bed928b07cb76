//! What every socket's task has in common: the published zone, and how one query is served.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwapOption;
use engine_dns::{Answer, Ask, Limits, Rcode, Transport, Zone, answer, fail, resume};
use nix::sys::resource::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::Config;
use crate::draw::Draw;
use crate::forward::forward;
use crate::tcp::Idle;

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
    /// Which upstream server answered last; it is asked first.
    pub(crate) good_upstream: AtomicUsize,
    /// Turns true when the server stops: connections end after the query they are at.
    pub(crate) closing: watch::Sender<bool>,
}

/// A query that needs an upstream server; under way until it is dropped.
pub(crate) struct Pending {
    query: Vec<u8>,
    limits: Limits,
    zone: Arc<Zone>,
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
    pub(crate) fn new(config: Config) -> Self {
        let forwards = Arc::new(Semaphore::new(config.max_forwards));
        let max_connections = config.max_connections.min(files() / 2).max(1);
        let connections = Arc::new(Semaphore::new(max_connections));
        Self {
            config,
            zone: ArcSwapOption::empty(),
            draw: Draw::default(),
            forwards,
            connections,
            max_connections,
            idle: Idle::default(),
            good_upstream: AtomicUsize::new(0),
            closing: watch::Sender::new(false),
        }
    }

    /// What a response to this client is limited to.
    pub(crate) fn limits(&self, (transport, client): (Transport, IpAddr), draw: u64) -> Limits {
        let udp_payload = self.config.udp_payload;
        Limits { transport, client: Some(client.to_canonical()), udp_payload, draw }
    }

    /// Serves what can be served without waiting.
    pub(crate) fn serve(&self, packet: &[u8], limits: Limits, out: &mut Vec<u8>) -> Served {
        let guard = self.zone.load();
        let Some(zone) = guard.as_ref() else {
            return served(fail(packet, Rcode::ServFail, out));
        };
        let ask = match answer(zone, packet, limits, out) {
            Answer::Ask(ask) => ask,
            Answer::Respond => return Served::FromZone,
            Answer::Drop => return Served::Silence,
        };
        match Arc::clone(&self.forwards).try_acquire_owned() {
            Ok(permit) => {
                let (query, zone) = (packet.to_vec(), Arc::clone(zone));
                Served::Later(Pending { query, limits, zone, ask, permit })
            }
            Err(_) => refuse(packet, ask, limits, out),
        }
    }

    /// Completes a query with the help of upstream servers; the response is written to `out`.
    pub(crate) async fn complete(&self, pending: Pending, out: &mut Vec<u8>) {
        // The permit is held to the end.
        let Pending { query, limits, zone, mut ask, permit: _held } = pending;
        loop {
            let reply = forward(self, &zone.servers(ask.to), &ask.query).await;
            match resume(&query, ask, reply.as_deref(), limits, out) {
                Answer::Ask(next) => ask = next,
                Answer::Respond | Answer::Drop => return,
            }
        }
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
