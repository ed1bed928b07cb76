//! How many files the process may have open: as many as it is allowed, for each connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the soft limit, which is 1 024 on many machines for the sake of programs that use select(2), to the hard one. Where
/// that is refused, the limit stays as it is.
pub(crate) fn allow_as_many_as_possible() {
    let _ = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
}
