//! The Kubernetes DNS specification as a table, and packets of every kind.

mod explain;
mod packets;
mod vectors;
mod wire;
