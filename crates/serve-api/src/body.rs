//! Request bodies: read up to a limit, then parsed from JSON or YAML.

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

/// Reads the whole body, or 413.
pub(crate) async fn read(mut body: Incoming) -> Result<Bytes, Status> {
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

/// Parses a body; an empty one is null.
pub(crate) fn parse(body: &[u8], form: BodyForm) -> Result<engine_store::Body, Status> {
    match (engine_store::parse_body(body), form) {
        (Ok(parsed), _) => Ok(parsed),
        (Err(status), BodyForm::Json) => Err(status),
        (Err(_), BodyForm::Yaml) => {
            let value = from_yaml(body).map_err(|error| {
                Status::bad_request(format!("couldn't get object from body: error parsing YAML: {error}"))
            })?;
            Ok(engine_store::Body { value, ..engine_store::Body::default() })
        }
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
        parse(body, form).unwrap().value
    }

    #[test]
    fn json_and_yaml() {
        assert_eq!(value(b"{\"a\":1}", BodyForm::Json), json!({"a": 1}));
        assert_eq!(value(b"{\"a\":1}", BodyForm::Yaml), json!({"a": 1}));
        assert_eq!(value(b"a:\n- b: \"1\"\n  c: 2\n", BodyForm::Yaml), json!({"a": [{"b": "1", "c": 2}]}));
        assert_eq!(value(b"", BodyForm::Json), Value::Null);
    }

    #[test]
    fn nonsense_is_refused_not_fatal() {
        let deep = "[".repeat(100_000);
        for text in ["{", "a: b", "\u{0}", deep.as_str()] {
            assert_eq!(parse(text.as_bytes(), BodyForm::Json).unwrap_err().code, 400);
        }
        for text in ["a: [", deep.as_str(), "a: &x [*x]"] {
            assert_eq!(parse(text.as_bytes(), BodyForm::Yaml).unwrap_err().code, 400);
        }
        let bomb = (0..30).fold("a0: &a0 [x]\n".to_owned(), |text, n| {
            format!("{text}a{}: &a{} [*a{n}, *a{n}, *a{n}]\n", n + 1, n + 1)
        });
        assert_eq!(parse(bomb.as_bytes(), BodyForm::Yaml).unwrap_err().code, 400);
    }
}
