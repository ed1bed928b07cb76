//! Requests from many clients at once, and watchers that wait for one change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use tokio::sync::{mpsc, watch};

use crate::client::Address;

/// One request to make.
pub(crate) struct Shot {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

/// Sends `count` requests from `clients` connections, each with one request in flight.
pub(crate) async fn volley(
    address: &Address,
    clients: usize,
    count: usize,
    shot: impl Fn(usize) -> Shot + Send + Sync + 'static,
) -> Duration {
    let (shot, next) = (Arc::new(shot), Arc::new(AtomicUsize::new(0)));
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(address.connect().await.unwrap());
    }
    let start = Instant::now();
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|mut client| {
            let (shot, next) = (Arc::clone(&shot), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let Shot { method, path, content_type, body } = shot(number);
                    client.ok(method, &path, content_type, body).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    start.elapsed()
}

/// Watchers of one collection; each says when it has seen what all wait for.
pub(crate) struct Watchers {
    wanted: watch::Sender<Arc<str>>,
    seen: mpsc::UnboundedReceiver<()>,
    count: usize,
}

impl Watchers {
    /// Opens the watches and waits until each has shown everything there is.
    pub(crate) async fn open(address: &Address, path: &str, count: usize) -> Self {
        let wanted = watch::Sender::new(Arc::<str>::from("k8s.io/initial-events-end"));
        let (sender, seen) = mpsc::unbounded_channel();
        for _ in 0..count {
            let (address, path, sender) = (address.clone(), path.to_owned(), sender.clone());
            let mut wanted = wanted.subscribe();
            tokio::spawn(async move {
                let mut lines = address.watch(&path).await;
                loop {
                    let text = Arc::clone(&wanted.borrow_and_update());
                    lines.until(&text).await;
                    if sender.send(()).is_err() || wanted.changed().await.is_err() {
                        return;
                    }
                }
            });
        }
        let mut watchers = Self { wanted, seen, count };
        watchers.all_seen().await;
        watchers
    }

    /// Makes everyone wait for a text.
    pub(crate) fn want(&self, text: &str) {
        self.wanted.send_replace(text.into());
    }

    /// Returns when all have seen it.
    pub(crate) async fn all_seen(&mut self) {
        for _ in 0..self.count {
            let seen = tokio::time::timeout(Duration::from_secs(300), self.seen.recv()).await;
            seen.expect("every watcher sees the change in time").expect("every watcher goes on");
        }
    }
}
