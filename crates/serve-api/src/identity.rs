//! The server's side of TLS, and who a client's certificate belongs to.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use engine_access::User;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::credentials::Credentials;
use crate::error::ApiServerError;

/// Where a user's extra facts say which credential was used (apiserver `user.CredentialIDKey`).
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Who a client certificate that the TLS layer has verified belongs to: the common name is the user, the organizations
/// are the groups.
pub(crate) fn from_certificate(certificate: &CertificateDer<'_>) -> Option<User> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_owned);
    let name = parsed.subject().iter_common_name().find_map(text)?;
    let mut user = User::authenticated(name, parsed.subject().iter_organization().filter_map(text));
    let print = digest(&SHA256, certificate);
    let print: String = print.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    user.extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={print}")]);
    Some(user)
}

/// The server's side of TLS: its certificate, and client certificates taken but not required.
pub(crate) fn tls_config(credentials: &Credentials) -> Result<ServerConfig, ApiServerError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let pem = |what| move |source| ApiServerError::Pem { what, source };
    let authority =
        CertificateDer::from_pem_slice(credentials.authority_pem().as_bytes()).map_err(pem("ca.crt"))?;
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()?;
    let (certificate, key) = credentials.server_certificate()?;
    let certificate =
        CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(pem("the server certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(pem("the server key"))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate, authority], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use engine_access::MASTERS_GROUP;

    use super::*;
    use crate::credentials::ADMIN_USER;

    #[test]
    fn the_administrator_is_read_from_its_certificate() {
        let credentials = Credentials::generate().unwrap();
        let der =
            CertificateDer::from_pem_slice(credentials.administrator_certificate_pem().as_bytes()).unwrap();
        let user = from_certificate(&der).unwrap();
        assert_eq!((user.name.as_str(), user.groups.len()), (ADMIN_USER, 2));
        assert!(user.is_in(MASTERS_GROUP));
        assert!(user.extra[CREDENTIAL_ID][0].starts_with("X509SHA256="));
        tls_config(&credentials).unwrap();
    }
}
