//! DNS over TLS, with right and wrong certificates.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use plan::{ClientFiles, Upstream};
use rcgen::{Certificate, CertificateParams, CertifiedIssuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::world::{NOERROR, SERVFAIL, World, good, reply_to, serve_stream};

/// A server over TLS, and a file with the certificate that its own is signed with.
struct Secure {
    address: SocketAddr,
    ca_file: PathBuf,
    connections: Arc<AtomicUsize>,
}

impl Drop for Secure {
    fn drop(&mut self) {
        std::fs::remove_file(&self.ca_file).ok();
    }
}

/// A certificate for `dns.example` and 127.0.0.1, and what it is signed with.
pub(crate) struct Signed {
    pub(crate) ca: CertifiedIssuer<'static, KeyPair>,
    pub(crate) certificate: Certificate,
    pub(crate) key: KeyPair,
}

pub(crate) fn sign() -> Signed {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["dns.example".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
    Signed { ca, certificate, key }
}

/// Its certificate is that of [`sign()`]. Every so many queries it closes the connection.
async fn mk_secure(closes_after: usize) -> Secure {
    mk_secure_for(closes_after, WebPkiClientVerifier::no_client_auth()).await
}

/// One that is for such clients alone.
async fn mk_secure_for(closes_after: usize, clients: Arc<dyn ClientCertVerifier>) -> Secure {
    let Signed { ca, certificate, key } = sign();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ca_file =
        std::env::temp_dir().join(format!("sealane-dns-ca-{}-{}", std::process::id(), address.port()));
    std::fs::write(&ca_file, ca.pem()).unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, counted) = (acceptor.clone(), Arc::clone(&counted));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                counted.fetch_add(1, Ordering::SeqCst);
                let mut left = closes_after;
                serve_stream(stream, |query| {
                    left = left.checked_sub(1)?;
                    Some(vec![reply_to(query, 1)])
                })
                .await;
            });
        }
    });
    Secure { address, ca_file, connections }
}

async fn mk_world(secure: &Secure, server_name: Option<&str>, ca: Option<&Secure>) -> World {
    World::new(&[], |wish| {
        let server_name = server_name.map(str::to_owned);
        wish.forward.to = vec![Upstream::Tls { address: secure.address, server_name }];
        wish.forward.tls_ca_file = ca.map(|ca| ca.ca_file.to_str().unwrap().to_owned());
    })
    .await
}

#[tokio::test]
async fn right_certificates_are_accepted_and_connections_are_kept() {
    let secure = mk_secure(usize::MAX).await;
    for name in [Some("dns.example"), None] {
        let world = mk_world(&secure, name, Some(&secure)).await;
        let before = secure.connections.load(Ordering::SeqCst);
        for round in 0..5 {
            let name = format!("n{round}.example.com");
            let (one, other) = tokio::join!(world.ask(&name), world.ask("www.example.com"));
            assert_eq!((one, other), (good(1), good(1)));
        }
        assert_eq!(secure.connections.load(Ordering::SeqCst) - before, 1);
        assert_eq!(world.upstream(0).datagrams, 0, "nothing goes in the clear");
    }
}

#[tokio::test]
async fn wrong_certificates_are_refused() {
    let (secure, other) = (mk_secure(usize::MAX).await, mk_secure(usize::MAX).await);
    for (what, name, ca) in [
        ("another name", Some("dns.example.org"), Some(&secure)),
        ("another authority", Some("dns.example"), Some(&other)),
        ("one that the system does not know", Some("dns.example"), None),
    ] {
        let world = mk_world(&secure, name, ca).await;
        assert_eq!(world.ask("www.example.com").await.rcode, SERVFAIL, "{what}");
    }
    assert_eq!(secure.connections.load(Ordering::SeqCst), 0, "no handshake was completed");
}

#[tokio::test]
async fn a_secure_connection_that_was_closed_is_made_again() {
    let secure = mk_secure(2).await;
    let world = mk_world(&secure, Some("dns.example"), Some(&secure)).await;
    for round in 0..7 {
        assert_eq!(world.ask("www.example.com").await, good(1), "{round}");
    }
    assert!(secure.connections.load(Ordering::SeqCst) >= 3);
}

#[tokio::test]
async fn servers_that_want_to_know_who_asks_are_shown_a_certificate() {
    let Signed { ca, certificate, key } = sign();
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let secure = mk_secure_for(usize::MAX, clients).await;
    let directory = secure.ca_file.with_extension("client");
    std::fs::create_dir_all(&directory).unwrap();
    let file = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let files = ClientFiles {
        certificate: file("certificate", certificate.pem()),
        key: file("key", key.serialize_pem()),
    };
    let none = ClientFiles { key: file("no-key", String::new()), ..files.clone() };
    for (own, is_known) in [(None, false), (Some(none), false), (Some(files), true)] {
        let what = format!("{own:?}");
        let world = World::new(&[], |wish| {
            let server_name = Some("dns.example".to_owned());
            wish.forward.to = vec![Upstream::Tls { address: secure.address, server_name }];
            wish.forward.tls_ca_file = Some(secure.ca_file.to_str().unwrap().to_owned());
            wish.forward.tls_client = own;
        })
        .await;
        let reply = world.ask("www.example.com").await;
        assert_eq!(reply.rcode, if is_known { NOERROR } else { SERVFAIL }, "{what}");
    }
    std::fs::remove_dir_all(&directory).ok();
}
