//! The running server: sockets, TLS, connections, shutdown.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine_store::StoreConfig;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authenticate::Keys;
use crate::credentials::Credentials;
use crate::error::ApiServerError;
use crate::identity::{from_certificate, tls_config};
use crate::runtime::PodRuntime;
use crate::service::Service;
use crate::shared::{ApiHandle, Shared};

/// How long a client may take for the TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long a client may take to send the head of a request (apiserver `secure_serving.go`, `ReadHeaderTimeout`).
const HEAD_LIMIT: Duration = Duration::from_secs(32);
/// How often a silent HTTP/2 connection is asked whether anybody is there, and how long it may take to answer
/// (the values of client-go's own health check, `http2ReadIdleTimeout` and `http2PingTimeout`).
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_LIMIT: Duration = Duration::from_secs(15);
/// How long requests may go on after the shutdown began; streams end at once.
const DRAIN_LIMIT: Duration = Duration::from_secs(3);
/// Pause after a failed accept (usually: too many open files), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a server is made of.
pub struct ApiServerConfig {
    /// Where it listens; sockets that are already bound.
    pub listeners: Vec<TcpListener>,
    /// Who may talk to it.
    pub credentials: Credentials,
    /// Where objects survive a restart; in memory only when there is none.
    pub data_dir: Option<PathBuf>,
    /// Who runs the Pods.
    pub runtime: Arc<dyn PodRuntime>,
    /// Address ranges and other facts of the cluster.
    pub store: StoreConfig,
}

/// An API server that is ready to serve.
pub struct ApiServer {
    listeners: Vec<TcpListener>,
    tls: TlsAcceptor,
    shared: Arc<Shared>,
}

impl ApiServer {
    /// Reads back what the data directory holds and prepares TLS. Nothing is answered yet.
    pub fn new(config: ApiServerConfig) -> Result<Self, ApiServerError> {
        let tls = TlsAcceptor::from(Arc::new(tls_config(&config.credentials)?));
        let shared = Shared::open(
            config.store,
            config.data_dir.as_deref(),
            config.runtime,
            Keys::new(&config.credentials)?,
        )?;
        Ok(Self { listeners: config.listeners, tls, shared: Arc::new(shared) })
    }

    /// Direct access to the objects, for the process that hosts the server.
    #[must_use]
    pub fn handle(&self) -> ApiHandle {
        ApiHandle::new(Arc::clone(&self.shared))
    }

    /// Answers until `shutdown` is cancelled: then streams end, running requests finish, and what was
    /// acknowledged is on disk.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), ApiServerError> {
        let tasks = TaskTracker::new();
        let service = Arc::new(Service {
            shared: Arc::clone(&self.shared),
            tasks: tasks.clone(),
            closing: shutdown.clone(),
        });
        for listener in self.listeners {
            listener.set_nonblocking(true).map_err(ApiServerError::Listener)?;
            let listener = tokio::net::TcpListener::from_std(listener).map_err(ApiServerError::Listener)?;
            let accept = Accept { tls: self.tls.clone(), service: Arc::clone(&service) };
            tasks.spawn(accept.run(listener));
        }
        shutdown.cancelled().await;
        tasks.close();
        if tokio::time::timeout(DRAIN_LIMIT, tasks.wait()).await.is_err() {
            tracing::warn!("API requests were still running at the end of the shutdown");
        }
        Ok(())
    }
}

/// Takes connections from one listener.
struct Accept {
    tls: TlsAcceptor,
    service: Arc<Service>,
}

impl Accept {
    async fn run(self, listener: tokio::net::TcpListener) {
        let closing = self.service.closing.clone();
        while let Some(accepted) = closing.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => {
                    let connection =
                        Connection { tls: self.tls.clone(), service: Arc::clone(&self.service), peer };
                    self.service.tasks.spawn(connection.run(stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an API connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// The other end of the connection that a request came on; among the request's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// One client's connection.
struct Connection {
    tls: TlsAcceptor,
    service: Arc<Service>,
    peer: SocketAddr,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let peer = self.peer;
        if let Err(error) = self.serve(stream).await {
            tracing::debug!(%peer, error, "an API connection ended early");
        }
    }

    async fn serve(self, stream: TcpStream) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let handshake = tokio::time::timeout(HANDSHAKE_LIMIT, self.tls.accept(stream));
        let stream = handshake.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let identity = certificates.first().and_then(from_certificate).map(Arc::new);
        let (service, peer) = (Arc::clone(&self.service), Peer(self.peer));
        let answer = service_fn(move |mut request: http::Request<Incoming>| {
            let (service, identity) = (Arc::clone(&service), identity.clone());
            request.extensions_mut().insert(peer);
            async move { Ok::<_, std::convert::Infallible>(service.answer(request, identity).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
        let http2 = &mut builder.http2();
        http2.timer(TokioTimer::new()).keep_alive_interval(PING_EVERY).keep_alive_timeout(PING_LIMIT);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), answer);
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = self.service.closing.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    }
}
