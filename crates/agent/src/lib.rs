//! The loops: the node pipeline on one screen, and the cluster's.

#![allow(clippy::disallowed_methods, reason = "a shell crate: it is here that the parts are put together")]

mod settings;

/// The loop of one node.
pub mod node {
    pub use crate::settings::{Settings, Tunnel};
}

/// The loop of the cluster.
pub mod cluster {
    pub use crate::settings::ClusterSettings;
}
