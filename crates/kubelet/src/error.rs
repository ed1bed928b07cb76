//! Why a Pod's place on this machine cannot be made.

use std::io;
use std::path::PathBuf;

/// Why a Pod's place on this machine cannot be made, or what stands in for images not be known.
#[derive(Debug, thiserror::Error)]
pub enum KubeletError {
    /// A file, directory or mount cannot be used.
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
    /// An image map is not as it should be.
    #[error(
        "image map {} is malformed; it is a YAML list of `image`, `entrypoint`, `cmd`, `ports`: {why}",
        .path.display()
    )]
    ImageMap {
        /// The file.
        path: PathBuf,
        /// Where and why.
        why: String,
    },
}

impl KubeletError {
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self::File { action, path: path.into(), source: source.into() }
    }

    pub(crate) fn system(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::System { action: action.into(), source: source.into() }
    }
}
