//! One connection from a client: TLS, then requests one after the other or at once.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use engine_http::{Peer, Scheme};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::proxy;
use crate::shared::Shared;

/// Requests of one HTTP/2 connection at once (nginx's `http2_max_concurrent_streams`).
const MAX_STREAMS: u32 = 128;

/// Serves a connection until the client ends it, or until `closing` and the requests under way are done.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    (client, local): (SocketAddr, SocketAddr),
    scheme: Scheme,
    closing: CancellationToken,
) {
    // A socket that cannot be set is broken, and the next read says so.
    stream.set_nodelay(true).ok();
    let peer = Peer { address: client.ip().to_canonical(), scheme, port: local.port() };
    match scheme {
        Scheme::Http => serve_http(shared, stream, peer, closing).await,
        Scheme::Https => {
            let handshake = timeout(shared.config.handshake_timeout, shared.acceptor.accept(stream));
            match handshake.await {
                Ok(Ok(stream)) => serve_http(shared, stream, peer, closing).await,
                Ok(Err(error)) => tracing::debug!(%client, %error, "TLS handshake failed"),
                Err(_) => tracing::debug!(%client, "TLS handshake took too long"),
            }
        }
    }
}

async fn serve_http(
    shared: Arc<Shared>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    closing: CancellationToken,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(shared.config.header_timeout);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS);
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(proxy::serve(shared, peer, request).await) }
    });
    let mut connection =
        std::pin::pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let result = tokio::select! {
        result = &mut connection => result,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(client = %peer.address, %error, "HTTP connection ended with an error");
    }
}
