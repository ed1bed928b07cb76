//! The plugin as a container runtime sees it: environment and JSON in, JSON and exit status out.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests write state directories, start threads and read the clock; a failure is a panic here"
)]

mod add;
mod bandwidth;
mod bridge;
mod chained;
mod killed;
mod loopback;
mod node;
mod ports;
mod protocol;
mod rest;
