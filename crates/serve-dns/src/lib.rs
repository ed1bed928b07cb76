//! UDP and TCP sockets around engine-dns, and forwarding of other names.
//!
//! [`DnsServer::publish`] makes a plan visible to every socket at once and opens and closes sockets as the plan's
//! addresses change. What is answered is decided in `engine-dns` alone.
#![allow(clippy::disallowed_methods, reason = "a shell crate: it is here that sockets and timers are used")]

mod asking;
mod cache;
mod draw;
mod query_log;
mod ready;
mod server;
mod shared;
mod sockets;
mod statistics;
mod tcp;
mod udp;
mod upstream;

pub use server::{Config, DnsServer};
pub use statistics::{Statistics, UpstreamStatistics};
