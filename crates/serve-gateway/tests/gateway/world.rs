//! Gateways, backends and clients for the tests.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use plan::{Backend, GatewayPlan, HostMatch, HttpAction, HttpRoute, PathMatch, VirtualHost};
use serve_gateway::{Config, Gateway};
use tokio::net::{TcpListener, TcpStream};
use types::{NamespacedName, ObjectRef, Port, ServiceName};

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const HOST: &str = "shop.example.com";

/// A port that was free on loopback a moment ago.
pub(crate) async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

pub(crate) fn to_backend(address: SocketAddr) -> Backend {
    Backend { address: address.ip(), port: Port::new(address.port()).unwrap() }
}

/// A route for every path to these backends.
pub(crate) fn mk_route(backends: &[SocketAddr]) -> HttpRoute {
    let backends = backends.iter().copied().map(to_backend).collect::<BTreeSet<_>>();
    HttpRoute {
        origin: ObjectRef::namespaced("Ingress", &NamespacedName::new("shop", "entry")),
        field: "spec.rules[0].http.paths[0]".into(),
        path: PathMatch::Prefix("/".into()),
        action: HttpAction::Forward {
            service: ServiceName::new("shop", "web"),
            unavailable: backends.is_empty().then(|| "Service shop/web has no ready endpoint".into()),
            backends,
            rewrite_target: None,
        },
    }
}

pub(crate) fn mk_host(host: &str, backends: &[SocketAddr]) -> VirtualHost {
    VirtualHost {
        host: HostMatch::Exact(host.into()),
        https_redirect: false,
        routes: vec![mk_route(backends)],
    }
}

/// A plan on 127.0.0.1 that sends [`HOST`] to these backends.
pub(crate) async fn mk_plan(backends: &[SocketAddr]) -> GatewayPlan {
    GatewayPlan {
        addresses: BTreeSet::from([[127, 0, 0, 1].into()]),
        http_port: Port::new(free_port().await),
        hosts: vec![mk_host(HOST, backends)],
        ..GatewayPlan::default()
    }
}

/// A gateway that serves this plan, and its HTTP address.
pub(crate) fn start(plan: &GatewayPlan, change: impl FnOnce(&mut Config)) -> (Gateway, SocketAddr) {
    let mut config = Config::default();
    change(&mut config);
    let gateway = Gateway::start(config).unwrap();
    assert_eq!(gateway.publish(plan).failures, []);
    let address = plan.sockets().next().unwrap();
    (gateway, address)
}

/// A backend that says what it was asked: its name, the request line, the headers, then the body.
pub(crate) async fn mk_backend(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(move |request| echo(name, request));
            tokio::spawn(async move {
                auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await
                    .ok();
            });
        }
    });
    address
}

async fn echo(name: &'static str, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let mut text = format!("{name}\n{} {} {:?}\n", head.method, head.uri, head.version);
    for (name, value) in &head.headers {
        text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
    }
    text.push('\n');
    let mut bytes = text.into_bytes();
    bytes.extend(body.collect().await.unwrap().to_bytes());
    let response = Response::builder().header("connection", "x-inner").header("x-inner", "secret");
    Ok(response.body(Full::new(bytes.into())).unwrap())
}

/// An address nobody listens on.
pub(crate) async fn mk_dead_backend() -> SocketAddr {
    ([127, 0, 0, 1], free_port().await).into()
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: http::response::Parts,
    pub(crate) body: String,
}

impl Reply {
    /// The line of an [`echo`] that starts so.
    pub(crate) fn line(&self, start: &str) -> Option<&str> {
        self.body.lines().find_map(|line| line.strip_prefix(start))
    }
}

/// A connection that stays open between requests.
pub(crate) struct Client(http1::SendRequest<Full<Bytes>>);

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Reply> {
        self.0.ready().await?;
        let (head, body) = self.0.send_request(request).await?.into_parts();
        let body = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
        Ok(Reply { status: head.status.as_u16(), head, body })
    }

    pub(crate) async fn get(&mut self, host: &str, path: &str) -> hyper::Result<Reply> {
        self.send(mk_get(host, path)).await
    }
}

pub(crate) fn mk_get(host: &str, path: &str) -> Request<Full<Bytes>> {
    Request::builder().uri(path).header("host", host).body(Full::default()).unwrap()
}

/// One request on a connection of its own.
pub(crate) async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Reply {
    let reply = async { Client::connect(address).await.send(request).await.unwrap() };
    tokio::time::timeout(DEADLINE, reply).await.unwrap()
}

pub(crate) async fn get(address: SocketAddr, host: &str, path: &str) -> Reply {
    send(address, mk_get(host, path)).await
}
