//! A small HTTPS client: one HTTP/1.1 connection, a bearer token, whole answers or a stream of lines.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where a server is and how to prove who we are.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) socket: SocketAddr,
    token: Arc<str>,
    tls: TlsConnector,
}

/// One connection.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    token: Arc<str>,
}

/// The lines of a watch.
pub(crate) struct Lines {
    body: Incoming,
    rest: BytesMut,
    /// Where to go on looking for the end of a line.
    searched: usize,
}

impl Address {
    /// A server with a certificate of this authority, and a token it knows.
    pub(crate) fn new(socket: SocketAddr, authority_pem: &str, token: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority_pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { socket, token: token.into(), tls: TlsConnector::from(Arc::new(config)) }
    }

    pub(crate) async fn connect(&self) -> Result<Client, String> {
        let text = |error: std::io::Error| error.to_string();
        let stream = TcpStream::connect(self.socket).await.map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        let name = ServerName::from(self.socket.ip());
        let stream = self.tls.connect(name, stream).await.map_err(text)?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Client { sender, token: Arc::clone(&self.token) })
    }

    /// A watch on a connection of its own.
    pub(crate) async fn watch(&self, path: &str) -> Lines {
        let mut client = self.connect().await.unwrap();
        let (status, body) = client.open(Method::GET, path, "", Bytes::new()).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}");
        Lines { body, rest: BytesMut::new(), searched: 0 }
    }
}

impl Client {
    /// Sends a request; returns when the head of the answer is there.
    pub(crate) async fn open(
        &mut self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Incoming), String> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "127.0.0.1")
            .header(USER_AGENT, "bench/1")
            .header(AUTHORIZATION, format!("Bearer {}", self.token));
        if !content_type.is_empty() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(Full::new(body)).unwrap();
        self.sender.ready().await.map_err(|error| error.to_string())?;
        let answer = self.sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = answer.into_parts();
        Ok((head.status, body))
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), String> {
        let (status, body) = self.open(method, path, content_type, body).await?;
        let body = body.collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    }

    /// Sends a request that must succeed.
    pub(crate) async fn ok(&mut self, method: Method, path: &str, content_type: &str, body: Bytes) -> Bytes {
        let (status, body) = self.send(method, path, content_type, body).await.unwrap();
        assert!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&body));
        body
    }
}

impl Lines {
    /// The next line; none when the stream ends.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(at) = self.rest[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(self.searched + at + 1).freeze();
                self.searched = 0;
                return Some(line);
            }
            self.searched = self.rest.len();
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.rest.extend_from_slice(&data);
            }
        }
    }

    /// Reads on until a line holds this text.
    pub(crate) async fn until(&mut self, text: &str) {
        while let Some(line) = self.next().await {
            if std::str::from_utf8(&line).unwrap().contains(text) {
                return;
            }
        }
        panic!("the watch ended before {text} came");
    }
}
