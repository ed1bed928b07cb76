//! The server as its owner sees it: start, publish, stop.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine_dns::Zone;
use plan::{DnsPlan, Report, Revision};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::shared::Shared;
use crate::sockets::Sockets;
use crate::statistics::Statistics;

/// How a server behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen in place of the plan's addresses, if anything is said.
    pub listen: BTreeSet<IpAddr>,
    /// The port to listen on; 53 everywhere but in tests.
    pub port: u16,
    /// The largest UDP response to send.
    pub udp_payload: u16,
    /// How many threads answer datagrams, at most; never more than there are processors.
    pub udp_threads: usize,
    /// How many bytes of answers each of them keeps to give them again.
    pub prepared_bytes: usize,
    /// How long one upstream server may take before another is asked as well.
    pub upstream_timeout: Duration,
    /// The least of such a time for servers that usually reply sooner.
    pub least_patience: Duration,
    /// How long all upstream servers together may take; a stub resolver waits 5 s.
    pub query_timeout: Duration,
    /// How long clients wait for upstream servers when there is a stale reply (RFC 8767 section 5: 1.8 s).
    pub stale_timer: Duration,
    /// How long a connection to an upstream server may be idle.
    pub upstream_idle: Duration,
    /// How long a server that leads back here is left alone before it is looked whether it still does.
    pub loop_probe_pause: Duration,
    /// How many queries may wait for upstream servers at once; more get SERVFAIL.
    pub max_forwards: usize,
    /// How many TCP connections may be open at once, and never more than half of the files that the process may have open;
    /// another takes the place of the one that has been idle for longest.
    pub max_connections: usize,
    /// How long a TCP connection may be idle.
    pub idle_timeout: Duration,
    /// How long to wait after a failed accept.
    pub accept_pause: Duration,
    /// How long queries that wait for upstream servers may take at most while the server stops.
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: BTreeSet::new(),
            port: 53,
            udp_payload: 1232,
            udp_threads: 4,
            prepared_bytes: 8 << 20,
            upstream_timeout: Duration::from_millis(1500),
            least_patience: Duration::from_millis(250),
            query_timeout: Duration::from_millis(4500),
            stale_timer: Duration::from_millis(1800),
            upstream_idle: Duration::from_secs(10),
            loop_probe_pause: Duration::from_secs(30),
            max_forwards: 1024,
            max_connections: 10_000,
            idle_timeout: Duration::from_secs(10),
            accept_pause: Duration::from_millis(50),
            drain_timeout: Duration::from_secs(2),
        }
    }
}

/// A running DNS server. Dropping it closes its sockets.
#[derive(Debug)]
pub struct DnsServer {
    shared: Arc<Shared>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sockets: Sockets,
    published: Option<DnsPlan>,
}

impl DnsServer {
    /// A server without sockets; the first [`Self::publish`] opens them. To be called within a tokio runtime.
    #[must_use]
    pub fn start(config: Config) -> Self {
        Self { shared: Arc::new(Shared::new(config)), state: Mutex::default() }
    }

    /// Opens sockets on these addresses before there is a plan: they answer SERVFAIL, so that clients try again.
    pub fn listen(&self, addresses: impl IntoIterator<Item = IpAddr>) -> Report {
        let wanted = self.wanted(addresses);
        self.with_state(|state| state.sockets.converge(&wanted, &self.shared))
    }

    /// Makes a plan visible to every query from now on, and listens on its addresses unless others are configured. What
    /// could not be opened is reported, and tried again at the next call.
    ///
    /// The plan's revision is the serial number of the zone's SOA record.
    pub fn publish(&self, plan: &DnsPlan, revision: Revision) -> Report {
        let wanted = match self.shared.config.listen.is_empty() {
            true => self.wanted(plan.addresses.iter().copied()),
            false => self.wanted(self.shared.config.listen.iter().copied()),
        };
        // A serial number is of 32 bits and starts again (RFC 1982).
        let serial = (revision & u64::from(u32::MAX)) as u32;
        self.with_state(|state| {
            let mut report = Report::default();
            if state.published.as_ref() != Some(plan) {
                let last = self.shared.zone.load();
                let zone = last.as_ref().map_or_else(|| Zone::build(plan), |last| last.follow(plan));
                let zone = zone.with_serial(serial);
                self.shared.follow_upstreams(&zone);
                self.shared.zone.store(Some(Arc::new(zone)));
                state.published = Some(plan.clone());
                report.written = 1;
            }
            report.and(state.sockets.converge(&wanted, &self.shared))
        })
    }

    /// What was counted so far, and what is known of upstream servers.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.shared.statistics()
    }

    /// Tells [`Self::statistics`] to whoever asks, as long as the server is there.
    pub fn statistics_source(&self) -> impl Fn() -> Statistics + Send + Sync + 'static {
        let shared = Arc::downgrade(&self.shared);
        move || shared.upgrade().map(|shared| shared.statistics()).unwrap_or_default()
    }

    /// Lets what is kept of upstream servers' replies age as if so much time had passed.
    pub fn advance(&self, by: Duration) {
        self.shared.asking.clock.advance(by);
    }

    /// The addresses that are served.
    #[must_use]
    pub fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.with_state(|state| state.sockets.addresses())
    }

    /// Takes no more queries, answers those under way, and closes every socket.
    pub async fn stop(self) {
        let closing = self.with_state(|state| state.sockets.close());
        closing.done().await;
        self.shared.closing.send_replace(true);
        let config = &self.shared.config;
        let queries = all_permits(&self.shared.forwards, config.max_forwards);
        let connections = all_permits(&self.shared.connections, self.shared.max_connections);
        if timeout(config.drain_timeout, async { tokio::join!(queries, connections) }).await.is_err() {
            tracing::info!("DNS queries were still under way when the server stopped");
        }
        self.shared.query_log.flush(config.drain_timeout).await;
    }

    fn wanted(&self, addresses: impl IntoIterator<Item = IpAddr>) -> BTreeSet<SocketAddr> {
        let port = self.shared.config.port;
        addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.shared.closing.send_replace(true);
    }
}

/// Waits until nobody holds one of the semaphore's permits.
async fn all_permits(semaphore: &Semaphore, number: usize) {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    // The semaphores are never closed.
    semaphore.acquire_many(number).await.map(drop).ok();
}
