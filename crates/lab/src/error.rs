//! Why a lab does not start, stop or answer.

use std::io;
use std::path::PathBuf;

use crate::state::StateDir;

/// Why a lab does not start, stop or answer.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A port on the host's loopback is taken.
    #[error(
        "port {port} on 127.0.0.1 is taken; choose another with {flag}, or leave {flag} out and a free port is taken"
    )]
    PortTaken {
        /// The port.
        port: u16,
        /// The flag that chooses it.
        flag: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A lab runs already.
    #[error(
        "a lab is already running in {} (process {pid}); stop it with `sealane lab down{}`, or start another with --name NAME",
        .state_dir.display(),
        StateDir::at(.state_dir).flags()
    )]
    AlreadyRunning {
        /// Its state directory.
        state_dir: PathBuf,
        /// Its process.
        pid: i32,
    },
    /// No lab runs.
    #[error("no lab is running in {}; start one with `sealane lab up{}`", .state_dir.display(), StateDir::at(.state_dir).flags())]
    NotRunning {
        /// Where one was looked for.
        state_dir: PathBuf,
    },
    /// The state directory belongs to somebody else.
    #[error("{} belongs to another user or is not a directory; choose another with --state-dir", .path.display())]
    ForeignStateDir {
        /// The directory.
        path: PathBuf,
    },
    /// Sockets below the state directory could not have a name.
    #[error(
        "the state directory {} is too long for the sockets below it: at most {longest} bytes; choose another with --state-dir",
        .state_dir.display()
    )]
    LongStateDir {
        /// The directory.
        state_dir: PathBuf,
        /// How many bytes it may have.
        longest: usize,
    },
    /// A file or directory of the lab cannot be used.
    #[error("cannot {action} {}", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A system call failed.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The lab's own process reported why it cannot go on.
    #[error("{0}")]
    Inner(String),
    /// The lab ended without saying why.
    #[error("the lab ended before it was ready; its log is {}", .log.display())]
    EndedEarly {
        /// The log file.
        log: PathBuf,
    },
    /// The lab did not become ready.
    #[error("the lab was not ready after {seconds} s: waiting for {waiting_for}; its log is {}", .log.display())]
    NotReady {
        /// How long was waited.
        seconds: u64,
        /// What was still missing.
        waiting_for: String,
        /// The log file.
        log: PathBuf,
    },
}

impl LabError {
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self::File { action, path: path.into(), source: source.into() }
    }

    pub(crate) fn system(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::System { action: action.into(), source: source.into() }
    }
}
