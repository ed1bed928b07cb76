//! Ingress routing by the IDs of the semantics sheet (IG1 to IG6), and against a naive oracle.
#![allow(clippy::unwrap_used, reason = "tests")]

// The package is called sealane-engine-http; tests name it as everyone else does.
extern crate sealane_engine_http as engine_http;

mod hosts;
mod nginx;
mod oracle;
mod paths;
mod world;
