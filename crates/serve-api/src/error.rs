//! What can go wrong around the API server itself; errors of requests are `Status` objects.

use std::path::PathBuf;

/// A failure to start or to keep state.
#[derive(Debug, thiserror::Error)]
pub enum ApiServerError {
    /// A certificate or key could not be made.
    #[error("cannot make the {what} certificate")]
    Certificate {
        /// Whose certificate.
        what: &'static str,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// A certificate or key file holds something else.
    #[error("{what} is not readable as PEM; delete the credentials directory to have new ones made")]
    Pem {
        /// Which one.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// The TLS library refused the certificates or keys.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The client certificate verifier could not be built.
    #[error("cannot verify client certificates")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The operating system gave no random bytes.
    #[error("no random bytes available")]
    Entropy,
    /// The key that signs service account tokens is none.
    #[error("the service account key is no P-256 key; delete sa.key to have a new one made")]
    TokenKey,
    /// A file could not be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A listener could not be used.
    #[error("cannot use the listening socket")]
    Listener(#[source] std::io::Error),
    /// What every cluster has could not be added to the store.
    #[error("cannot make the objects every cluster has")]
    Bootstrap(#[source] Box<engine_store::Status>),
    /// The database of the data directory failed.
    #[error("the database {path} failed")]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<redb::Error>,
    },
    /// The database holds what this version cannot read.
    #[error("the database {path} cannot be read: {reason}; move it away to start empty")]
    Restore {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
}
