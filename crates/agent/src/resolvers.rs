//! The node's own resolver configuration, read again and again: laptops change networks, and leases end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use types::ResolvConf;

use crate::event::Event;

/// How long a change may go unnoticed.
const PAUSE: Duration = Duration::from_secs(5);

/// What the file says now; a file that is not there is an empty one (resolv.conf(5)).
pub(crate) fn read(path: &Path) -> ResolvConf {
    ResolvConf::parse(&std::fs::read_to_string(path).unwrap_or_default())
}

/// Tells of every change from what is `known`.
pub(crate) async fn follow(path: PathBuf, mut known: ResolvConf, events: mpsc::Sender<Event>) {
    loop {
        tokio::time::sleep(PAUSE).await;
        let now = read(&path);
        if now != known {
            known.clone_from(&now);
            if events.send(Event::Resolvers(now)).await.is_err() {
                return;
            }
        }
    }
}
