//! What every socket's task has in common: the published zone, and how one query is served.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwapOption;
use engine_dns::{Answer, Exchange, Limits, Rcode, RecordType, Transport, Zone, answer, fail, finish_chase};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::Config;
use crate::draw::Draw;
use crate::forward::forward;

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
    kind: PendingKind,
    /// None when too many queries are under way.
    permit: Option<OwnedSemaphorePermit>,
}

enum PendingKind {
    /// The whole query goes upstream.
    Forward,
    /// `partial` holds the start of the answer; the rest is asked for.
    Chase { partial: Vec<u8>, target: engine_dns::Name, kind: RecordType },
}

/// What becomes of a query at once.
pub(crate) enum Served {
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
        let connections = Arc::new(Semaphore::new(config.max_connections));
        Self {
            config,
            zone: ArcSwapOption::empty(),
            draw: Draw::default(),
            forwards,
            connections,
            good_upstream: AtomicUsize::new(0),
            closing: watch::Sender::new(false),
        }
    }

    /// Serves what can be served without waiting.
    pub(crate) fn serve(&self, packet: &[u8], transport: Transport, out: &mut Vec<u8>) -> Served {
        let limits = Limits { transport, udp_payload: self.config.udp_payload, draw: self.draw.next() };
        let guard = self.zone.load();
        let Some(zone) = guard.as_ref() else {
            return served(fail(packet, Rcode::ServFail, out));
        };
        let kind = match answer(zone, packet, limits, out) {
            Answer::Forward => PendingKind::Forward,
            Answer::Chase { target, kind } => {
                PendingKind::Chase { partial: std::mem::take(out), target, kind }
            }
            done => return served(done),
        };
        let permit = Arc::clone(&self.forwards).try_acquire_owned().ok();
        Served::Later(Pending { query: packet.to_vec(), limits, zone: Arc::clone(zone), kind, permit })
    }

    /// Completes a query with the help of upstream servers; the response is written to `out`.
    pub(crate) async fn complete(&self, pending: &Pending, out: &mut Vec<u8>) {
        let Pending { query, limits, zone, kind, permit } = pending;
        let upstreams: Vec<_> = if permit.is_some() { zone.upstreams().collect() } else { Vec::new() };
        match kind {
            PendingKind::Forward => match forward(self, &upstreams, query).await {
                Some(reply) => fit(query, reply, *limits, out),
                None => {
                    fail(query, Rcode::ServFail, out);
                }
            },
            PendingKind::Chase { partial, target, kind } => {
                let asked = engine_dns::chase_query(target, *kind, self.draw.next_id());
                let reply = forward(self, &upstreams, &asked).await;
                out.clone_from(partial);
                finish_chase(Exchange { query, reply: reply.as_deref() }, *limits, out);
            }
        }
    }
}

/// Writes an upstream's reply, or that it is too long for the client.
fn fit(query: &[u8], reply: Vec<u8>, limits: Limits, out: &mut Vec<u8>) {
    if engine_dns::fit(query, &reply, limits, out) == engine_dns::Fit::Whole {
        *out = reply;
    }
}

fn served(answer: Answer) -> Served {
    if answer == Answer::Respond { Served::Respond } else { Served::Silence }
}
