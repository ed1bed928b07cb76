//! Starts labs with the built binary and proves with real traffic and an unmodified kubectl what they are to do.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test of a program: it starts it and looks at files"
)]

mod access;
mod agents;
mod bad_input;
mod bandwidth;
mod bed;
mod check;
mod cluster;
mod containers;
mod corefile;
mod dns;
mod endings;
mod families;
mod isolation;
mod kubectl;
mod kubectl_commands;
mod kubectl_streams;
mod loaded;
mod mounts;
mod paths;
mod persistence;
mod tour;
mod traffic;
mod workloads;
