//! Which certificates of upstream servers are believed: those that the system, or a file, says. And with which one of ours we
//! show them who we are, if any.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use plan::ClientFiles;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::upstream::server::AskError;

/// Read when it is first needed, and again as long as that fails.
#[derive(Debug)]
pub(crate) struct Trust {
    ca_file: Option<String>,
    own: Option<ClientFiles>,
    client: OnceLock<Arc<ClientConfig>>,
    /// Whether the log tells already that they cannot be read.
    is_told: AtomicBool,
}

impl Trust {
    pub(crate) fn new(ca_file: Option<String>, own: Option<ClientFiles>) -> Self {
        Self { ca_file, own, client: OnceLock::new(), is_told: AtomicBool::new(false) }
    }

    /// How to connect over TLS. One for all servers of a forward, so that sessions are resumed.
    pub(crate) async fn client(self: &Arc<Self>) -> Result<Arc<ClientConfig>, AskError> {
        if let Some(client) = self.client.get() {
            return Ok(Arc::clone(client));
        }
        let trust = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || trust.read()).await;
        let client = read.map_err(|error| AskError::Trust(error.to_string()))?;
        let client = client.map_err(|error| {
            if !self.is_told.swap(true, Ordering::Relaxed) {
                tracing::warn!(%error, "certificates for upstream DNS servers over TLS cannot be read; trying again with each query");
            }
            AskError::Trust(error)
        })?;
        Ok(Arc::clone(self.client.get_or_init(|| client)))
    }

    fn read(&self) -> Result<Arc<ClientConfig>, String> {
        let roots = roots(self.ca_file.as_deref())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?.with_root_certificates(roots);
        let Some(ClientFiles { certificate, key: key_file }) = &self.own else {
            return Ok(Arc::new(builder.with_no_client_auth()));
        };
        let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| format!("{key_file}: {error}"))?;
        let client = builder.with_client_auth_cert(certificates(certificate)?, key);
        client.map(Arc::new).map_err(|error| format!("{certificate}, {key_file}: {error}"))
    }
}

fn roots(ca_file: Option<&str>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| format!("{path}: {error}"))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    match roots.is_empty() {
        true => Err(format!("no certificates in {}", ca_file.unwrap_or("the system's store"))),
        false => Ok(roots),
    }
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(|found| found.collect());
    certificates.map_err(|error| format!("{path}: {error}"))
}
