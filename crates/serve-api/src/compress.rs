//! Large answers as gzip, for clients that take it.
//!
//! Streams are left alone: their length is not known, and each event has to leave at once.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, VARY};
use http_body_util::BodyExt;
use hyper::body::Body as _;

use crate::answer::{self, Answer};

/// Shorter answers are not worth it (apiserver `defaultGzipThresholdBytes`).
const THRESHOLD: u64 = 128 * 1024;
/// Speed before size (apiserver `defaultGzipContentEncodingLevel`).
const LEVEL: u32 = 1;

/// Whether the client takes gzip.
pub(crate) fn is_taken(headers: &HeaderMap) -> bool {
    let texts = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|one| {
        let (name, quality) = one.split_once(';').unwrap_or((one, ""));
        let refused =
            quality.trim().strip_prefix("q=").and_then(|quality| quality.parse::<f32>().ok()) == Some(0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// The answer, as gzip if it is large.
pub(crate) async fn compressed(answer: Answer) -> Answer {
    let length = answer.body().size_hint().exact().unwrap_or(0);
    if length <= THRESHOLD || answer.headers().contains_key(CONTENT_ENCODING) {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    // A body of known length is at hand, so that nothing is waited for, and nothing can fail.
    let plain = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let packed = tokio::task::spawn_blocking({
        let plain = plain.clone();
        move || gzip(&plain)
    });
    let body = match packed.await {
        Ok(Ok(packed)) => {
            head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            head.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
            packed
        }
        _ => plain,
    };
    Answer::from_parts(head, answer::whole(body))
}

fn gzip(plain: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
    encoder.write_all(plain)?;
    Ok(encoder.finish()?.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use http::StatusCode;

    use super::*;

    #[test]
    fn who_takes_it() {
        for (text, taken) in
            [("gzip", true), ("br, GZIP;q=0.5", true), ("gzip;q=0", false), ("identity", false), ("", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(text));
            assert_eq!(is_taken(&headers), taken, "{text}");
        }
        assert!(!is_taken(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn what_is_large_is_packed() {
        let short = compressed(answer::full(StatusCode::OK, "text/plain", "short")).await;
        assert!(!short.headers().contains_key(CONTENT_ENCODING));
        let text = "long ".repeat(100_000);
        let long = compressed(answer::full(StatusCode::OK, "text/plain", text.clone())).await;
        assert_eq!(long.headers()[CONTENT_ENCODING], "gzip");
        let packed = long.into_body().collect().await.unwrap().to_bytes();
        let mut read = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut read).unwrap();
        assert!(packed.len() < text.len() / 10 && read == text);
    }
}
