//! List and watch the Kubernetes API into batches of changes; the only reader.
//!
//! Nothing here decides what an object means: `model` lowers it, this crate only carries it. A relist is one batch,
//! an object that cannot be decoded is one [`model::Change::Rejected`], and a lost connection is taken up again for
//! as long as the stream is polled.

#![allow(clippy::disallowed_methods, reason = "a shell crate: it is here that the Kubernetes API is read")]

mod changes;
mod config_maps;
mod connect;
mod identity;
mod interruption;
mod kinds;
mod metadata;
mod objects;
mod single;

pub use changes::{Batch, changes, changes_of_names, list_all};
pub use connect::{Access, Error, connect};
pub use identity::{Identity, identity};
pub use interruption::interrupted;
pub use kube::Client;
pub use metadata::{Named, metadata};
pub use objects::{ObjectBatch, Selection, Watched, objects};
pub use single::object;
