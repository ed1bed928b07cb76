//! The API server as its clients see it: plain HTTP, kubectl, kube-rs, and a restart.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start a server, run kubectl and wait with deadlines; what fails in them is the finding"
)]

mod access;
mod admission;
mod crash;
mod custom;
mod full_disk;
mod hostile;
mod http_surface;
mod kube_rs;
mod kubectl;
mod pretence;
mod protobuf;
mod proxy;
mod restart;
mod slow;
mod streams;
mod world;
