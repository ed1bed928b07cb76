//! Upstream servers that behave well and badly, and what clients of a server on loopback get.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests: a certificate is given in a file")]

// The package is called sealane-serve-dns; tests name it as everyone else does.
extern crate sealane_serve_dns as serve_dns;

mod kept;
mod loops;
mod real;
mod servers;
mod tls;
mod world;
