//! Queries on connections (RFC 7766).

use std::net::IpAddr;
use std::sync::Arc;

use engine_dns::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::forward::framed;
use crate::shared::{Served, Shared};

/// Accepts connections on one socket until the task is aborted; the connections end by themselves.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // Connections beyond the limit wait in the kernel's backlog.
        let Ok(permit) = Arc::clone(&shared.connections).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, client)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    serve_connection(stream, client.ip(), &shared).await;
                    drop(permit);
                });
            }
            // Such as too many open files: give the connections that hold them time to end.
            Err(error) => {
                tracing::warn!(%error, "could not accept a DNS connection");
                tokio::time::sleep(shared.config.accept_pause).await;
            }
        }
    }
}

/// Answers queries one after the other until the client stops, is idle for too long, or the server stops.
async fn serve_connection(mut stream: TcpStream, client: IpAddr, shared: &Shared) {
    let mut out = Vec::new();
    let limit = shared.config.idle_timeout;
    let mut closing = shared.closing.subscribe();
    loop {
        let query = tokio::select! {
            biased;
            _ = closing.wait_for(|is_closing| *is_closing) => return,
            query = timeout(limit, read_message(&mut stream)) => query,
        };
        let Ok(Ok(query)) = query else { return };
        let limits = shared.limits((Transport::Tcp, client), shared.draw.next());
        match shared.serve(&query, limits, &mut out) {
            Served::FromZone | Served::Respond => {}
            Served::Silence => return,
            Served::Later(pending) => shared.complete(pending, &mut out).await,
        }
        if !matches!(timeout(limit, stream.write_all(&framed(&out))).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn read_message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}
