//! One forward: its servers, asked one after the other until one replies.
//!
//! A server that takes longer than usual is not given up: another is asked as well, and the first reply of any counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine_dns::{Server, Turn, choose, patience};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use plan::DnsForward;
use tokio::time::{sleep, timeout};

use crate::Config;
use crate::asking::Asking;
use crate::upstream::flights::{Boarding, Flights, Ids, Outcome};
use crate::upstream::server::Upstream;
use crate::upstream::trust::Trust;
use crate::upstream::{health, probe};

/// How often each server is asked about one question.
const ROUNDS: usize = 2;
/// How many times in all, at most.
const MOST_ATTEMPTS: usize = 6;

/// The servers of one forward, and the questions under way.
#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) settings: DnsForward,
    pub(crate) servers: Vec<Arc<Upstream>>,
    pub(crate) asking: Arc<Asking>,
    flights: Flights,
    turn: AtomicU64,
}

impl Forward {
    pub(crate) fn new(settings: DnsForward, servers: Vec<Server>, asking: Arc<Asking>) -> Self {
        let trust = Arc::new(Trust::new(settings.tls_ca_file.clone(), settings.tls_client.clone()));
        let servers = servers
            .into_iter()
            .map(|server| Arc::new(Upstream::new(server, Arc::clone(&trust), &settings)))
            .collect();
        Self { settings, servers, asking, flights: Flights::default(), turn: AtomicU64::new(0) }
    }

    pub(crate) fn is_of(&self, servers: &[Server]) -> bool {
        self.servers.iter().map(|upstream| &upstream.server).eq(servers)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.asking.config
    }

    pub(crate) fn now(&self) -> Duration {
        self.asking.clock.now()
    }

    /// Asks, or joins those who wait for the same; `None` when too many questions are under way. What becomes of the reply is
    /// settled before anybody is told.
    pub(crate) fn ask(
        self: &Arc<Self>,
        query: &[u8],
        client_id: Option<u16>,
        settle: impl FnOnce(&[u8], Option<Vec<u8>>, Duration) -> Option<Vec<u8>> + Send + 'static,
    ) -> Option<Outcome> {
        let most = match self.settings.max_concurrent {
            0 => usize::MAX,
            most => most as usize,
        };
        let (landing, outcome) = match self.flights.board(query, client_id, most) {
            Boarding::First(landing, outcome) => (landing, outcome),
            Boarding::Another { outcome, may_be_ours } => {
                self.asking.joined.fetch_add(1, Ordering::Relaxed);
                if may_be_ours {
                    probe::look_for_loops(self);
                }
                return Some(outcome);
            }
            Boarding::Full => {
                self.asking.rejects.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        };
        let (forward, query) = (Arc::clone(self), query.to_vec());
        self.asking.runtime.spawn(async move {
            let limit = forward.config().query_timeout;
            let reply = timeout(limit, forward.exchange(&query, &landing.ids)).await.ok().flatten();
            let reply = settle(&query, reply, forward.now());
            forward.flights.land(&query, &landing, reply);
        });
        Some(outcome)
    }

    /// The reply of any server; `None` when none has one. A reply whose code another server is to be asked for counts if no
    /// other comes.
    async fn exchange(&self, query: &[u8], ids: &Ids) -> Option<Vec<u8>> {
        let order = self.order();
        let attempts = (order.len() * ROUNDS).min(MOST_ATTEMPTS);
        let mut next = order.iter().cycle().take(attempts).map(|server| &self.servers[*server]);
        let mut in_vain = match self.settings.max_attempts {
            0 => usize::MAX,
            most => most as usize,
        };
        let mut under_way = FuturesUnordered::new();
        let mut last = None;
        let mut second_best = None;
        loop {
            let server = if in_vain > 0 { next.next() } else { None };
            let wait = match server {
                Some(server) => {
                    in_vain -= 1;
                    under_way.push(self.attempt(server, query, ids));
                    last = Some(server);
                    self.patience(server)
                }
                None if under_way.is_empty() => return second_best,
                // The caller has its limit.
                None => Duration::MAX,
            };
            tokio::select! {
                Some(reply) = under_way.next() => match reply {
                    Some(reply) if self.is_second_best(&reply) => {
                        // It was not in vain.
                        in_vain += 1;
                        second_best.get_or_insert(reply);
                    }
                    Some(reply) => return Some(reply),
                    None => {}
                },
                () = sleep(wait) => if let Some(server) = last {
                    health::check(server, self);
                },
            }
        }
    }

    async fn attempt(&self, server: &Arc<Upstream>, query: &[u8], ids: &Ids) -> Option<Vec<u8>> {
        match server.exchange(query, &self.asking, Some(ids)).await {
            Ok(reply) => Some(reply),
            Err(error) => {
                tracing::debug!(server = %server.server.address, %error, "upstream DNS server gave no reply");
                health::check(server, self);
                None
            }
        }
    }

    fn is_second_best(&self, reply: &[u8]) -> bool {
        reply.get(3).is_some_and(|byte| self.settings.failover.contains(&(byte & 0x0f)))
    }

    /// The places of the servers to ask. Those that lead back here are never asked.
    fn order(&self) -> Vec<usize> {
        let turn = Turn { counter: self.turn.fetch_add(1, Ordering::Relaxed), draw: self.asking.draw.next() };
        let places = 0..self.servers.len();
        let asked: Vec<usize> = places.filter(|server| !self.servers[*server].leads_back()).collect();
        let is_down = |place: usize| self.servers[asked[place]].is_down(self.settings.max_fails);
        let choice = choose(self.settings.policy, asked.len(), turn, is_down);
        if choice.all_down {
            self.asking.broken_health_checks.fetch_add(1, Ordering::Relaxed);
            if self.settings.fails_fast {
                return Vec::new();
            }
        }
        choice.order.into_iter().map(|place| asked[place]).collect()
    }

    fn patience(&self, server: &Upstream) -> Duration {
        let config = self.config();
        patience(
            server.average(),
            config.least_patience.min(config.upstream_timeout),
            config.upstream_timeout,
        )
    }
}
