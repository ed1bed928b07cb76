//! The wire forms of Pod verbs: what clients send and expect around exec, attach, port-forward and proxy.
//!
//! Pure: bytes in, values out. Who reads sockets, starts programs and dials ports is `serve-api`.

pub mod channel;
pub mod command;
pub mod proxy;
pub mod spdy;
