//! HTTP and TLS listeners around engine-http.
//!
//! [`Gateway::publish`] makes routes and certificates visible to the next request and handshake, and opens and closes
//! sockets as the plan's addresses change. Where a request goes, and what a backend is told about the client, is
//! decided in `engine-http` alone.
#![allow(clippy::disallowed_methods, reason = "a shell crate: it is here that sockets and timers are used")]

mod certificates;
mod connection;
mod draw;
mod gateway;
mod lent_body;
mod listeners;
mod proxy;
mod shared;
mod upgrade;

pub use gateway::{Config, Gateway, StartError};
