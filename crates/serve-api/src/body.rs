//! Request bodies: read up to a limit, then parsed from JSON, YAML or protobuf.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use engine_store::Status;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use serde_json::Value;

use crate::negotiate::BodyForm;

/// Largest body that is kept (apiserver `MaxRequestBodyBytes`).
const LIMIT: usize = 3 * 1024 * 1024;
/// How much of a larger body is still read and thrown away, so that the client has finished sending
/// and reads the refusal instead of a broken connection.
const DRAIN_LIMIT: usize = 64 * 1024 * 1024;

/// How long a body may take to arrive (apiserver `--request-timeout`).
const READ_LIMIT: Duration = Duration::from_secs(60);

/// Reads the whole body, or 413; 504 when it does not arrive.
pub(crate) async fn read(body: Incoming) -> Result<Bytes, Status> {
    let late = "Timeout: request did not complete within requested timeout - context deadline exceeded";
    let read = tokio::time::timeout(READ_LIMIT, read_all(body)).await;
    read.unwrap_or_else(|_| Err(Status::new(504, "Timeout", late)))
}

async fn read_all(mut body: Incoming) -> Result<Bytes, Status> {
    let mut kept = BytesMut::new();
    let mut seen = 0;
    if body.size_hint().lower() > DRAIN_LIMIT as u64 {
        return Err(too_large());
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::bad_request(format!("cannot read the body: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        seen += data.len();
        if seen > DRAIN_LIMIT {
            break;
        }
        if seen <= LIMIT {
            kept.extend_from_slice(&data);
        }
    }
    if seen > LIMIT { Err(too_large()) } else { Ok(kept.freeze()) }
}

fn too_large() -> Status {
    Status::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {LIMIT}"))
}

/// Parses a body sent to where objects of the kind `taken` are taken; an empty one is null.
pub(crate) fn parse(body: &[u8], form: BodyForm, taken: &str) -> Result<engine_store::Body, Status> {
    if form == BodyForm::Protobuf {
        return engine_store::parse_protobuf(body, taken);
    }
    match engine_store::parse_body(body) {
        Err(_) if form == BodyForm::Yaml => {
            let value = from_yaml(body).map_err(|error| {
                Status::bad_request(format!("couldn't get object from body: error parsing YAML: {error}"))
            })?;
            Ok(engine_store::Body { value, ..engine_store::Body::default() })
        }
        parsed => parsed,
    }
}

fn from_yaml(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(body: &[u8], form: BodyForm) -> Value {
        parse(body, form, "Pod").unwrap().value
    }

    #[test]
    fn json_and_yaml() {
        assert_eq!(value(b"{\"a\":1}", BodyForm::Json), json!({"a": 1}));
        assert_eq!(value(b"{\"a\":1}", BodyForm::Yaml), json!({"a": 1}));
        assert_eq!(value(b"a:\n- b: \"1\"\n  c: 2\n", BodyForm::Yaml), json!({"a": [{"b": "1", "c": 2}]}));
        assert_eq!(value(b"", BodyForm::Json), Value::Null);
    }

    #[test]
    fn protobuf() {
        let pod = b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x07\x0a\x05\x0a\x03web";
        let wanted = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}});
        assert_eq!(value(pod, BodyForm::Protobuf), wanted);
        assert_eq!(value(b"", BodyForm::Protobuf), Value::Null);
        // Cut after the first field of the envelope it is a Pod without anything in it.
        for length in (1..pod.len()).filter(|length| *length != 15) {
            let status = parse(&pod[..length], BodyForm::Protobuf, "Pod").unwrap_err();
            assert_eq!(status.code, 400, "{length}");
        }
    }

    #[test]
    fn nonsense_is_refused_not_fatal() {
        let deep = "[".repeat(100_000);
        for text in ["{", "a: b", "\u{0}", deep.as_str()] {
            assert_eq!(parse(text.as_bytes(), BodyForm::Json, "Pod").unwrap_err().code, 400);
        }
        for text in ["a: [", deep.as_str(), "a: &x [*x]"] {
            assert_eq!(parse(text.as_bytes(), BodyForm::Yaml, "Pod").unwrap_err().code, 400);
        }
        let bomb = (0..30).fold("a0: &a0 [x]\n".to_owned(), |text, n| {
            format!("{text}a{}: &a{} [*a{n}, *a{n}, *a{n}]\n", n + 1, n + 1)
        });
        assert_eq!(parse(bomb.as_bytes(), BodyForm::Yaml, "Pod").unwrap_err().code, 400);
    }
}
