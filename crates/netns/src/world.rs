//! A process in fresh user, mount and network namespaces, in which an ordinary user is root.
//!
//! The lab lives in such a world ([`World::enter`]); kernel tests run in one ([`test`]). When the process ends,
//! nothing of it is left.
//!
//! # How to write a kernel test
//!
//! ```text
//! #[test]
//! fn traffic_flows() {
//!     netns::world::test(|| {
//!         // Here the test is root in a network namespace of its own, with `lo` up. `/run` is an empty tmpfs;
//!         // named namespaces go into `world::netns_path("node-a")`, other files into `world::scratch("state")`.
//!         let node = netns::Netns::create(&netns::world::netns_path("node-a")).unwrap();
//!         netns::run_in(&node, || { /* sockets made here are inside node-a */ }).unwrap();
//!     });
//! }
//! ```
//!
//! The test binary is started again for this one test inside a new world; the closure runs there. Where namespaces are
//! not allowed, the test prints the `sealane-skip:` line and passes.

mod enter;
mod idmap;
mod killed;
mod rerun;

pub use enter::{Entered, ProcMount, UserNamespace, World, hint, mount_tmpfs};
pub use killed::{Ending, killed_at};
pub use rerun::{Rerun, TEST_DEADLINE, netns_path, rerun, scratch, test};
