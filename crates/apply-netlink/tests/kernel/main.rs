//! The kernel does what was written: real packets between Pods and nodes in network namespaces.
#![allow(clippy::disallowed_methods, reason = "tests look at the kernel's files and wait with a deadline")]

mod converge;
mod nodes;
mod pods;
mod properties;
mod world;
