//! Asking upstream servers: a new ID and port for every query, TCP for long replies, the next server on failure.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use engine_dns::{Server, is_reply_to, is_truncated, with_id};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::shared::Shared;

/// The largest datagram there is.
const LARGEST_DATAGRAM: usize = 65_535;
/// How often one query is sent in all, over all servers.
const MAX_ATTEMPTS: usize = 3;

/// Why one server gave no reply.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("no reply in time")]
    Timeout,
    #[error("cannot talk to the server")]
    Io(#[from] std::io::Error),
    #[error("the reply does not belong to the query")]
    Mismatch,
}

/// The reply of the first server that has one, under the query's own ID; `None` when none has.
pub(crate) async fn forward(shared: &Shared, upstreams: &[Server], query: &[u8]) -> Option<Vec<u8>> {
    let number = upstreams.len();
    if number == 0 {
        return None;
    }
    let first = shared.good_upstream.load(Ordering::Relaxed);
    for attempt in 0..MAX_ATTEMPTS {
        let index = (first + attempt) % number;
        let asked = with_id(query, shared.draw.next_id());
        match ask(upstreams[index].address, &asked, shared.config.upstream_timeout).await {
            Ok(mut reply) => {
                shared.good_upstream.store(index, Ordering::Relaxed);
                reply[..2].copy_from_slice(&query[..2]);
                return Some(reply);
            }
            Err(error) => {
                tracing::debug!(upstream = %upstreams[index].address, %error, "upstream DNS server gave no reply");
            }
        }
    }
    None
}

async fn ask(server: SocketAddr, query: &[u8], limit: Duration) -> Result<Vec<u8>, AskError> {
    let reply = timeout(limit, ask_udp(server, query)).await.map_err(|_| AskError::Timeout)??;
    if !is_truncated(&reply) {
        return Ok(reply);
    }
    // A truncated reply is better than none.
    match timeout(limit, ask_tcp(server, query)).await {
        Ok(Ok(whole)) => Ok(whole),
        _ => Ok(reply),
    }
}

async fn ask_udp(server: SocketAddr, query: &[u8]) -> Result<Vec<u8>, AskError> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 16], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Anything else may be a forgery: the true reply can still come.
        if is_reply_to(query, &buffer[..length]) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn ask_tcp(server: SocketAddr, query: &[u8]) -> Result<Vec<u8>, AskError> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&framed(query)).await?;
    let length = stream.read_u16().await?;
    let mut reply = vec![0; usize::from(length)];
    stream.read_exact(&mut reply).await?;
    if is_reply_to(query, &reply) { Ok(reply) } else { Err(AskError::Mismatch) }
}

/// A message with its length before it, as TCP carries it (RFC 1035 section 4.2.2).
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut bytes = Vec::with_capacity(message.len() + 2);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&message[..usize::from(length)]);
    bytes
}
