//! A gateway on loopback with real sockets: clients on one side, backends that behave well and badly on the other.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

// The package is called sealane-serve-gateway; tests name it as everyone else does.
extern crate sealane_serve_gateway as serve_gateway;

mod listeners;
mod requests;
mod tls;
mod upstream;
mod world;
