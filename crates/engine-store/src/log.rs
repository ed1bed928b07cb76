//! The ring of recent changes that watches read from.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

use crate::registry::KindId;
use crate::store::Key;

/// How many changes are kept; a watcher further behind is told to list again.
pub(crate) const CAPACITY: usize = 10_000;

/// One committed change.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) kind: KindId,
    pub(crate) key: Key,
    /// The state before; `None` for a new object.
    pub(crate) before: Option<Arc<Value>>,
    /// The state after; for a deletion the last state, with the revision of the deletion.
    pub(crate) after: Arc<Value>,
    pub(crate) deleted: bool,
}

/// Recent changes, oldest first, without gaps: each revision after `floor` has one entry.
#[derive(Debug)]
pub(crate) struct Log {
    entries: VecDeque<Change>,
    floor: u64,
}

impl Log {
    /// An empty log that begins after `floor`.
    pub(crate) fn new(floor: u64) -> Self {
        Self { entries: VecDeque::new(), floor }
    }

    /// The newest revision that is no longer in the log; a watcher must be at or after it.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    pub(crate) fn push(&mut self, change: Change) {
        if self.entries.len() == CAPACITY {
            self.entries.pop_front();
            self.floor += 1;
        }
        self.entries.push_back(change);
    }

    /// Changes after `revision`, oldest first.
    pub(crate) fn after(&self, revision: u64) -> impl Iterator<Item = &Change> {
        let skip = usize::try_from(revision.saturating_sub(self.floor)).unwrap_or(usize::MAX);
        self.entries.range(skip.min(self.entries.len())..)
    }
}
