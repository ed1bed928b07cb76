//! The way of one request: decide, pass on, try the next backend, pass back.

use std::io::ErrorKind;
use std::sync::Arc;

use bytes::Bytes;
use engine_http::{
    Decision, Forward, Forwarded, Page, Peer, RequestHead, Upgrade, authority, route, strip_request,
    strip_response, tell_backend, wants_upgrade,
};
use http::header::{CONTENT_TYPE, HOST, HeaderValue, LOCATION};
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme as UriScheme};
use http::{Request, Response, StatusCode, Uri, Version};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::timeout;

use crate::lent_body::Lender;
use crate::shared::Shared;
use crate::upgrade;

/// A body from a backend, or of our own.
pub(crate) type Body = Either<Incoming, Full<Bytes>>;

/// Why no backend answered.
#[derive(Debug, thiserror::Error)]
enum UpstreamError {
    #[error("could not connect")]
    Connect(#[source] hyper_util::client::legacy::Error),
    #[error("no answer in time")]
    Timeout,
    #[error("the connection broke")]
    Broken(#[source] hyper_util::client::legacy::Error),
    #[error("the request cannot be written as HTTP/1.1")]
    Request(#[source] http::Error),
}

/// Serves one request.
pub(crate) async fn serve(shared: Arc<Shared>, peer: Peer, mut request: Request<Incoming>) -> Response<Body> {
    let routes = shared.routes.load_full();
    let draw = shared.draw.next();
    let downstream = wants_upgrade(request.headers())
        .filter(|_| request.version() == Version::HTTP_11)
        .map(|upgrade| (upgrade, hyper::upgrade::on(&mut request)));
    let (head, body) = request.into_parts();
    let Some(host) = authority(&head).map(str::to_owned) else {
        return own_page(Page::BAD_REQUEST);
    };
    let forwarded = Forwarded::new(peer, &host, &head.headers, routes.trusted_proxies());
    let question = RequestHead {
        scheme: forwarded.scheme,
        host: &host,
        path: head.uri.path_and_query().map_or("/", PathAndQuery::as_str),
        method: &head.method,
        headers: &head.headers,
    };
    let decision = route(&routes, &question, draw as u64);
    tracing::debug!(
        client = %forwarded.client, method = %head.method, host, path = question.path,
        reason = %decision.reason(), "HTTP request"
    );
    match decision {
        Decision::Respond { page, .. } => own_page(page),
        Decision::Redirect { page, location, .. } => redirect(page, &location),
        Decision::Forward(forward) => {
            let head = backend_head(head, &forward, &forwarded, draw, downstream.as_ref().map(|(up, _)| up));
            match send(&shared, &forward, &head, &Lender::new(body)).await {
                Ok(response) => pass_back(&shared, response, downstream),
                Err(error) => upstream_failed(&forward, &error),
            }
        }
    }
}

/// The head as backends see it; only the authority is still to be set.
fn backend_head(
    mut head: Parts,
    forward: &Forward<'_>,
    forwarded: &Forwarded,
    draw: u128,
    upgrade: Option<&Upgrade>,
) -> Parts {
    let target = match &forward.rewritten {
        Some(target) => PathAndQuery::try_from(target.as_str()).ok(),
        None => head.uri.path_and_query().cloned(),
    };
    let mut uri = http::uri::Parts::default();
    uri.path_and_query = Some(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
    head.uri = Uri::from_parts(uri).unwrap_or_default();
    head.version = Version::HTTP_11;
    strip_request(&mut head.headers, upgrade);
    tell_backend(&mut head.headers, forwarded, draw);
    match HeaderValue::from_str(&forwarded.host) {
        Ok(host) if !host.is_empty() => head.headers.insert(HOST, host),
        // HTTP/1.1 wants a Host, even if it is empty (RFC 9112 section 3.2).
        _ => head.headers.insert(HOST, HeaderValue::from_static("")),
    };
    head
}

/// Sends a request to the first backend that takes the connection.
async fn send(
    shared: &Shared,
    forward: &Forward<'_>,
    head: &Parts,
    body: &Lender,
) -> Result<Response<Incoming>, UpstreamError> {
    let mut attempts = forward.attempts().take(shared.config.max_attempts).peekable();
    loop {
        let backend = attempts.next().expect("a decision to forward has a backend");
        let result = match attempt(head, backend, body) {
            Ok(request) => exchange(shared, request, body).await,
            Err(error) => Err(UpstreamError::Request(error)),
        };
        match result {
            Err(UpstreamError::Connect(error)) if body.is_whole() && attempts.peek().is_some() => {
                tracing::debug!(%backend, %error, "could not connect; trying the next backend");
            }
            result => return result,
        }
    }
}

fn attempt(
    head: &Parts,
    backend: &plan::Backend,
    body: &Lender,
) -> Result<Request<crate::lent_body::LentBody>, http::Error> {
    let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let uri =
        Uri::builder().scheme(UriScheme::HTTP).authority(backend.to_string()).path_and_query(path).build()?;
    let mut request = Request::builder().method(head.method.clone()).uri(uri).body(body.lend())?;
    *request.headers_mut() = head.headers.clone();
    Ok(request)
}

/// Waits for an answer as long as the upload makes progress.
async fn exchange(
    shared: &Shared,
    request: Request<crate::lent_body::LentBody>,
    body: &Lender,
) -> Result<Response<Incoming>, UpstreamError> {
    let mut response = std::pin::pin!(shared.upstream.request(request));
    loop {
        let before = body.progress();
        match timeout(shared.config.read_timeout, &mut response).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) if error.is_connect() => return Err(UpstreamError::Connect(error)),
            Ok(Err(error)) => return Err(UpstreamError::Broken(error)),
            Err(_) if body.progress() == before => return Err(UpstreamError::Timeout),
            Err(_) => {}
        }
    }
}

/// Passes a backend's answer on, and joins the streams when the protocol changes.
fn pass_back(
    shared: &Shared,
    mut response: Response<Incoming>,
    downstream: Option<(Upgrade, OnUpgrade)>,
) -> Response<Body> {
    let mut agreed = None;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some((_, downstream)) = downstream else {
            tracing::debug!("a backend changed the protocol unasked");
            return own_page(Page::BAD_GATEWAY);
        };
        agreed = wants_upgrade(response.headers());
        let upstream = hyper::upgrade::on(&mut response);
        shared.tasks.spawn(upgrade::join(downstream, upstream));
    }
    let (mut head, body) = response.into_parts();
    strip_response(&mut head.headers, agreed.as_ref());
    head.version = Version::HTTP_11;
    Response::from_parts(head, Either::Left(body))
}

fn upstream_failed(forward: &Forward<'_>, error: &UpstreamError) -> Response<Body> {
    let cause = root_cause(error);
    tracing::debug!(service = %forward.service, %error, cause = %cause, "no backend answered");
    let is_late = match error {
        UpstreamError::Timeout => true,
        _ => cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::TimedOut),
    };
    own_page(if is_late { Page::GATEWAY_TIMEOUT } else { Page::BAD_GATEWAY })
}

fn root_cause<'e>(error: &'e (dyn std::error::Error + 'static)) -> &'e (dyn std::error::Error + 'static) {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

fn own_page(page: Page) -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::new(Bytes::from_static(page.body.as_bytes()))));
    *response.status_mut() = StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    response
}

fn redirect(page: Page, location: &str) -> Response<Body> {
    match HeaderValue::from_str(location) {
        Ok(location) => {
            let mut response = own_page(page);
            response.headers_mut().insert(LOCATION, location);
            response
        }
        Err(_) => own_page(Page::BAD_REQUEST),
    }
}
