//! Answers that are ready to be given again, of the zone that is published now.

use std::sync::{Arc, Weak};

use engine_dns::{Limits, Lookup, Prepared, Zone};

use crate::shared::Shared;

/// Prepared answers, and whose they are.
#[derive(Debug)]
pub(crate) struct Ready {
    prepared: Prepared,
    /// The zone that they are of. It is not kept alive, but no other can come to stand in its place.
    zone: Weak<Zone>,
}

impl Ready {
    pub(crate) fn new(max_bytes: usize, seed: u64) -> Self {
        Self { prepared: Prepared::new(max_bytes, seed), zone: Weak::new() }
    }

    /// Forgets everything if another zone is published now than the last time.
    pub(crate) fn mind_publication(&mut self, shared: &Shared) {
        if self.zone.as_ptr() != shared.published() {
            let zone = shared.zone.load();
            self.prepared.begin(zone.as_deref());
            self.zone = zone.as_ref().map(Arc::downgrade).unwrap_or_default();
        }
    }

    /// The zone whose answers are here.
    pub(crate) fn zone(&self) -> Weak<Zone> {
        self.zone.clone()
    }

    /// Whether answers of this zone are here.
    pub(crate) fn is_of(&self, zone: &Weak<Zone>) -> bool {
        self.zone.ptr_eq(zone)
    }

    /// See [`Prepared::read`].
    pub(crate) fn read(&self, query: &[u8], limits: Limits) -> Option<Lookup> {
        self.prepared.read(query, limits)
    }

    /// See [`Prepared::fetch`].
    pub(crate) fn fetch(&self, lookups: &[Option<Lookup>]) {
        self.prepared.fetch(lookups);
    }

    /// See [`Prepared::respond`].
    pub(crate) fn respond(&self, lookup: &Lookup, query: &[u8], draw: u64, reply: &mut Vec<u8>) -> bool {
        self.prepared.respond(lookup, query, draw, reply)
    }

    /// See [`Prepared::learn`].
    pub(crate) fn learn(&mut self, query: &[u8], limits: Limits, reply: &[u8]) {
        self.prepared.learn(query, limits, reply);
    }
}
