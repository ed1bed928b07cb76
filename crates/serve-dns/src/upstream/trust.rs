//! Which certificates of upstream servers are believed: those that the system, or a file, says.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::upstream::server::AskError;

/// Read when it is first needed, and again as long as that fails.
#[derive(Debug)]
pub(crate) struct Trust {
    ca_file: Option<String>,
    client: OnceLock<Arc<ClientConfig>>,
}

impl Trust {
    pub(crate) fn new(ca_file: Option<String>) -> Self {
        Self { ca_file, client: OnceLock::new() }
    }

    /// How to connect over TLS. One for all servers of a forward, so that sessions are resumed.
    pub(crate) async fn client(self: &Arc<Self>) -> Result<Arc<ClientConfig>, AskError> {
        if let Some(client) = self.client.get() {
            return Ok(Arc::clone(client));
        }
        let trust = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || read(trust.ca_file.as_deref())).await;
        let client = read.map_err(|error| AskError::Trust(error.to_string()))?;
        let client = client.map_err(AskError::Trust)?;
        Ok(Arc::clone(self.client.get_or_init(|| client)))
    }
}

fn read(ca_file: Option<&str>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let certificates =
                CertificateDer::pem_file_iter(path).map_err(|error| format!("{path}: {error}"))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| format!("{path}: {error}"))?;
                roots.add(certificate).map_err(|error| format!("{path}: {error}"))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(format!("no certificates in {}", ca_file.unwrap_or("the system's store")));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
