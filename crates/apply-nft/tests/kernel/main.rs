//! Rendered plans in a real kernel, checked with real packets, as an ordinary user.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "servers run in threads, and `nft` is asked whether it can list what we write; a failure is a panic here"
)]

mod bridge;
mod connections;
mod fixture;
mod killed;
mod other_proxies;
mod policy;
mod sctp;
mod services;
mod table;
mod tunnel;
