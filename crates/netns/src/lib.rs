//! Create, enter and join network namespaces; the rootless world that tests and the lab live in.
//!
//! [`Netns`] is one network namespace, held by a descriptor and perhaps by a path. [`run_in`] does something inside
//! one, always on a throw-away thread, so that no worker of an async runtime is ever left in the wrong namespace.
//! [`world`] puts a whole process into fresh user, mount and network namespaces; [`world::test`] does that for one
//! test. Nothing here configures addresses or routes: that is `apply-netlink`.
#![allow(clippy::disallowed_methods, reason = "a shell crate: it is here that namespaces are made")]

mod error;
mod handle;
mod link;
pub mod world;

pub use error::NetnsError;
pub use handle::{Netns, remove, run_in};
pub use link::bring_up_loopback;
