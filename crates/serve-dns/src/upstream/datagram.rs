//! One query in a datagram, from a socket of its own: whoever wants to forge the reply has to guess port and ID.

use std::net::SocketAddr;

use engine_dns::is_reply_to;
use tokio::net::UdpSocket;

use crate::upstream::server::AskError;

/// Longer replies than we say we take are cut here, and then malformed.
const LONGEST_REPLY: usize = 4096;

/// What came back.
#[derive(Debug)]
pub(crate) enum Datagram {
    /// The reply.
    Reply(Vec<u8>),
    /// A reply that is right in all but the case of its letters: forged, or of a server that does not keep them.
    WrongCase,
}

/// Sends a query and waits for its reply.
pub(crate) async fn exchange(
    server: SocketAddr,
    query: &[u8],
    is_case_right: impl Fn(&[u8]) -> bool,
) -> Result<Datagram, AskError> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 16], 0).into() };
    // The kernel draws the port.
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; LONGEST_REPLY];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let reply = &buffer[..length];
        // Anything else may be a forgery: the true reply can still come.
        if !is_reply_to(query, reply) {
            continue;
        }
        if !is_case_right(reply) {
            return Ok(Datagram::WrongCase);
        }
        buffer.truncate(length);
        return Ok(Datagram::Reply(buffer));
    }
}
