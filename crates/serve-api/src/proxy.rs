//! `pods/…/proxy`, `services/…/proxy` and `nodes/…/proxy`: HTTP requests passed on to what runs in the cluster.
//!
//! Whom a name means is looked up in `destination`; what an answer's addresses become is decided by
//! `engine_streams::proxy`. What a client sends to prove who it is stays here.

mod destination;
mod tls;

use std::io;
use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use engine_store::{Status, Target};
use engine_streams::proxy::{Place, Scheme, rewrite_html};
use futures_util::StreamExt as _;
use futures_util::stream;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
    LOCATION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::access;
use crate::answer::{self, Answer, Body};
use crate::runtime::ByteStream;
use crate::server::Peer;
use crate::service::{Asked, Service};
use destination::Found;

/// Longest page whose addresses are rewritten; longer ones pass as they are.
const MAX_PAGE: usize = 4 * 1024 * 1024;
/// Where the client's own path is told (apimachinery `proxy.Transport`).
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
/// Whom a request comes from, and through whom.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Headers that concern one connection only (RFC 9110 section 7.6.1, and what Go's `ReverseProxy` removes).
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Passes a request on. What follows these parts of its path, as the client wrote it, is for the destination.
pub(crate) async fn proxy(
    service: &Service,
    target: &Target,
    segments: usize,
    asked: Asked,
) -> Result<Answer, Status> {
    let verb = verb(&asked.head.method)?;
    service.shared.authorize(&asked.identity, &access::attributes(verb, target))?;
    let found = destination::find(service, target)?;
    let Asked { mut head, body, .. } = asked;
    let whole = head.uri.path().to_owned();
    let path = behind(&whole, segments);
    let is_upgrade = is_upgrade(&head);
    if path.is_empty() && !is_upgrade && matches!(head.method, Method::GET | Method::HEAD) {
        return Ok(with_slash(&head));
    }
    let prefix = &whole[..whole.len() - path.len()];
    let upgrade = head.extensions.remove::<OnUpgrade>().filter(|_| is_upgrade);
    let host = host_of(&head);
    let mut request = request(&head, path, &host, &found, is_upgrade)?.map(|()| body);
    if let Some(Peer(peer)) = head.extensions.get() {
        forward_for(request.headers_mut(), peer.ip());
    }
    let answer = send(service, &found, request).await.map_err(|why| unreachable(&why))?;
    let place = Place { prefix, destination: &found.address.to_string(), host: &host };
    if is_upgrade {
        return switched(service, upgrade, answer);
    }
    let (mut parts, body) = answer.into_parts();
    remove_hop_by_hop(&mut parts.headers);
    if let Some(location) = parts.headers.get(LOCATION).and_then(|value| value.to_str().ok()) {
        if let Ok(value) = HeaderValue::from_str(&place.rewrite(location)) {
            parts.headers.insert(LOCATION, value);
        }
        return Ok(Response::from_parts(parts, passed_on(body)));
    }
    if !is_plain_html(&parts.headers) {
        return Ok(Response::from_parts(parts, passed_on(body)));
    }
    let body = rewritten(body, &place, &mut parts.headers).await?;
    Ok(Response::from_parts(parts, body))
}

/// The API's verb for a method (upstream's `proxyMethods`).
fn verb(method: &Method) -> Result<&'static str, Status> {
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => Ok("get"),
        Method::POST => Ok("create"),
        Method::PUT => Ok("update"),
        Method::PATCH => Ok("patch"),
        Method::DELETE => Ok("delete"),
        _ => Err(Status::method_not_allowed()),
    }
}

fn unreachable(why: &str) -> Status {
    Status::new(503, "ServiceUnavailable", format!("error trying to reach service: {why}"))
}

fn is_upgrade(head: &Parts) -> bool {
    let connection = head.headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let mut tokens = connection.flat_map(|text| text.split(','));
    tokens.any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
}

/// Redirects to the root, so that relative addresses in pages lead below it.
fn with_slash(head: &Parts) -> Answer {
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut answer = answer::full(StatusCode::MOVED_PERMANENTLY, "text/plain; charset=utf-8", "");
    if let Ok(value) = HeaderValue::from_str(&format!("{}/{query}", head.uri.path())) {
        answer.headers_mut().insert(LOCATION, value);
    }
    answer
}

/// The host that the client named: HTTP/2 has it in the address.
fn host_of(head: &Parts) -> String {
    let named = head.headers.get(HOST).and_then(|value| value.to_str().ok());
    named.or(head.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default().to_owned()
}

/// The head of the request that is passed on.
fn request(
    head: &Parts,
    path: &str,
    host: &str,
    found: &Found,
    is_upgrade: bool,
) -> Result<Request<()>, Status> {
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = if path.is_empty() { "/" } else { path };
    let mut request = Request::builder().method(head.method.clone()).uri(format!("{path}{query}"));
    let headers = request.headers_mut().ok_or_else(|| Status::bad_request("the path cannot be passed on"))?;
    *headers = head.headers.clone();
    let wanted = headers.get(UPGRADE).cloned();
    remove_hop_by_hop(headers);
    headers.remove(AUTHORIZATION);
    let impersonating: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    impersonating.iter().for_each(|name| drop(headers.remove(name)));
    if let (true, Some(wanted)) = (is_upgrade, wanted) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, wanted);
    }
    let named = if host.is_empty() { found.address.to_string() } else { host.to_owned() };
    for (name, value) in [(HOST, named.as_str()), (FORWARDED_URI, head.uri.path())] {
        let value = HeaderValue::from_str(value).map_err(|_| Status::bad_request("the host is no text"))?;
        headers.insert(name, value);
    }
    request.body(()).map_err(|_| Status::bad_request("the path cannot be passed on"))
}

