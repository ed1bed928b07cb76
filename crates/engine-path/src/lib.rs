//! Which packets prove the ways to other nodes: what to send next, and what the answers mean.
//!
//! Time is an argument, counted from any beginning; sockets are somebody else's.

mod prober;
mod search;

pub use prober::{Echo, PathKey, Prober};
pub use search::{Search, Verdict};
