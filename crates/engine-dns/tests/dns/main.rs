//! The Kubernetes DNS specification as a table, and packets of every kind.

#![allow(clippy::unwrap_used, reason = "tests")]

// The package is called sealane-engine-dns; tests name it as everyone else does.
extern crate sealane_engine_dns as engine_dns;

mod cache;
mod corefile;
mod explain;
mod packets;
mod vectors;
mod wire;
