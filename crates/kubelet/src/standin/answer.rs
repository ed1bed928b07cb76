//! What a stand-in answers over HTTP: who it is and what it was asked, and on demand a failure.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Serialize;

use super::websocket;
use serve_api::LogSource;

use crate::logs::RunLog;

/// How content types of gRPC begin (gRPC over HTTP/2, "Requests").
const GRPC: &[u8] = b"application/grpc";
/// Longest request body that is sent back.
const MAX_BODY: usize = 64 * 1024;
/// Longest delay a client may ask for.
const MAX_DELAY_SECONDS: f64 = 60.0;

/// Whom a stand-in stands in for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Identity {
    /// Pod.
    pub pod: String,
    /// Its Namespace.
    pub namespace: String,
    /// Its Node.
    pub node: String,
    /// Its first address.
    #[serde(rename = "podIP")]
    pub pod_ip: String,
    /// Container.
    pub container: String,
    /// The image it stands in for.
    pub image: String,
}

/// What the stand-in says of one request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Echo<'a> {
    #[serde(flatten)]
    identity: &'a Identity,
    port: u16,
    client: String,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'a str>,
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    body: String,
}

/// Answers of one container's run.
pub(super) struct Answers {
    identity: Identity,
    log: Arc<RunLog>,
    /// Paths that were told to fail, with the status they answer.
    failing: Mutex<BTreeMap<String, StatusCode>>,
}

/// Both ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    /// The client.
    pub(super) client: SocketAddr,
    /// The port of the Pod that it came to.
    pub(super) port: u16,
}

/// What a request asks for besides an echo.
#[derive(Debug, Default, PartialEq)]
struct Wishes {
    status: Option<StatusCode>,
    delay: Option<Duration>,
    switch: Option<Switch>,
}

#[derive(Debug, PartialEq, Eq)]
enum Switch {
    Fail(StatusCode),
    Recover,
}

impl Answers {
    pub(super) fn new(identity: Identity, log: Arc<RunLog>) -> Self {
        Self { identity, log, failing: Mutex::default() }
    }

    /// Writes a line of access log.
    pub(super) fn note(&self, ends: Ends, what: &str) {
        self.log.line(LogSource::Stdout, format!("{} {what}", ends.client).as_bytes());
    }

    pub(super) async fn answer(
        &self,
        mut request: Request<Incoming>,
        ends: Ends,
    ) -> Response<BoxBody<Bytes, Infallible>> {
        if let Some(accepted) = websocket::accept(&mut request) {
            self.note(ends, &format!("\"{} {}\" WebSocket echo", request.method(), request.uri()));
            return accepted.map(|body| body.boxed());
        }
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map(http_body_util::Collected::to_bytes);
        let wishes = wishes(&head.method, head.uri.query().unwrap_or_default());
        if let Some(delay) = wishes.delay {
            tokio::time::sleep(delay).await;
        }
        let is_grpc =
            head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(GRPC));
        if is_grpc && let Ok(messages) = body {
            self.note(ends, &format!("\"{} {}\" gRPC echo", head.method, head.uri));
            return grpc_echo(messages);
        }
        let path = head.uri.path().to_owned();
        let status = wishes.status.unwrap_or_else(|| self.status_of(&path, wishes.switch));
        self.note(ends, &format!("\"{} {} {:?}\" {}", head.method, head.uri, head.version, status.as_u16()));
        let text = self.echo(&head, ends, &body.unwrap_or_default());
        let mut response = Response::new(Full::new(Bytes::from(text)).boxed());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::SERVER, HeaderValue::from_static("sealane-stand-in"));
        if let Ok(pod) = HeaderValue::from_str(&self.identity.pod) {
            headers.insert("x-sealane-pod", pod);
        }
        response
    }

    fn status_of(&self, path: &str, switch: Option<Switch>) -> StatusCode {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match switch {
            Some(Switch::Fail(status)) => {
                failing.insert(path.to_owned(), status);
                StatusCode::OK
            }
            Some(Switch::Recover) => {
                failing.remove(path);
                StatusCode::OK
            }
            None => failing.get(path).copied().unwrap_or(StatusCode::OK),
        }
    }

    fn echo(&self, head: &http::request::Parts, ends: Ends, body: &[u8]) -> String {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let mut headers = BTreeMap::new();
        for (name, value) in &head.headers {
            let entry: &mut String = headers.entry(name.as_str().to_owned()).or_default();
            *entry = if entry.is_empty() { text(value) } else { format!("{entry}, {}", text(value)) };
        }
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.or(head.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default();
        let echo = Echo {
            identity: &self.identity,
            port: ends.port,
            client: ends.client.to_string(),
            method: head.method.as_str(),
            host,
            path: head.uri.path(),
            query: head.uri.query(),
            headers,
            body: String::from_utf8_lossy(body).into_owned(),
        };
        let mut text = serde_json::to_string_pretty(&echo).expect("an Echo has only strings");
        text.push('\n');
        text
    }
}

