//! Runs the Pods of a lab's nodes: sandboxes, containers, stand-ins, probes, logs and streams.
//!
//! What to do for a Pod is decided by `engine-kubelet` from data alone; a worker for each Pod ([`run()`]) does it and
//! writes the Pod's status. [`Runtime`] answers the API server's questions about the Pods that are here.

#![allow(
    clippy::disallowed_methods,
    reason = "a shell crate: it is here that processes and namespaces of Pods are made"
)]

mod check;
mod console;
mod container;
mod drain;
mod error;
mod images;
mod logs;
mod node;
mod pods;
mod process;
mod renewal;
mod rootfs;
mod run;
mod runtime;
mod sandbox;
mod standin;
mod terminal;
mod tree;
mod worker;

pub use error::KubeletError;
pub use images::image_map;
pub use node::{Kubelet, Machine, NodePlace};
pub use pods::Pods;
pub use run::run;
pub use runtime::Runtime;
