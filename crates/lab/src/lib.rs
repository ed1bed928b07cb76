//! A cluster on one machine: nodes and Pods as network namespaces around the embedded API.
//!
//! [`RunningLab::start`] runs in the host's namespaces: it opens the loopback sockets and starts the lab's own process
//! ([`world_main`]) in namespaces of its own, where everything else happens: the API server (`inner`), one agent
//! process for each node (`nodes`), the kubelets with their Pods (the crate `kubelet`), controllers (`control`).
//! When the process in front ends, however it ends, the kernel takes all of it down.

#![allow(
    clippy::disallowed_methods,
    reason = "a shell crate: it is here that processes and namespaces are made"
)]

pub mod address;
mod bootstrap;
mod control;
mod down;
mod error;
mod front;
mod inner;
mod nodes;
mod outside;
mod publish;
mod relay;
mod resolve;
mod rights;
pub mod settings;
mod sockets;
pub mod state;
mod storage;
mod underlay;
mod world;

pub use down::down;
pub use error::LabError;
pub use front::{LOG_VARIABLE, RunningLab, WORLD_SUBCOMMAND};
pub use outside::{node_netns, outside};
pub use state::{LabInfo, StateDir};
pub use world::world_main;
