//! One upstream server: how it is asked, and what is known of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine_dns::{
    Server, echoes_case, is_truncated, is_without_edns, smooth, with_case, with_id, without_edns,
};
use plan::{DnsForward, ForwardTransport};

use crate::asking::Asking;
use crate::statistics::Histogram;
use crate::upstream::datagram::{self, Datagram};
use crate::upstream::flights::Ids;
use crate::upstream::stream::{self, Line};
use crate::upstream::trust::Trust;

/// Why a server gave no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("no reply in time")]
    Timeout,
    #[error("cannot talk to the server")]
    Io(#[from] std::io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("`{0}` is no name that a certificate can be for")]
    ServerName(String),
    #[error("cannot tell which certificates to trust: {0}")]
    Trust(String),
}

/// A server and what is known of it.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) server: Server,
    trust: Arc<Trust>,
    transport: ForwardTransport,
    random_case: bool,
    /// How long a connection that nobody asks on is kept, if anything is said of it.
    idle: Option<Duration>,
    line: tokio::sync::Mutex<Option<Line>>,
    average: Mutex<Option<Duration>>,
    /// Failed health checks in a row.
    pub(crate) fails: AtomicU32,
    /// Whether its health is being checked.
    pub(crate) is_checked: AtomicBool,
    /// Whether what it is asked comes back to us.
    pub(crate) leads_back: AtomicBool,
    /// Whether that is being looked for.
    pub(crate) is_probed: AtomicBool,
    /// Whether the last question that looked for it came back.
    pub(crate) came_back: AtomicBool,
    pub(crate) failed_checks: AtomicU64,
    pub(crate) dialled: Dialled,
    /// How long replies took, by their response codes.
    pub(crate) replies: Mutex<BTreeMap<u8, Histogram>>,
}

/// Connections that were there, and that had to be made.
#[derive(Debug, Default)]
pub(crate) struct Dialled {
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    /// Datagrams, each from a socket of its own.
    pub(crate) datagrams: AtomicU64,
}

impl Upstream {
    pub(crate) fn new(server: Server, trust: Arc<Trust>, settings: &DnsForward) -> Self {
        Self {
            server,
            trust,
            transport: settings.transport,
            random_case: settings.random_case,
            idle: settings.idle_millis.map(|millis| Duration::from_millis(millis.into())),
            line: tokio::sync::Mutex::default(),
            average: Mutex::default(),
            fails: AtomicU32::new(0),
            is_checked: AtomicBool::new(false),
            leads_back: AtomicBool::new(false),
            is_probed: AtomicBool::new(false),
            came_back: AtomicBool::new(false),
            failed_checks: AtomicU64::new(0),
            dialled: Dialled::default(),
            replies: Mutex::default(),
        }
    }

    /// Whether it is passed over because it does not answer.
    pub(crate) fn is_down(&self, max_fails: u32) -> bool {
        max_fails > 0 && self.fails.load(Ordering::Relaxed) >= max_fails
    }

    pub(crate) fn leads_back(&self) -> bool {
        self.leads_back.load(Ordering::Relaxed)
    }

    pub(crate) fn average(&self) -> Option<Duration> {
        *self.average.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks it, under a new ID each time, which `ids` is told.
    pub(crate) async fn exchange(
        &self,
        query: &[u8],
        asking: &Arc<Asking>,
        ids: Option<&Ids>,
    ) -> Result<Vec<u8>, AskError> {
        let start = Instant::now();
        let mut reply = self.exchange_once(query, asking, ids).await?;
        if is_without_edns(&reply) {
            reply = self.exchange_once(&without_edns(query), asking, ids).await.unwrap_or(reply);
        }
        let took = start.elapsed();
        let mut average = self.average.lock().unwrap_or_else(PoisonError::into_inner);
        *average = Some(smooth(*average, took));
        let rcode = reply.get(3).map_or(0, |byte| byte & 0x0f);
        let mut replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        replies.entry(rcode).or_default().observe(took);
        Ok(reply)
    }

    async fn exchange_once(
        &self,
        query: &[u8],
        asking: &Arc<Asking>,
        ids: Option<&Ids>,
    ) -> Result<Vec<u8>, AskError> {
        let draw = &asking.draw;
        let id = draw.next_id();
        if let Some(ids) = ids {
            ids.add(id);
        }
        let mut asked = with_id(query, id);
        if self.random_case {
            asked = with_case(&asked, draw.next());
        }
        if self.server.tls.is_some() || self.transport == ForwardTransport::Tcp {
            return self.exchange_on_line(&asked, asking).await;
        }
        let is_echo_demanded = self.random_case;
        self.dialled.datagrams.fetch_add(1, Ordering::Relaxed);
        let is_right = |reply: &[u8]| !is_echo_demanded || echoes_case(&asked, reply);
        match datagram::exchange(self.server.address, &asked, is_right).await? {
            Datagram::Reply(reply) if !is_truncated(&reply) => Ok(reply),
            // A truncated reply is better than none.
            Datagram::Reply(reply) => Ok(self.exchange_on_line(&asked, asking).await.unwrap_or(reply)),
            // Nobody who only guesses can answer on a connection.
            Datagram::WrongCase => self.exchange_on_line(&asked, asking).await,
        }
    }

    /// Asks on the connection that is there, or on a new one. A server may close a connection whenever it likes, so what
    /// was lost with an old one is asked once more.
    async fn exchange_on_line(&self, asked: &[u8], asking: &Arc<Asking>) -> Result<Vec<u8>, AskError> {
        let (line, is_new) = self.line(asking).await?;
        match line.exchange(asked).await {
            Err(AskError::Closed) if !is_new => {}
            done => return done,
        }
        self.line(asking).await?.0.exchange(asked).await
    }

    async fn line(&self, asking: &Arc<Asking>) -> Result<(Line, bool), AskError> {
        let mut line = self.line.lock().await;
        if let Some(line) = line.as_ref().filter(|line| line.is_open()) {
            self.dialled.hits.fetch_add(1, Ordering::Relaxed);
            return Ok((line.clone(), false));
        }
        self.dialled.misses.fetch_add(1, Ordering::Relaxed);
        let limit = asking.config.upstream_timeout;
        let idle = self.idle.unwrap_or(asking.config.upstream_idle);
        let opened = tokio::time::timeout(limit, stream::open(&self.server, &self.trust, idle, asking)).await;
        let new = opened.map_err(|_| AskError::Timeout)??;
        *line = Some(new.clone());
        Ok((new, true))
    }
}
