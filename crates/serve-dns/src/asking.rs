//! What everything that asks upstream servers has in common: settings, chance, time, and who looks for loops.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::Config;
use crate::draw::Draw;
use crate::upstream::Probes;

/// Shared by all forwards of a server.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) config: Config,
    pub(crate) draw: Draw,
    pub(crate) clock: Clock,
    pub(crate) probes: Probes,
    /// Where upstream servers are waited for, whoever asks.
    pub(crate) runtime: Handle,
    /// Queries for which every server of a forward was down.
    pub(crate) broken_health_checks: AtomicU64,
    /// Queries that waited for what others had asked already.
    pub(crate) joined: AtomicU64,
    /// Queries turned away because a forward had too many under way.
    pub(crate) rejects: AtomicU64,
}

impl Asking {
    /// To be called within a tokio runtime.
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            draw: Draw::default(),
            clock: Clock::default(),
            probes: Probes::default(),
            runtime: Handle::current(),
            broken_health_checks: AtomicU64::new(0),
            joined: AtomicU64::new(0),
            rejects: AtomicU64::new(0),
        }
    }
}

/// How long the server has run, and how far it was put forward.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    ahead_millis: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: Instant::now(), ahead_millis: AtomicU64::new(0) }
    }
}

impl Clock {
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed() + Duration::from_millis(self.ahead_millis.load(Ordering::Relaxed))
    }

    pub(crate) fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.ahead_millis.fetch_add(millis, Ordering::Relaxed);
    }
}
