//! The API server as its clients see it: plain HTTP, kubectl, kube-rs, and a restart.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start a server, run kubectl and wait with deadlines; what fails in them is the finding"
)]

mod hostile;
mod access;
mod http_surface;
mod kube_rs;
mod kubectl;
mod protobuf;
mod restart;
mod world;
