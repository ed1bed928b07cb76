//! The lab's Kubernetes-compatible API server: transport around engine-store.
//!
//! TLS, HTTP, discovery, content negotiation, watch streams, logs and remote commands happen here; what an
//! object may look like, how it is patched and which events a change means is decided by `engine-store`.
#![allow(
    clippy::disallowed_methods,
    reason = "a shell crate: it is here that the API's clock, random numbers, files, sockets and threads happen"
)]

mod access;
mod admission;
mod answer;
mod authenticate;
mod body;
mod certificates;
mod compress;
mod credentials;
mod discovery;
mod disk;
mod error;
mod identity;
mod issuer;
mod listing;
mod negotiate;
mod objects;
mod openapi;
mod pods;
mod present;
mod proxy;
mod query;
mod review;
mod route;
mod runtime;
mod server;
mod service;
mod shared;
mod shell;
mod signals;
mod tokens;
mod watch;

pub use credentials::{Credentials, kubeconfig, kubeconfig_of};
pub use error::ApiServerError;
pub use runtime::{
    AttachRequest, ByteReader, ByteStream, ByteWriter, Duplex, ExecRequest, ExecSession, LogRequest,
    LogSource, LogStream, NoPods, PodRuntime, RuntimeError, TerminalSize,
};
pub use server::{ApiServer, ApiServerConfig};
pub use shared::ApiHandle;
