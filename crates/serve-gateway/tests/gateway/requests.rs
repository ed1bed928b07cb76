//! What clients get and backends see.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use plan::{GatewayPlan, HttpAction, PathMatch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::{Client, DEADLINE, HOST, get, mk_backend, mk_host, mk_plan, mk_route, send, start};

#[tokio::test]
async fn ig5_a_request_reaches_the_backend_as_it_came() {
    let (_gateway, address) = start(&mk_plan(&[mk_backend("web").await]).await, |_| ());
    let request = Request::builder()
        .method("PUT")
        .uri("/a%20b//c?d=%7E&e")
        .header("host", format!("{HOST}:8080"))
        .header("x-custom", "kept")
        .header("x-forwarded-for", "192.0.2.66")
        .header("x-forwarded-proto", "https")
        .header("connection", "x-private")
        .header("x-private", "for the gateway")
        .body(Full::new(Bytes::from_static(b"hello")))
        .unwrap();
    let reply = send(address, request).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.line("PUT "), Some("/a%20b//c?d=%7E&e HTTP/1.1"));
    let port = address.port().to_string();
    for (header, value) in [
        ("host: ", "shop.example.com:8080"),
        ("x-custom: ", "kept"),
        ("x-real-ip: ", "127.0.0.1"),
        ("x-forwarded-for: ", "127.0.0.1"),
        ("x-original-forwarded-for: ", "192.0.2.66"),
        ("x-forwarded-proto: ", "http"),
        ("x-forwarded-host: ", "shop.example.com:8080"),
        ("x-forwarded-port: ", &port),
        ("content-length: ", "5"),
    ] {
        assert_eq!(reply.line(header), Some(value), "{header}\n{}", reply.body);
    }
    assert_eq!(reply.line("x-request-id: ").unwrap().len(), 32);
    assert_eq!(reply.line("x-private: "), None);
    assert!(reply.body.ends_with("\n\nhello"));
    assert!(!reply.head.headers.contains_key("x-inner"), "named by the backend's Connection header");
}

#[tokio::test]
async fn trusted_proxies_speak_for_their_clients() {
    let plan = mk_plan(&[mk_backend("web").await]).await;
    let plan = GatewayPlan { trusted_proxies: ["127.0.0.0/8".parse().unwrap()].into(), ..plan };
    let (_gateway, address) = start(&plan, |_| ());
    let request = Request::builder()
        .uri("/")
        .header("host", HOST)
        .header("x-forwarded-for", "203.0.113.9")
        .header("x-forwarded-proto", "https");
    let reply = send(address, request.body(Full::default()).unwrap()).await;
    assert_eq!(reply.line("x-real-ip: "), Some("203.0.113.9"));
    assert_eq!(reply.line("x-forwarded-proto: "), Some("https"));
}

#[tokio::test]
async fn ig4_answers_of_our_own() {
    let mut plan = mk_plan(&[]).await;
    plan.hosts.push(plan::VirtualHost { https_redirect: true, ..mk_host("tls.example.com", &[]) });
    let (_gateway, address) = start(&plan, |_| ());
    let unknown = get(address, "other.example.com", "/").await;
    assert_eq!((unknown.status, unknown.body.as_str()), (404, "default backend - 404"));
    assert_eq!(get(address, HOST, "/").await.status, 503);
    assert_eq!(get(address, HOST, "/../x").await.status, 400);
    let redirect = get(address, "tls.example.com:8080", "/a?b").await;
    assert_eq!(redirect.status, 308);
    assert_eq!(redirect.head.headers["location"], "https://tls.example.com/a?b");
}

#[tokio::test]
async fn paths_are_rewritten() {
    let mut plan = mk_plan(&[mk_backend("web").await]).await;
    let route = &mut plan.hosts[0].routes[0];
    route.path = PathMatch::Regex("/something(/|$)(.*)".into());
    let HttpAction::Forward { rewrite_target, .. } = &mut route.action;
    *rewrite_target = Some("/$2".into());
    let (_gateway, address) = start(&plan, |_| ());
    assert_eq!(get(address, HOST, "/something/new?a=b").await.line("GET "), Some("/new?a=b HTTP/1.1"));
}

#[tokio::test]
async fn routes_change_under_an_open_connection() {
    let mut plan = mk_plan(&[mk_backend("old").await]).await;
    let (gateway, address) = start(&plan, |_| ());
    let mut client = Client::connect(address).await;
    assert!(client.get(HOST, "/").await.unwrap().body.starts_with("old\n"));
    plan.hosts[0].routes = vec![mk_route(&[mk_backend("new").await])];
    assert_eq!(gateway.publish(&plan).written, 1);
    assert!(client.get(HOST, "/").await.unwrap().body.starts_with("new\n"));
    assert_eq!(gateway.publish(&plan), plan::Report::default(), "publishing again writes nothing");
}

/// Sends bytes as they are and reads until the gateway closes the connection.
async fn talk(address: std::net::SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut reply)).await.unwrap().unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}

/// RFC 9112 section 6.1: with both lengths the chunks count, the connection ends, and nothing is smuggled.
#[tokio::test]
async fn two_lengths_smuggle_nothing() {
    let (_gateway, address) = start(&mk_plan(&[mk_backend("web").await]).await, |_| ());
    for lengths in [
        "Content-Length: 60\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 60",
    ] {
        let reply = talk(
            address,
            &format!(
                "POST /first HTTP/1.1\r\nHost: {HOST}\r\n{lengths}\r\n\r\n0\r\n\r\n\
                 GET /smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
            ),
        )
        .await;
        assert!(reply.contains("POST /first"), "{reply}");
        assert!(!reply.contains("/smuggled") && !reply.contains("content-length: 60"), "{reply}");
    }
}

#[tokio::test]
async fn ambiguous_requests_are_refused() {
    let (_gateway, address) = start(&mk_plan(&[mk_backend("web").await]).await, |_| ());
    for head in [
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nHost: other.example\r\nConnection: close\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: gzip\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX: a\r\n folded\r\n\r\n"),
    ] {
        let reply = talk(address, &head).await;
        assert!(reply.starts_with("HTTP/1.1 400 "), "{head}\n{reply}");
    }
    let reply = talk(address, "GET / HTTP/1.0\r\n\r\n").await;
    assert!(reply.contains(" 404 "), "HTTP/1.0 without Host: {reply}");
}

#[tokio::test]
async fn a_silent_client_is_not_waited_for() {
    let (_gateway, address) = start(&mk_plan(&[]).await, |config| {
        config.header_timeout = std::time::Duration::from_millis(100);
    });
    talk(address, "GET / HTTP/1.1\r\nHos").await;
}
