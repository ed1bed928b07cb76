//! The admin socket: one task that accepts, one per connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::Admin;
use crate::answer::answer;

/// Connections served at a time; more wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 64;
/// How long a client may take to send its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the admin socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or not ours.
    #[error("cannot listen on the admin address {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// The running server; it stops when dropped.
pub struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Where it listens; the port is a real one even if port 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Listens and answers until the server is dropped.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(admin: Arc<Admin>, address: SocketAddr) -> Result<Server, Error> {
    let refused = |source| Error::Listen { address, source };
    let socket = TcpListener::bind(address).await.map_err(refused)?;
    let address = socket.local_addr().map_err(refused)?;
    let respond = move |request: &Request| answer(&admin, request.method(), request.uri().path());
    Ok(Server { address, accepting: tokio::spawn(accept(socket, respond)) })
}

/// A request, whose body nobody reads.
pub(crate) type Request = hyper::Request<hyper::body::Incoming>;
/// A response, whole.
pub(crate) type Response = hyper::Response<Full<Bytes>>;

/// Accepts connections and answers every request on them.
pub(crate) async fn accept(
    socket: TcpListener,
    respond: impl Fn(&Request) -> Response + Clone + Send + Sync + 'static,
) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match socket.accept().await {
            Ok((stream, _)) => {
                let respond = respond.clone();
                tokio::spawn(async move {
                    converse(stream, respond).await;
                    drop(permit);
                });
            }
            // Out of file descriptors, most likely; others will be closed meanwhile.
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, respond: impl Fn(&Request) -> Response) {
    let service = service_fn(move |request: Request| {
        let response = respond(&request);
        async { Ok::<_, Infallible>(response) }
    });
    let outcome = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = outcome {
        tracing::debug!(%error, "connection broke");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn answers_over_a_socket() {
        let server = serve(Admin::new(), SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("loopback");
        let mut stream = TcpStream::connect(server.address()).await.expect("listening");
        let request = b"GET /readyz HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    }

    #[tokio::test]
    async fn a_taken_address_is_named() {
        let server = serve(Admin::new(), SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("loopback");
        let error = serve(Admin::new(), server.address()).await.err().expect("taken");
        assert!(error.to_string().contains(&server.address().to_string()));
    }
}
