//! Write statuses, objects and Events; the only writer of the Kubernetes API.
//!
//! Decides nothing: what to write comes as a plan or as an object. Every write carries the field manager `sealane`,
//! and objects of our own the label `app.kubernetes.io/managed-by: sealane`.

#![allow(clippy::disallowed_methods, reason = "a shell crate: it is here that the Kubernetes API is written")]

mod cluster;
mod error;
mod events;
mod exec;
mod kinds;
mod node_facts;
mod writer;

pub use cluster::converge;
pub use error::Error;
pub use events::{EventKind, EventNote, Events, Subject};
pub use exec::{Exec, ExitStatus, Streams, Terminal, TerminalSize, exec};
pub use kinds::is_known;
pub use kube::Client;
pub use node_facts::tell_node_facts;
pub use writer::{DeleteOptions, Propagation, Target, Writer};

/// Field manager of every write.
pub const FIELD_MANAGER: &str = "sealane";
/// Label of every object made here, from the recommended labels of Kubernetes.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
