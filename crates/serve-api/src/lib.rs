//! The lab's Kubernetes-compatible API server: transport around engine-store.

mod runtime;

pub use runtime::{
    ByteReader, ByteWriter, ExecRequest, ExecSession, LogRequest, LogStream, NoPods, PodRuntime, RuntimeError,
    TerminalSize,
};
