//! The sockets at which load balancers ask whether this node has endpoints of a Service.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http_body_util::Full;
use plan::{Failure, HealthCheck, Report};
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use types::Port;

use crate::Admin;
use crate::server::{Response, accept};

/// How many endpoints the node has, for balancers that weigh nodes (upstream: `pkg/proxy/healthcheck/service_health.go`).
const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");
/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

type Checks = BTreeMap<Port, HealthCheck>;

/// The open sockets; they are closed when this is dropped.
pub struct HealthChecks {
    admin: Arc<Admin>,
    checks: Arc<ArcSwap<Checks>>,
    open: BTreeMap<Port, JoinHandle<()>>,
    taken: BTreeSet<Port>,
}

impl HealthChecks {
    /// None yet.
    #[must_use]
    pub fn new(admin: Arc<Admin>) -> Self {
        Self { admin, checks: Arc::default(), open: BTreeMap::new(), taken: BTreeSet::new() }
    }

    /// Answers for these from now on: opens what is missing, closes what is not wanted. What failed is tried again
    /// with the next call.
    pub fn converge(&mut self, checks: &Checks) -> Report {
        let mut report = Report::default();
        if **self.checks.load() != *checks {
            self.checks.store(Arc::new(checks.clone()));
        }
        for (_, task) in self.open.extract_if(.., |port, _| !checks.contains_key(port)) {
            task.abort();
            report.written += 1;
        }
        self.taken.clear();
        for (port, check) in checks {
            if self.open.contains_key(port) {
                continue;
            }
            match listen(*port) {
                Ok(socket) => {
                    self.open.insert(*port, self.answer(socket, *port));
                    report.written += 1;
                }
                Err(error) => {
                    if error.kind() == ErrorKind::AddrInUse {
                        self.taken.insert(*port);
                    }
                    let what = format!("healthCheckNodePort {port} of Service {}", check.service);
                    report.failures.push(Failure { what, why: error.to_string() });
                }
            }
        }
        report
    }

    /// Ports that the last call could not open, as somebody else on this node has them.
    #[must_use]
    pub fn taken(&self) -> &BTreeSet<Port> {
        &self.taken
    }

    fn answer(&self, socket: TcpListener, port: Port) -> JoinHandle<()> {
        let (admin, checks) = (Arc::clone(&self.admin), Arc::clone(&self.checks));
        let respond = move |_: &_| response(checks.load().get(&port), admin.liveness().is_good());
        tokio::spawn(accept(socket, respond))
    }
}

impl Drop for HealthChecks {
    fn drop(&mut self) {
        self.open.values().for_each(JoinHandle::abort);
    }
}

/// On every address of the node, of both families where the kernel has both.
fn listen(port: Port) -> std::io::Result<TcpListener> {
    let any = |address: IpAddr| SocketAddr::new(address, port.number());
    listen_at(any(Ipv6Addr::UNSPECIFIED.into())).or_else(|error| match error.raw_os_error() {
        // `EAFNOSUPPORT` and `EADDRNOTAVAIL`: the kernel has no IPv6, or it is turned off.
        Some(97 | 99) => listen_at(any(Ipv4Addr::UNSPECIFIED.into())),
        _ => Err(error),
    })
}

fn listen_at(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// 200 while the node has a ready endpoint and its rules are right (semantics SD14).
fn response(check: Option<&HealthCheck>, is_good: bool) -> Response {
    let local_endpoints = check.map_or(0, |check| check.local_endpoints);
    let (namespace, name) = check.map_or(("", ""), |check| (&*check.service.namespace, &*check.service.name));
    let body = json!({
        "service": { "namespace": namespace, "name": name },
        "localEndpoints": local_endpoints,
        "serviceProxyHealthy": is_good,
    });
    let mut response = Response::new(Full::new(Bytes::from(format!("{body:#}\n"))));
    if local_endpoints == 0 || !is_good {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(WEIGHT, HeaderValue::from(local_endpoints));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use types::ServiceName;

    use super::*;

    fn checks(port: Port, local_endpoints: usize) -> Checks {
        [(port, HealthCheck { service: ServiceName::new("shop", "web"), local_endpoints })].into()
    }

    /// A port that was free a moment ago.
    fn free_port() -> Port {
        let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Port::new(socket.local_addr().unwrap().port()).unwrap()
    }

    async fn ask(port: Port) -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port.number())).await?;
        stream.write_all(b"GET /any HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer.to_lowercase())
    }

    #[tokio::test]
    async fn a_balancer_is_told_how_many_endpoints_are_here() {
        let mut health = HealthChecks::new(Admin::new());
        let port = free_port();
        assert_eq!(health.converge(&checks(port, 2)).failures, []);
        let answer = ask(port).await.unwrap();
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        assert!(answer.contains("x-load-balancing-endpoint-weight: 2\r\n"), "{answer}");
        assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
        let body: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        let service = json!({"namespace": "shop", "name": "web"});
        let wanted = json!({"service": service, "localendpoints": 2, "serviceproxyhealthy": true});
        assert_eq!(body, wanted);
        assert_eq!(health.converge(&checks(port, 0)).written, 0, "the socket stays");
        assert!(ask(port).await.unwrap().starts_with("http/1.1 503"));
    }

    #[tokio::test]
    async fn a_port_is_closed_with_its_service() {
        let mut health = HealthChecks::new(Admin::new());
        let port = free_port();
        assert_eq!(health.converge(&checks(port, 1)).written, 1);
        ask(port).await.unwrap();
        assert_eq!(health.converge(&Checks::new()).written, 1);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while ask(port).await.is_ok() {
            assert!(std::time::Instant::now() < deadline, "still open");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_named_and_opened_once_it_is_free() {
        let taken = std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = Port::new(taken.local_addr().unwrap().port()).unwrap();
        let mut health = HealthChecks::new(Admin::new());
        let report = health.converge(&checks(port, 1));
        assert_eq!(report.failures[0].what, format!("healthCheckNodePort {port} of Service shop/web"));
        assert_eq!(*health.taken(), [port].into());
        drop(taken);
        assert_eq!(health.converge(&checks(port, 1)).failures, []);
        assert_eq!(*health.taken(), BTreeSet::new());
        assert!(ask(port).await.unwrap().starts_with("http/1.1 200"));
    }

    #[test]
    fn a_node_whose_rules_are_stale_gets_nothing() {
        let port = Port::new(32000).unwrap();
        assert_eq!(response(checks(port, 3).get(&port), true).status(), 200);
        assert_eq!(response(checks(port, 3).get(&port), false).status(), 503);
    }
}
