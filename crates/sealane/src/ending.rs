//! Signals that ask a command for an orderly end.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit status of a command that Ctrl-C ended, as shells count it: 128 and the number of SIGINT.
pub(crate) const INTERRUPTED: i32 = 130;

/// Ctrl-C, SIGTERM and the end of the terminal.
pub(crate) struct Ending([Signal; 3]);

impl Ending {
    pub(crate) fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    /// Returns when the next one comes.
    pub(crate) async fn wanted(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
