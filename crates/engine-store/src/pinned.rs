//! A kind's objects as they were at one revision, for a reader that takes its time.
//!
//! What a reader holds on to is memory that the present no longer needs. So it is taken away when the changes since
//! then leave the log: by then the reader could not go on from there anyway.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::collection::Collection;
use crate::registry::KindId;
use crate::stored::Stored;

/// The objects of a kind at one revision, until they are taken away.
#[derive(Debug)]
pub(crate) struct Pinned(Mutex<Option<Collection<Stored>>>);

impl Pinned {
    /// Looks at the objects; none when they were taken away.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Collection<Stored>) -> T) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(look)
    }

    fn take_away(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Every pinned state that still has a reader.
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<Vec<Pin>>);

#[derive(Debug)]
struct Pin {
    kind: KindId,
    revision: u64,
    pinned: Weak<Pinned>,
}

impl Pins {
    /// Pins the objects a kind has now; readers of the same revision share them.
    pub(crate) fn pin(&self, kind: KindId, revision: u64, objects: &Collection<Stored>) -> Arc<Pinned> {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = pins.iter().find(|pin| pin.kind == kind && pin.revision == revision);
        if let Some(pinned) = same.and_then(|pin| pin.pinned.upgrade()) {
            return pinned;
        }
        pins.retain(|pin| pin.pinned.strong_count() > 0);
        let pinned = Arc::new(Pinned(Mutex::new(Some(objects.clone()))));
        pins.push(Pin { kind, revision, pinned: Arc::downgrade(&pinned) });
        pinned
    }

    /// Takes away what is older than the log of its kind.
    pub(crate) fn take_away_before(&mut self, floor: impl Fn(KindId) -> u64) {
        let pins = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        pins.retain(|pin| {
            let stays = pin.revision >= floor(pin.kind);
            if !stays && let Some(pinned) = pin.pinned.upgrade() {
                pinned.take_away();
            }
            stays
        });
    }
}
