//! Recent changes, kind by kind, that watches read from: as many as fit into a budget of memory.
//!
//! Each kind has its own ring, so that a busy kind costs the watches of a quiet one nothing: a watch is too old only
//! when a change of its own kind has been dropped.

use std::collections::VecDeque;

use crate::key::Key;
use crate::registry::KindId;
use crate::stored::Stored;

/// How much memory the changes may take, in bytes; a watch further behind is told to list again.
pub(crate) const BUDGET: usize = 24 * 1024 * 1024;
/// What a change takes beside the texts of its objects: itself, its place in the order, the parts of its objects.
const OVERHEAD: usize = 256;

/// One committed change.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) key: Key,
    /// The state before; `None` for a new object.
    pub(crate) before: Option<Stored>,
    /// The state after; for a deletion the last state, with the revision of the deletion.
    pub(crate) after: Stored,
    pub(crate) deleted: bool,
}

impl Change {
    /// What it takes; a state that is also another change's, or still current, is counted here all the same.
    fn size(&self) -> usize {
        OVERHEAD + self.after.text().len() + self.before.as_ref().map_or(0, |before| before.text().len())
    }
}

/// The changes of one kind, oldest first: all after `floor`.
#[derive(Debug)]
struct Ring {
    changes: VecDeque<Change>,
    floor: u64,
}

/// Recent changes of all kinds.
#[derive(Debug)]
pub(crate) struct Log {
    rings: Vec<Ring>,
    /// Whose change came when.
    order: VecDeque<KindId>,
    size: usize,
    budget: usize,
    /// Nothing before this was ever in the log.
    begin: u64,
}

impl Log {
    /// An empty log that begins after `begin`.
    pub(crate) fn new(begin: u64, budget: usize) -> Self {
        Self { rings: Vec::new(), order: VecDeque::new(), size: 0, budget, begin }
    }

    /// The newest revision of a kind that is no longer in the log; its watches must be at or after it.
    pub(crate) fn floor(&self, kind: KindId) -> u64 {
        self.rings.get(kind.index()).map_or(self.begin, |ring| ring.floor)
    }

    pub(crate) fn push(&mut self, kind: KindId, change: Change) {
        while self.rings.len() <= kind.index() {
            self.rings.push(Ring { changes: VecDeque::new(), floor: self.begin });
        }
        self.size += change.size();
        self.order.push_back(kind);
        self.rings[kind.index()].changes.push_back(change);
        // The newest change stays whatever its size: a watch that keeps up must never be too old.
        while self.size > self.budget && self.order.len() > 1 {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(kind) = self.order.pop_front() else { return };
        let ring = &mut self.rings[kind.index()];
        if let Some(change) = ring.changes.pop_front() {
            ring.floor = change.revision;
            self.size -= change.size();
        }
    }

    /// Changes of a kind after `revision`, oldest first.
    pub(crate) fn after(&self, kind: KindId, revision: u64) -> impl Iterator<Item = &Change> {
        let changes = self.rings.get(kind.index()).map(|ring| {
            let skip = ring.changes.partition_point(|change| change.revision <= revision);
            ring.changes.range(skip..)
        });
        changes.into_iter().flatten()
    }
}
