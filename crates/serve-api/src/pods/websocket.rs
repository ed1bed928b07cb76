//! The WebSocket opening handshake (RFC 6455 section 4.2) for the subprotocols of remote commands.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine_store::Status;
use http::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderMap, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use sha1::{Digest, Sha1};

use crate::answer::Answer;

/// Appended to the client's key before hashing (RFC 6455 section 1.3).
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The subprotocol of a remote command (KEP-4006).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subprotocol {
    /// Channels 0 to 4.
    V4,
    /// The same, and channel 255 to close one of them.
    V5,
}

impl Subprotocol {
    fn name(self) -> &'static str {
        match self {
            Self::V4 => "v4.channel.k8s.io",
            Self::V5 => "v5.channel.k8s.io",
        }
    }
}

/// Judges the handshake: the subprotocol to speak and the answer that opens the socket.
pub(crate) fn open(version: Version, headers: &HeaderMap) -> Result<(Subprotocol, Answer), Status> {
    if has_token(headers, UPGRADE.as_str(), "SPDY/3.1") {
        return Err(Status::bad_request(
            "this server runs remote commands over WebSockets only, not over SPDY: use kubectl 1.30 or newer",
        ));
    }
    if version >= Version::HTTP_2
        || !has_token(headers, CONNECTION.as_str(), "upgrade")
        || !has_token(headers, UPGRADE.as_str(), "websocket")
    {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let offers = |protocol: Subprotocol| has_token(headers, SEC_WEBSOCKET_PROTOCOL.as_str(), protocol.name());
    let protocol =
        [Subprotocol::V5, Subprotocol::V4].into_iter().find(|one| offers(*one)).ok_or_else(|| {
            Status::bad_request(
                "no common WebSocket subprotocol: offer v5.channel.k8s.io or v4.channel.k8s.io",
            )
        })?;
    let key =
        headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| Status::bad_request("Sec-WebSocket-Key is missing"))?;
    let accept =
        STANDARD.encode(Sha1::new().chain_update(key.as_bytes()).chain_update(KEY_SUFFIX).finalize());
    let mut answer = Response::new(Empty::new().boxed_unsync());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let out = answer.headers_mut();
    out.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    out.insert(UPGRADE, HeaderValue::from_static("websocket"));
    out.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol.name()));
    out.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&accept).expect("base64 is a valid header value"));
    Ok((protocol, answer))
}

/// Whether a comma-separated header, which may come several times, has this token.
fn has_token(headers: &HeaderMap, name: &str, token: &str) -> bool {
    let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(protocol: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, "keep-alive, Upgrade".parse().unwrap());
        headers.insert(UPGRADE, "WebSocket".parse().unwrap());
        headers.insert(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap());
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol.parse().unwrap());
        headers
    }

    #[test]
    fn the_example_of_the_rfc() {
        let (protocol, answer) =
            open(Version::HTTP_11, &headers("v4.channel.k8s.io,v5.channel.k8s.io")).unwrap();
        assert_eq!(protocol, Subprotocol::V5);
        assert_eq!(answer.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer.headers()[SEC_WEBSOCKET_PROTOCOL], "v5.channel.k8s.io");
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(
            open(Version::HTTP_11, &HeaderMap::new()).unwrap_err().message,
            "Upgrade request required"
        );
        assert_eq!(open(Version::HTTP_2, &headers("v4.channel.k8s.io")).unwrap_err().code, 400);
        assert_eq!(open(Version::HTTP_11, &headers("channel.k8s.io")).unwrap_err().code, 400);
        let mut spdy = headers("v4.channel.k8s.io");
        spdy.insert(UPGRADE, "SPDY/3.1".parse().unwrap());
        assert!(open(Version::HTTP_11, &spdy).unwrap_err().message.contains("SPDY"));
    }
}
