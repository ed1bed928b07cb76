//! Answers: bodies, JSON documents, errors in the API's own form, warnings, entity tags.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use engine_store::Status;
use futures_util::Stream;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, RETRY_AFTER, WARNING};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use sha1::{Digest, Sha1};

use crate::negotiate::JSON;

/// The body of every answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;
/// An answer.
pub(crate) type Answer = Response<Body>;

/// A body that is at hand.
pub(crate) fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// An answer with a body that is at hand.
pub(crate) fn full(code: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(whole(body.into()));
    *answer.status_mut() = code;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    answer
}

/// A JSON document.
pub(crate) fn json(code: StatusCode, document: &Value) -> Answer {
    full(code, JSON, to_bytes(document))
}

/// A body that comes piece by piece.
pub(crate) fn stream(
    content_type: &'static str,
    chunks: impl Stream<Item = Bytes> + Send + 'static,
) -> Answer {
    use futures_util::StreamExt as _;
    let frames = chunks.map(|chunk| Ok::<_, io::Error>(Frame::data(chunk)));
    body(content_type, StreamBody::new(frames).boxed_unsync())
}

/// The same with a body that may break off.
pub(crate) fn body(content_type: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    answer
}

/// An error.
pub(crate) fn failure(status: &Status) -> Answer {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = json(code, &status.to_value());
    if let Some(seconds) = status.details.as_ref().and_then(|details| details.retry_after_seconds) {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// 405 with the methods there are.
pub(crate) fn method_not_allowed(allowed: &'static str) -> Answer {
    let mut answer = failure(&Status::method_not_allowed());
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// Adds one `Warning: 299` header per text (RFC 7234 section 5.5, as the API uses it).
pub(crate) fn warn(answer: &mut Answer, warnings: &[String]) {
    for text in warnings {
        let quoted: String = text.chars().filter(|letter| !letter.is_control()).flat_map(quote).collect();
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            answer.headers_mut().append(WARNING, value);
        }
    }
}

fn quote(letter: char) -> impl Iterator<Item = char> {
    let escape = matches!(letter, '"' | '\\').then_some('\\');
    escape.into_iter().chain(std::iter::once(letter))
}

/// A document that clients may keep: answers 304 when they hold this very one.
pub(crate) fn tagged(content_type: &'static str, body: Bytes, known: Option<&HeaderValue>) -> Answer {
    let tag = format!("\"{}\"", fingerprint(&body));
    let unchanged = known
        .and_then(|value| value.to_str().ok())
        .is_some_and(|list| list.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    let mut answer = if unchanged {
        full(StatusCode::NOT_MODIFIED, content_type, Bytes::new())
    } else {
        full(StatusCode::OK, content_type, body)
    };
    let headers = answer.headers_mut();
    headers.insert(ETAG, HeaderValue::from_str(&tag).expect("base64 is a valid header value"));
    headers.insert(http::header::VARY, HeaderValue::from_static("Accept"));
    answer
}

/// A short name for a document's content.
pub(crate) fn fingerprint(body: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha1::digest(body))
}

/// JSON text.
pub(crate) fn to_bytes(document: &Value) -> Bytes {
    Bytes::from(document.to_string())
}

/// A header that is not in the standard list.
pub(crate) fn header(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted() {
        let mut answer = full(StatusCode::OK, JSON, "");
        warn(&mut answer, &["unknown field \"spec.foo\"".to_owned(), "two\nlines".to_owned()]);
        let texts: Vec<&str> =
            answer.headers().get_all(WARNING).iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(texts, [r#"299 - "unknown field \"spec.foo\"""#, r#"299 - "twolines""#]);
    }

    #[test]
    fn a_known_document_is_not_sent_again() {
        let first = tagged(JSON, Bytes::from_static(b"{}"), None);
        let tag = first.headers()[ETAG].clone();
        assert_eq!(first.status(), 200);
        assert_eq!(tagged(JSON, Bytes::from_static(b"{}"), Some(&tag)).status(), 304);
        assert_eq!(tagged(JSON, Bytes::from_static(b"[]"), Some(&tag)).status(), 200);
    }
}
