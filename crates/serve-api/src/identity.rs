//! Who sends a request: from the client certificate of the connection or the bearer token of the request.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::credentials::{ADMIN_GROUP, ADMIN_USER, Credentials};
use crate::error::ApiServerError;

/// The group of everyone who proved an identity (Kubernetes documentation, "Authenticating").
const AUTHENTICATED_GROUP: &str = "system:authenticated";

/// A proven identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
}

impl Identity {
    fn administrator() -> Self {
        Self {
            user: ADMIN_USER.to_owned(),
            groups: vec![ADMIN_GROUP.to_owned(), AUTHENTICATED_GROUP.to_owned()],
        }
    }

    /// Whether it may do everything.
    pub(crate) fn is_administrator(&self) -> bool {
        self.groups.iter().any(|group| group == ADMIN_GROUP)
    }

    /// The whole of authorization here: administrators may do everything, others may read.
    pub(crate) fn may(&self, verb: &str) -> bool {
        self.is_administrator() || matches!(verb, "get" | "list" | "watch")
    }

    /// The one the request wants to be taken for, which only an administrator may ask.
    pub(crate) fn impersonated(self, headers: &HeaderMap) -> Option<Self> {
        let text = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
        let Some(user) = headers.get("impersonate-user").and_then(text) else {
            let others = ["impersonate-group", "impersonate-uid"];
            return others.iter().all(|name| !headers.contains_key(*name)).then_some(self);
        };
        let mut groups: Vec<String> = headers.get_all("impersonate-group").iter().filter_map(text).collect();
        groups.push(AUTHENTICATED_GROUP.to_owned());
        self.is_administrator().then_some(Self { user, groups })
    }

    /// From a client certificate that the TLS layer has verified: the common name is the user, the
    /// organizations are the groups.
    pub(crate) fn from_certificate(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let text =
            |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_owned);
        let user = parsed.subject().iter_common_name().find_map(text)?;
        let mut groups: Vec<String> = parsed.subject().iter_organization().filter_map(text).collect();
        groups.push(AUTHENTICATED_GROUP.to_owned());
        Some(Self { user, groups })
    }
}

/// What an `Authorization` header says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bearer {
    /// No such header.
    Absent,
    /// A token we know.
    Known(Identity),
    /// Anything else.
    Wrong,
}

/// The bearer token of the request, judged.
pub(crate) fn bearer(headers: &HeaderMap, known_token: &str) -> Bearer {
    let Some(value) = headers.get(AUTHORIZATION) else { return Bearer::Absent };
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match token {
        Some(token) if equal_in_constant_time(token.as_bytes(), known_token.as_bytes()) => {
            Bearer::Known(Identity::administrator())
        }
        _ => Bearer::Wrong,
    }
}

/// Compares without telling by its duration where the first difference is.
fn equal_in_constant_time(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
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
    use super::*;

    #[test]
    fn the_administrator_is_read_from_its_certificate() {
        let credentials = Credentials::generate().unwrap();
        let der =
            CertificateDer::from_pem_slice(credentials.administrator_certificate_pem().as_bytes()).unwrap();
        let identity = Identity::from_certificate(&der).unwrap();
        assert_eq!(identity, Identity::administrator());
        tls_config(&credentials).unwrap();
    }

    #[test]
    fn an_administrator_may_act_as_somebody_else() {
        let mut headers = HeaderMap::new();
        assert_eq!(Identity::administrator().impersonated(&headers), Some(Identity::administrator()));
        headers.insert("impersonate-user", "jane".parse().unwrap());
        let jane = Identity::administrator().impersonated(&headers).unwrap();
        assert!(jane.may("watch") && !jane.may("create"));
        assert_eq!(jane.impersonated(&headers), None);
    }

    #[test]
    fn only_the_right_token_counts() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers, "secret"), Bearer::Absent);
        headers.insert(AUTHORIZATION, "Bearer secret".parse().unwrap());
        assert_eq!(bearer(&headers, "secret"), Bearer::Known(Identity::administrator()));
        for wrong in ["Bearer secreT", "Basic c2VjcmV0", "secret", "Bearer "] {
            headers.insert(AUTHORIZATION, wrong.parse().unwrap());
            assert_eq!(bearer(&headers, "secret"), Bearer::Wrong, "{wrong}");
        }
    }
}
