//! Queries on connections (RFC 7766): who may connect.

mod connection;
mod idle;

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::OwnedSemaphorePermit;

use crate::shared::Shared;
use connection::Connection;
pub(crate) use idle::Idle;

/// Accepts connections on one socket until the task is aborted; the connections end by themselves.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let Some(permit) = room(&shared).await else { return };
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    Connection::new(stream, client.ip(), shared).serve().await;
                    drop(permit);
                });
            }
            // Such as too many open files: let the connection that was idle for longest give back its own.
            Err(error) => {
                tracing::warn!(%error, "could not accept a DNS connection");
                let has_closed = shared.idle.close_longest();
                tokio::time::sleep(shared.config.accept_pause).await;
                if !has_closed {
                    shared.idle.forgive();
                }
            }
        }
    }
}

/// Waits until there may be one more connection. It takes the place of the one that has been idle for longest (RFC 7766 section
/// 6.2.3), or of the first that comes to be.
async fn room(shared: &Arc<Shared>) -> Option<OwnedSemaphorePermit> {
    let connections = Arc::clone(&shared.connections);
    if let Ok(permit) = Arc::clone(&connections).try_acquire_owned() {
        return Some(permit);
    }
    let has_closed = shared.idle.close_longest();
    let permit = connections.acquire_owned().await.ok();
    if !has_closed {
        shared.idle.forgive();
    }
    permit
}
