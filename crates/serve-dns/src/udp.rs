//! Queries in datagrams.

use std::net::SocketAddr;
use std::sync::Arc;

use engine_dns::Transport;
use tokio::net::UdpSocket;

use crate::shared::{Pending, Served, Shared};

/// Longer queries are cut, and refused for it.
const LONGEST_QUERY: usize = 4096;

/// Serves one socket until the task is aborted.
pub(crate) async fn serve(socket: UdpSocket, shared: Arc<Shared>) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; LONGEST_QUERY];
    let mut out = Vec::with_capacity(usize::from(shared.config.udp_payload));
    loop {
        // An error belongs to an earlier datagram (its ICMP error), never to the socket.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        match shared.serve(&buffer[..length], (Transport::Udp, client.ip()), &mut out) {
            Served::Respond => send(&socket, &out, client).await,
            Served::Silence => {}
            Served::Later(pending) => {
                let (socket, shared) = (Arc::clone(&socket), Arc::clone(&shared));
                tokio::spawn(complete(socket, shared, pending, client));
            }
        }
    }
}

async fn complete(socket: Arc<UdpSocket>, shared: Arc<Shared>, pending: Pending, client: SocketAddr) {
    let mut out = Vec::new();
    shared.complete(pending, &mut out).await;
    send(&socket, &out, client).await;
}

async fn send(socket: &UdpSocket, message: &[u8], client: SocketAddr) {
    if let Err(error) = socket.send_to(message, client).await {
        tracing::debug!(%client, %error, "could not send a DNS response");
    }
}
