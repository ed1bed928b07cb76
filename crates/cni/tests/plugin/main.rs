//! The plugin as a container runtime sees it: environment and JSON in, JSON and exit status out.
#![allow(
    clippy::disallowed_methods,
    reason = "tests write state directories, start threads and read the clock"
)]

mod add;
mod node;
mod protocol;
mod rest;
