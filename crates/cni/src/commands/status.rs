//! STATUS: can ADD be served?

use std::collections::BTreeSet;

use types::AgentRequest;

use super::addresses::Pool;
use super::{network, ready};
use crate::CniError;
use crate::store::{LastGiven, Store};

pub(super) fn status(store: &Store) -> Result<(), CniError> {
    let unavailable = |reason: String| CniError::NotAvailable { reason };
    let network = network(store).map_err(|error| unavailable(error.to_string()))?;
    let in_use = store.attachments()?.addresses();
    // An address that rests will be free by itself.
    let pool = Pool { in_use: &in_use, resting: &BTreeSet::new(), last: &LastGiven::default() };
    for range in &network.pod_cidrs {
        pool.next(*range, None).map_err(|error| unavailable(error.to_string()))?;
    }
    ready(store, &AgentRequest::Status).map_err(unavailable)
}
