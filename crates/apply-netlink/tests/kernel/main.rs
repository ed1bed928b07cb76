//! The kernel does what was written: real packets between Pods and nodes in network namespaces.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests look at the kernel's files and wait with a deadline; a failure is a panic here"
)]

mod bridge;
mod converge;
mod ipv6;
mod killed;
mod mtu;
mod nodes;
mod pods;
mod properties;
mod world;