/// Tells the destination who asks, behind those who passed the request on before (Go's `httputil.ReverseProxy`, and
/// apimachinery `net.AppendForwardedForHeader` for upgrades).
fn forward_for(headers: &mut HeaderMap, client: IpAddr) {
    let before = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<String> = before.map(str::to_owned).chain([client.to_string()]).collect();
    if let Ok(value) = HeaderValue::from_str(&all.join(", ")) {
        headers.insert(FORWARDED_FOR, value);
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // What `Connection` names concerns this connection only, too.
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Sends a request on a connection of its own; the connection ends when the answer's body is dropped.
async fn send(
    service: &Service,
    found: &Found,
    request: Request<Incoming>,
) -> Result<Response<Incoming>, String> {
    let stream = service.shared.runtime.reach(found.address).await.map_err(|error| error.to_string())?;
    let stream: ByteStream = match found.scheme {
        Scheme::Http => stream,
        Scheme::Https => Box::new(tls::connect(stream, found.address.ip()).await?),
    };
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
    let closing = service.closing.clone();
    // How it ended is told with the answer or its body.
    service.tasks.spawn(closing.run_until_cancelled_owned(connection.with_upgrades()));
    sender.send_request(request).await.map_err(|error| error.to_string())
}

/// Joins both connections once the destination has switched protocols.
fn switched(
    service: &Service,
    upgrade: Option<OnUpgrade>,
    mut answer: Response<Incoming>,
) -> Result<Answer, Status> {
    let status = answer.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        if status.as_u16() < 400 {
            let text = format!("invalid upgrade response: status code {}", status.as_u16());
            return Err(Status::internal(text));
        }
        let (mut parts, body) = answer.into_parts();
        remove_hop_by_hop(&mut parts.headers);
        return Ok(Response::from_parts(parts, passed_on(body)));
    }
    let upgrade = upgrade.ok_or_else(|| Status::bad_request("Upgrade request required"))?;
    let theirs = hyper::upgrade::on(&mut answer);
    let closing = service.closing.clone();
    service.tasks.spawn(closing.run_until_cancelled_owned(async move {
        let (Ok(client), Ok(destination)) = tokio::join!(upgrade, theirs) else { return };
        let (mut client, mut destination) = (TokioIo::new(client), TokioIo::new(destination));
        // Either side may break off; nobody is left to be told.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut destination).await;
    }));
    let (parts, _) = answer.into_parts();
    Ok(Response::from_parts(parts, answer::whole(Bytes::new())))
}

fn passed_on(body: Incoming) -> Body {
    body.map_err(io::Error::other).boxed_unsync()
}

fn is_plain_html(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("text/html") && !headers.contains_key(CONTENT_ENCODING)
}

/// A page whose addresses lead back through the proxy.
async fn rewritten(mut body: Incoming, place: &Place<'_>, headers: &mut HeaderMap) -> Result<Body, Status> {
    let mut page = BytesMut::new();
    while page.len() <= MAX_PAGE {
        let Some(frame) = body.frame().await else {
            let Ok(text) = std::str::from_utf8(&page) else { return Ok(answer::whole(page.freeze())) };
            let text = rewrite_html(text, |address| place.rewrite(address));
            if headers.contains_key(CONTENT_LENGTH) {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
            }
            return Ok(answer::whole(text.into()));
        };
        let frame = frame.map_err(|error| unreachable(&error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            page.extend_from_slice(&data);
        }
    }
    let rest = BodyStream::new(body).map(|frame| frame.map_err(io::Error::other));
    let first = stream::once(async move { Ok(Frame::data(page.freeze())) });
    Ok(StreamBody::new(first.chain(rest)).boxed_unsync())
}

/// Reads the rest of a path behind its first segments, as the client wrote it.
fn behind(path: &str, segments: usize) -> &str {
    let mut left = segments;
    let mut inside = false;
    for (at, letter) in path.char_indices() {
        match (letter, inside) {
            ('/', true) if left == 0 => return &path[at..],
            ('/', _) => inside = false,
            (_, false) => {
                inside = true;
                left = left.saturating_sub(1);
            }
            (_, true) => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_path_is_kept_as_it_is() {
        for (path, rest) in
            [("/a/b/proxy", ""), ("/a/b/proxy/", "/"), ("//a/b/proxy//c%2Fd/", "//c%2Fd/"), ("/a/b", "")]
        {
            assert_eq!(behind(path, 3), rest, "{path}");
        }
    }

    #[test]
    fn nothing_that_concerns_us_is_passed_on() {
        let head = Request::builder()
            .uri("/api/v1/namespaces/n/pods/p/proxy/x?a=1")
            .header("host", "localhost:8001")
            .header("authorization", "Bearer secret")
            .header("impersonate-user", "me")
            .header("connection", "close, X-Once")
            .header("x-once", "1")
            .header("x-kept", "2")
            .body(())
            .unwrap()
            .into_parts()
            .0;
        let found = Found { scheme: Scheme::Http, address: "10.0.0.1:80".parse().unwrap() };
        let request = request(&head, "/x", "localhost:8001", &found, false).unwrap();
        assert_eq!(request.uri(), "/x?a=1");
        let names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(request.headers()["x-forwarded-uri"], "/api/v1/namespaces/n/pods/p/proxy/x");
        for gone in ["authorization", "impersonate-user", "connection", "x-once"] {
            assert!(!names.contains(&gone), "{names:?}");
        }
        assert!(names.contains(&"x-kept"));
    }
}
