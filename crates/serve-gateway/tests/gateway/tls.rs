//! TLS: which certificate, HTTP/2, and Secrets that are broken or change.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use plan::{Certificate, GatewayPlan, HostMatch};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serve_gateway::{Config, Gateway};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use types::{NamespacedName, ObjectRef, Port};

use crate::world::{HOST, free_port, get, mk_backend, mk_host, mk_plan, start};

/// Takes every certificate; the tests compare what they get.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

async fn connect(address: SocketAddr, name: &str, alpn: &[&str]) -> TlsStream<TcpStream> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// The certificate a client of this server name gets.
async fn certificate_for(address: SocketAddr, name: &str) -> Vec<u8> {
    let stream = connect(address, name, &[]).await;
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn mk_certificate(secret: &str, host: HostMatch) -> (Certificate, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed([format!("{secret}.example")]).unwrap();
    let certificate = Certificate {
        hosts: vec![host],
        secret: ObjectRef::namespaced("Secret", &NamespacedName::new("shop", secret)),
        certificate_pem: made.cert.pem(),
        key_pem: made.signing_key.serialize_pem(),
    };
    (certificate, made.cert.der().to_vec())
}

fn exact(host: &str) -> HostMatch {
    HostMatch::Exact(host.into())
}

/// A plan with HTTPS alone.
async fn mk_tls_plan(certificates: Vec<Certificate>) -> GatewayPlan {
    let plan = mk_plan(&[mk_backend("web").await]).await;
    GatewayPlan { http_port: None, https_port: Port::new(free_port().await), certificates, ..plan }
}

#[tokio::test]
async fn ig6_the_certificate_follows_the_server_name() {
    let (shop, shop_der) = mk_certificate("shop", exact(HOST));
    let (wildcard, wildcard_der) = mk_certificate("wildcard", HostMatch::Wildcard("example.com".into()));
    let (_gateway, address) = start(&mk_tls_plan(vec![wildcard, shop]).await, |_| ());
    assert_eq!(certificate_for(address, HOST).await, shop_der);
    assert_eq!(certificate_for(address, "SHOP.example.com").await, shop_der);
    assert_eq!(certificate_for(address, "other.example.com").await, wildcard_der);
    let fallback = certificate_for(address, "a.b.example.com").await;
    assert!(fallback != shop_der && fallback != wildcard_der, "a self-made one");
    assert_eq!(certificate_for(address, "127.0.0.1").await, fallback, "without a server name");
}

#[tokio::test]
async fn ig6_a_broken_secret_disturbs_no_other_host() {
    let (good, good_der) = mk_certificate("good", exact(HOST));
    let broken = |secret: &str, host: &str, certificate: &str, key: &str| Certificate {
        certificate_pem: certificate.to_owned(),
        key_pem: key.to_owned(),
        ..mk_certificate(secret, exact(host)).0
    };
    let (other, other_der) = mk_certificate("other", exact("mismatch.example.com"));
    let plan = mk_tls_plan(vec![
        broken("empty", "empty.example.com", "", ""),
        broken(
            "garbage",
            "garbage.example.com",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
            "",
        ),
        broken("keyless", "keyless.example.com", &good.certificate_pem, "no key"),
        broken("mismatch", "mismatch.example.com", &good.certificate_pem, &other.key_pem),
        good,
        other,
    ])
    .await;
    let gateway = Gateway::start(Config::default()).unwrap();
    let report = gateway.publish(&plan);
    let texts = report
        .failures
        .iter()
        .map(|failure| format!("{}: {}", failure.what, failure.why))
        .collect::<Vec<_>>();
    assert_eq!(texts.len(), 4, "{texts:#?}");
    let end = "; its hosts are served with a self-made certificate";
    assert_eq!(texts[0], format!("certificate of Secret shop/empty: tls.crt holds no certificate{end}"));
    assert!(texts[1].starts_with("certificate of Secret shop/garbage: tls.crt is not PEM"), "{}", texts[1]);
    assert!(texts[2].contains("shop/keyless: tls.key holds no private key in PEM"), "{}", texts[2]);
    assert_eq!(
        texts[3],
        format!("certificate of Secret shop/mismatch: tls.key does not belong to tls.crt{end}")
    );
    assert_eq!(gateway.publish(&plan).failures, report.failures, "what is broken stays due");
    let address = plan.sockets().next().unwrap();
    assert_eq!(certificate_for(address, HOST).await, good_der);
    assert_eq!(
        certificate_for(address, "mismatch.example.com").await,
        other_der,
        "the next one for the host"
    );
}

#[tokio::test]
async fn ig6_a_new_secret_is_served_at_once() {
    let (old, old_der) = mk_certificate("old", exact(HOST));
    let (new, new_der) = mk_certificate("new", exact(HOST));
    let mut plan = mk_tls_plan(vec![old]).await;
    let (gateway, address) = start(&plan, |_| ());
    let open = connect(address, HOST, &[]).await;
    assert_eq!(certificate_for(address, HOST).await, old_der);
    plan.certificates = vec![new];
    gateway.publish(&plan);
    assert_eq!(certificate_for(address, HOST).await, new_der);
    let (mut client, connection) = http1::handshake(TokioIo::new(open)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().uri("/").header("host", HOST).body(Full::<Bytes>::default()).unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status(), 200, "open connections go on");
}

#[tokio::test]
async fn http2_is_spoken_and_backends_get_http1() {
    let (_gateway, address) = start(&mk_tls_plan(Vec::new()).await, |_| ());
    let stream = connect(address, HOST, &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder()
        .method("POST")
        .uri(format!("https://{HOST}/x?y"))
        .body(Full::new(Bytes::from_static(b"hello")))
        .unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    for line in ["POST /x?y HTTP/1.1", "host: shop.example.com", "x-forwarded-proto: https"] {
        assert!(body.lines().any(|other| other == line), "{line}\n{body}");
    }
    assert!(body.ends_with("\n\nhello"));
}

#[tokio::test]
async fn a_failed_handshake_harms_nobody() {
    let (_gateway, address) = start(&mk_tls_plan(Vec::new()).await, |config| {
        config.handshake_timeout = std::time::Duration::from_millis(100);
    });
    let silent = TcpStream::connect(address).await.unwrap();
    let wrong = TcpStream::connect(address).await.unwrap();
    wrong.writable().await.unwrap();
    wrong.try_write(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    connect(address, HOST, &[]).await;
    drop((silent, wrong));
}

#[tokio::test]
async fn both_ports_of_one_address() {
    let (certificate, der) = mk_certificate("shop", exact(HOST));
    let mut plan = mk_tls_plan(vec![certificate]).await;
    plan.http_port = Port::new(free_port().await);
    plan.hosts[0] = plan::VirtualHost { https_redirect: true, ..mk_host(HOST, &[]) };
    let (_gateway, http) = start(&plan, |_| ());
    assert_eq!(get(http, HOST, "/").await.status, 308);
    let https = plan.sockets().nth(1).unwrap();
    assert_eq!(certificate_for(https, HOST).await, der);
}
