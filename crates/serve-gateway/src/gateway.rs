//! The gateway as its owner sees it: start, publish, stop.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine_http::RouteTable;
use plan::{Failure, Finding, GatewayPlan, Report};
use rustls::ServerConfig;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::certificates::Certificates;
use crate::listeners::{Listeners, wanted};
use crate::shared::Shared;

/// How a gateway behaves. The defaults are those of ingress-nginx's ConfigMap where it has the setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a backend may take to accept a connection (`proxy-connect-timeout`).
    pub connect_timeout: Duration,
    /// How long a backend may be silent before its answer (`proxy-read-timeout`).
    pub read_timeout: Duration,
    /// How many backends to try for one request (`proxy-next-upstream-tries`).
    pub max_attempts: usize,
    /// How long an unused connection to a backend is kept (`upstream-keepalive-timeout`).
    pub upstream_idle_timeout: Duration,
    /// How many unused connections to one backend are kept (`upstream-keepalive-connections`).
    pub upstream_idle_connections: usize,
    /// How long a client may take for a TLS handshake.
    pub handshake_timeout: Duration,
    /// How long a client may take for a request's head (`client-header-timeout`).
    pub header_timeout: Duration,
    /// How many connections may be open at once (`max-worker-connections`); more wait.
    pub max_connections: usize,
    /// How long to wait after a failed accept.
    pub accept_pause: Duration,
    /// How long requests may take at most while the gateway stops.
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(60),
            max_attempts: 3,
            upstream_idle_timeout: Duration::from_secs(60),
            upstream_idle_connections: 320,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(60),
            max_connections: 16_384,
            accept_pause: Duration::from_millis(50),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No certificate for names without one of their own.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

/// A running gateway. Dropping it closes its sockets.
pub struct Gateway {
    shared: Arc<Shared>,
    certificates: Arc<Certificates>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    listeners: Listeners,
    published: Option<GatewayPlan>,
    /// What of the published plan cannot be served.
    failures: Vec<Failure>,
}

impl Gateway {
    /// A gateway without sockets; the first [`Self::publish`] opens them. To be called within a tokio runtime.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let certificates = Arc::new(Certificates::new(Arc::clone(&provider))?);
        let resolver: Arc<Certificates> = Arc::clone(&certificates);
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let shared = Arc::new(Shared::new(config, TlsAcceptor::from(Arc::new(tls))));
        Ok(Self { shared, certificates, state: Mutex::default() })
    }

    /// Makes a plan's routes and certificates visible to every request and handshake from now on, and listens on its
    /// addresses. What cannot be served is reported and disturbs nothing else; sockets are tried again at each call.
    pub fn publish(&self, plan: &GatewayPlan) -> Report {
        let mut state = self.lock();
        let mut report = Report::default();
        if state.published.as_ref() != Some(plan) {
            state.failures = self.publish_content(plan);
            state.published = Some(plan.clone());
            report.written = 1;
        }
        report.failures.clone_from(&state.failures);
        report.and(state.listeners.converge(&wanted(plan), &self.shared))
    }

    /// Certificates before routes, so that no redirect leads to a host without its certificate.
    fn publish_content(&self, plan: &GatewayPlan) -> Vec<Failure> {
        let mut failures = self.certificates.publish(&plan.certificates);
        let (routes, findings) = RouteTable::build(plan);
        self.shared.routes.store(Arc::new(routes));
        failures.extend(findings.into_iter().map(|Finding { object, field, message, .. }| Failure {
            what: format!("route of {object} {field}"),
            why: message,
        }));
        failures
    }

    /// The addresses that are served.
    #[must_use]
    pub fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.lock().listeners.addresses().into_keys().collect()
    }

    /// Takes no more connections, finishes the requests under way, and closes every socket.
    pub async fn stop(self) {
        let tasks = self.lock().listeners.close();
        for task in tasks {
            // The task was aborted: its end is all there is to know.
            task.await.ok();
        }
        self.shared.tasks.close();
        if timeout(self.shared.config.drain_timeout, self.shared.tasks.wait()).await.is_err() {
            let number = self.shared.tasks.len();
            tracing::info!(number, "HTTP connections were still open when the gateway stopped");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}
