//! How one of a frontend's backends is chosen for a new connection.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::Backend;

/// A multiple of the first sixteen numbers: what a group's weight is counted in, to be divided among its backends.
const PARTS: u64 = 720_720;

/// Who gets the next connection. By default every backend with the same chance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scheduling {
    /// By what.
    pub by: Choice,
    /// Groups of backends and their shares; without any, all backends have the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
}

impl Scheduling {
    /// Those of the backends that get new connections, with their weights: each group's weight, divided among those of it
    /// that are there.
    ///
    /// Where everything that is there has weight 0, all have the same: better served than refused.
    #[must_use]
    pub fn weights<'a>(&self, backends: &'a BTreeSet<Backend>) -> BTreeMap<&'a Backend, u64> {
        let mut weights = BTreeMap::new();
        for share in self.shares.iter().filter(|share| share.weight > 0) {
            let there: Vec<&Backend> =
                backends.iter().filter(|backend| share.backends.contains(*backend)).collect();
            let each =
                u64::from(share.weight) * PARTS / u64::try_from(there.len().max(1)).unwrap_or(u64::MAX);
            weights.extend(there.into_iter().map(|backend| (backend, each.max(1))));
        }
        match weights.is_empty() {
            true => backends.iter().map(|backend| (backend, 1)).collect(),
            false => weights,
        }
    }

    /// Whether nothing was asked for.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// By what a backend is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Choice {
    /// By chance, for each connection.
    #[default]
    Random,
    /// By the client's address: it finds the same backend for as long as that is there, and most clients do when others
    /// come or go.
    SourceHash,
}

/// A group of backends that share a part of the connections among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// How the group was asked for.
    pub group: String,
    /// The group's part of the sum of all weights, however many backends it has.
    pub weight: u32,
    /// Its backends, whether they are used or not.
    pub backends: BTreeSet<Backend>,
}
