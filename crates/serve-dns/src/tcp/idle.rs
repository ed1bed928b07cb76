//! Which connections are idle, and for how long: the first to go when there is no room for another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The idle connections of a server.
#[derive(Debug, Default)]
pub(crate) struct Idle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// How each is told to close, longest idle first.
    connections: BTreeMap<u64, Arc<Notify>>,
    /// How many connections are to close as soon as they come to be idle.
    wanted: usize,
}

/// A connection's entry for as long as it is idle.
pub(super) struct Entry<'i> {
    idle: &'i Idle,
    number: u64,
}

impl Idle {
    /// Closes the connection that has been idle for longest; while none is, the next that comes to be, and this returns
    /// `false`.
    pub(super) fn close_longest(&self) -> bool {
        let mut state = self.lock();
        let longest = state.connections.pop_first();
        match &longest {
            Some((_, connection)) => connection.notify_one(),
            None => state.wanted += 1,
        }
        longest.is_some()
    }

    /// The room that was waited for has been found: no connection need close for it any more.
    pub(super) fn forgive(&self) {
        let mut state = self.lock();
        state.wanted = state.wanted.saturating_sub(1);
    }

    /// Takes note that a connection is idle from now on.
    pub(super) fn enter(&self, connection: &Arc<Notify>) -> Entry<'_> {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        if state.wanted > 0 {
            state.wanted -= 1;
            connection.notify_one();
        } else {
            state.connections.insert(number, Arc::clone(connection));
        }
        Entry { idle: self, number }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.idle.lock().connections.remove(&self.number);
    }
}