/// The messages as they came, with status OK (gRPC over HTTP/2, "Responses").
fn grpc_echo(messages: Bytes) -> Response<BoxBody<Bytes, Infallible>> {
    let trailers = http::HeaderMap::from_iter([(
        header::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let body = Full::new(messages).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn wishes(method: &Method, query: &str) -> Wishes {
    let may_switch = matches!(*method, Method::PUT | Method::POST);
    let status = |value: &str| value.parse().ok().and_then(|code: u16| StatusCode::from_u16(code).ok());
    let mut wishes = Wishes::default();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "status" => wishes.status = status(value),
            "delay" => {
                wishes.delay = value
                    .parse()
                    .ok()
                    .filter(|seconds| (0.0..=MAX_DELAY_SECONDS).contains(seconds))
                    .map(Duration::from_secs_f64);
            }
            "fail" if may_switch => {
                let status = status(value).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                wishes.switch = Some(Switch::Fail(status));
            }
            "ok" if may_switch => wishes.switch = Some(Switch::Recover),
            // The same in the words of readiness.
            "ready" if may_switch && value == "true" => wishes.switch = Some(Switch::Recover),
            "ready" if may_switch && value == "false" => {
                wishes.switch = Some(Switch::Fail(StatusCode::SERVICE_UNAVAILABLE));
            }
            _ => {}
        }
    }
    wishes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read_from_the_query() {
        let wanted = wishes(&Method::GET, "status=418&delay=0.5&fail");
        assert_eq!(wanted.status, Some(StatusCode::IM_A_TEAPOT));
        assert_eq!(wanted.delay, Some(Duration::from_millis(500)));
        assert_eq!(wanted.switch, None, "reading changes nothing");
        let put = wishes(&Method::PUT, "fail");
        assert_eq!(put.switch, Some(Switch::Fail(StatusCode::SERVICE_UNAVAILABLE)));
        assert_eq!(wishes(&Method::POST, "ok").switch, Some(Switch::Recover));
        assert_eq!(wishes(&Method::POST, "ready=false").switch, put.switch);
        assert_eq!(wishes(&Method::GET, "status=9&delay=900"), Wishes::default());
    }

    #[test]
    fn a_path_fails_until_it_is_told_to_recover() {
        let path = std::env::temp_dir().join(format!("sealane-answer-{}", std::process::id()));
        let answers = Answers::new(Identity::default(), Arc::new(RunLog::create(&path).unwrap()));
        assert_eq!(answers.status_of("/readyz", None), StatusCode::OK);
        answers.status_of("/readyz", Some(Switch::Fail(StatusCode::SERVICE_UNAVAILABLE)));
        assert_eq!(answers.status_of("/readyz", None), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answers.status_of("/healthz", None), StatusCode::OK);
        answers.status_of("/readyz", Some(Switch::Recover));
        assert_eq!(answers.status_of("/readyz", None), StatusCode::OK);
        std::fs::remove_file(path).unwrap();
    }
}
