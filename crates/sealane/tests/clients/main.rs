//! Other people's clients: on the embedded API kubectl of several minors, helm, k9s, Python, client-go and kube-rs, on
//! the CNI plugin cnitool, and CoreDNS beside our answers.
//!
//! `cargo xtask clients` fetches what the tests run, and `cargo xtask test` does so by itself.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test of a program: it starts it and looks at files"
)]

#[allow(dead_code, reason = "the tests of the lab use the rest")]
#[path = "../lab/bed.rs"]
mod bed;
mod client_go;
mod cnitool;
mod coredns;
mod everyday;
mod gateway_api;
mod helm;
mod k9s;
mod kube_rs;
mod lab;
mod python;
mod resolvers;
mod screen;
mod tools;
#[allow(dead_code, reason = "tests of the DNS engine use the rest")]
#[path = "../../../engine-dns/tests/dns/wire.rs"]
mod wire;
