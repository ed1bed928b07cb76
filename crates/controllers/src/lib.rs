//! Objects to wanted objects: what a lab runs and a real cluster already has.
//!
//! Each controller is a function from the [`World`] to the [`Write`]s that bring it closer to what its objects ask
//! for. It never remembers anything: whoever drives it must not call it again before the world shows the results of
//! the last writes (by resourceVersion, per kind), or Pods would be created twice.

mod deployment;
mod endpoint_slices;
mod endpoints;
mod garbage;
mod namespaces;
mod owner;
mod pod_state;
mod replica_sets;
mod rollout;
mod scheduler;
mod selection;
#[cfg(test)]
mod test_world;
mod world;

pub use world::{AnyObject, Held, World, Write};

use jiff::Timestamp;

/// A controller: reads the world, says what to write.
type Controller = fn(&World, Timestamp) -> Vec<Write>;

/// The controllers, in the order in which their writes are made.
const CONTROLLERS: &[Controller] = &[
    namespaces::reconcile,
    deployment::reconcile,
    replica_sets::reconcile,
    scheduler::reconcile,
    endpoint_slices::reconcile,
    endpoints::reconcile,
    garbage::reconcile,
];

/// Everything all controllers want written now; empty when the world is as its objects ask.
#[must_use]
pub fn reconcile(world: &World, now: Timestamp) -> Vec<Write> {
    CONTROLLERS.iter().flat_map(|controller| controller(world, now)).collect()
}
