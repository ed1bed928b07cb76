//! The lab's Kubernetes-compatible API server: transport around engine-store.
#![allow(
    clippy::disallowed_methods,
    dead_code,
    reason = "a shell crate: it is here that the API's clock, random numbers, files, sockets and threads happen"
)]

mod credentials;
mod error;
mod identity;
mod runtime;
mod shell;

pub use credentials::{Credentials, kubeconfig};
pub use error::ApiServerError;
pub use runtime::{
    ByteReader, ByteWriter, ExecRequest, ExecSession, LogRequest, LogStream, NoPods, PodRuntime, RuntimeError,
    TerminalSize,
};
