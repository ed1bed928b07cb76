//! Certificates by server name, and the self-made one for all other names.

use std::sync::Arc;

use arc_swap::ArcSwap;
use engine_http::HostTable;
use plan::{Certificate, Failure};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::StartError;

/// The name in the self-made certificate.
const FALLBACK_NAME: &str = "sealane-fallback-certificate.invalid";

/// Picks a certificate for a handshake; what it picks from can change at any time.
#[derive(Debug)]
pub(crate) struct Certificates {
    provider: Arc<CryptoProvider>,
    fallback: Arc<CertifiedKey>,
    table: ArcSwap<HostTable<Arc<CertifiedKey>>>,
}

/// Why a Secret's certificate cannot be served.
#[derive(Debug, thiserror::Error)]
enum CertificateError {
    #[error("tls.crt is not PEM: {0}")]
    CertificatePem(rustls_pki_types::pem::Error),
    #[error("tls.crt holds no certificate")]
    NoCertificate,
    #[error("tls.key holds no private key in PEM: {0}")]
    KeyPem(rustls_pki_types::pem::Error),
    #[error("tls.key does not belong to tls.crt")]
    Mismatch,
    #[error("tls.crt or tls.key is of no supported kind: {0}")]
    Unsupported(rustls::Error),
}

impl Certificates {
    /// Knows only the self-made certificate.
    pub(crate) fn new(provider: Arc<CryptoProvider>) -> Result<Self, StartError> {
        let made = rcgen::generate_simple_self_signed([FALLBACK_NAME.to_owned()])?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let fallback = CertifiedKey::from_der(vec![made.cert.der().clone()], key.into(), &provider)?;
        Ok(Self { provider, fallback: Arc::new(fallback), table: ArcSwap::default() })
    }

    /// Serves these certificates from the next handshake on. One that cannot be served leaves its hosts to the next
    /// one for them, or to the self-made certificate, and touches no other.
    pub(crate) fn publish(&self, certificates: &[Certificate]) -> Vec<Failure> {
        let mut table = HostTable::default();
        let mut failures = Vec::new();
        for certificate in certificates {
            match load(certificate, &self.provider) {
                Ok(key) => {
                    for host in &certificate.hosts {
                        table.entry(host, || Arc::clone(&key));
                    }
                }
                Err(error) => failures.push(Failure {
                    what: format!("certificate of {}", certificate.secret),
                    why: format!("{error}; its hosts are served with a self-made certificate"),
                }),
            }
        }
        self.table.store(Arc::new(table));
        failures
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or_default().to_ascii_lowercase();
        let table = self.table.load();
        Some(Arc::clone(table.find(&name).unwrap_or(&self.fallback)))
    }
}

fn load(certificate: &Certificate, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(certificate.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(CertificateError::CertificatePem)?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate);
    }
    let key =
        PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).map_err(CertificateError::KeyPem)?;
    match CertifiedKey::from_der(chain, key, provider) {
        Ok(key) => Ok(Arc::new(key)),
        Err(rustls::Error::InconsistentKeys(_)) => Err(CertificateError::Mismatch),
        Err(error) => Err(CertificateError::Unsupported(error)),
    }
}
