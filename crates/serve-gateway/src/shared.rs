//! What every connection has in common.

use arc_swap::ArcSwap;
use engine_http::RouteTable;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::Config;
use crate::draw::Draw;
use crate::lent_body::LentBody;

/// The state of a gateway that its tasks share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) routes: ArcSwap<RouteTable>,
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) upstream: Client<HttpConnector, LentBody>,
    pub(crate) draw: Draw,
    /// One permit for each connection.
    pub(crate) connections: Arc<Semaphore>,
    /// Every connection and every upgraded stream.
    pub(crate) tasks: TaskTracker,
}

impl Shared {
    pub(crate) fn new(config: Config, acceptor: TlsAcceptor) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(config.connect_timeout));
        connector.set_nodelay(true);
        let upstream = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.upstream_idle_timeout)
            .pool_max_idle_per_host(config.upstream_idle_connections)
            .set_host(false)
            .build(connector);
        Self {
            routes: ArcSwap::default(),
            acceptor,
            upstream,
            draw: Draw::default(),
            connections: Arc::new(Semaphore::new(config.max_connections)),
            tasks: TaskTracker::new(),
            config,
        }
    }
}
