//! The opening of a connection that stops being HTTP: WebSocket (RFC 6455 section 4.2) or SPDY/3.1, and which
//! subprotocol it speaks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use engine_store::Status;
use http::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode, Version};
use sha1::{Digest, Sha1};

use crate::answer::{self, Answer};

/// Appended to the client's key before hashing (RFC 6455 section 1.3).
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// What SPDY calls itself in `Upgrade`.
const SPDY: &str = "SPDY/3.1";
/// Names and takes subprotocols over SPDY (apimachinery `httpstream.HeaderProtocolVersion`).
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// Says which there are when none fits (apimachinery `httpstream.HeaderAcceptedProtocolVersions`).
const ACCEPTED_PROTOCOLS: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

/// What a connection becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    WebSocket,
    Spdy,
}

/// What a request wants its connection to become; 400 where it wants nothing we have.
pub(super) fn wanted(head: &Parts) -> Result<Kind, Status> {
    let is_upgrade = head.version < Version::HTTP_2 && has_token(&head.headers, &CONNECTION, "upgrade");
    if is_upgrade && has_token(&head.headers, &UPGRADE, "websocket") {
        return Ok(Kind::WebSocket);
    }
    if is_upgrade && has_token(&head.headers, &UPGRADE, SPDY) {
        return Ok(Kind::Spdy);
    }
    Err(Status::bad_request("Upgrade request required"))
}

/// Opens a WebSocket: our first subprotocol that the client offers, and the answer.
pub(super) fn websocket(
    headers: &HeaderMap,
    ours: &[&'static str],
) -> Result<(&'static str, Answer), Status> {
    let key =
        headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| Status::bad_request("Sec-WebSocket-Key is missing"))?;
    let protocol = ours.iter().find(|one| has_token(headers, &SEC_WEBSOCKET_PROTOCOL, one));
    let protocol = protocol.ok_or_else(|| {
        Status::bad_request(format!("no common WebSocket subprotocol: offer one of {}", ours.join(", ")))
    })?;
    let accept =
        STANDARD.encode(Sha1::new().chain_update(key.as_bytes()).chain_update(KEY_SUFFIX).finalize());
    let mut answer = switching("websocket");
    let out = answer.headers_mut();
    out.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    out.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&accept).expect("base64 is a valid header value"));
    Ok((protocol, answer))
}

/// Opens SPDY: the client's first subprotocol that we have (apimachinery `httpstream.Handshake`), and the answer;
/// or the answer that says which there are.
pub(super) fn spdy(
    headers: &HeaderMap,
    ours: &[&'static str],
) -> Result<(&'static str, Answer), Box<Answer>> {
    let offered: Vec<&str> = tokens(headers, &STREAM_PROTOCOL).collect();
    let protocol = offered.iter().find_map(|name| ours.iter().find(|one| one.eq_ignore_ascii_case(name)));
    let Some(protocol) = protocol else {
        let text = if offered.is_empty() {
            "unable to upgrade: header X-Stream-Protocol-Version is empty".to_owned()
        } else {
            format!(
                "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]",
                offered.join(" "),
                ours.join(" ")
            )
        };
        let mut refusal = answer::failure(&Status::new(403, "Forbidden", text));
        for one in ours {
            refusal.headers_mut().append(ACCEPTED_PROTOCOLS, HeaderValue::from_static(one));
        }
        return Err(Box::new(refusal));
    };
    let mut answer = switching(SPDY);
    answer.headers_mut().insert(STREAM_PROTOCOL, HeaderValue::from_static(protocol));
    Ok((protocol, answer))
}

/// 101 with the name of what follows.
fn switching(to: &'static str) -> Answer {
    let mut answer = Response::new(answer::whole(Bytes::new()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.headers_mut().insert(UPGRADE, HeaderValue::from_static(to));
    answer
}

/// The parts of a comma-separated header, which may come several times.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let texts = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim).filter(|part| !part.is_empty())
}

/// Whether a comma-separated header has this token.
pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|part| part.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: Version, pairs: &[(&HeaderName, &str)]) -> Parts {
        let mut request = http::Request::builder().version(version);
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    const CHANNELS: &[&str] = &["v5.channel.k8s.io", "v4.channel.k8s.io"];

    #[test]
    fn the_example_of_the_rfc() {
        let head = head(
            Version::HTTP_11,
            &[
                (&CONNECTION, "keep-alive, Upgrade"),
                (&UPGRADE, "WebSocket"),
                (&SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
                (&SEC_WEBSOCKET_PROTOCOL, "v4.channel.k8s.io,v5.channel.k8s.io"),
            ],
        );
        assert_eq!(wanted(&head), Ok(Kind::WebSocket));
        let (protocol, answer) = websocket(&head.headers, CHANNELS).unwrap();
        assert_eq!(protocol, "v5.channel.k8s.io");
        assert_eq!(answer.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer.headers()[SEC_WEBSOCKET_PROTOCOL], "v5.channel.k8s.io");
    }

    #[test]
    fn what_is_refused() {
        let plain = head(Version::HTTP_11, &[]);
        assert_eq!(wanted(&plain).unwrap_err().message, "Upgrade request required");
        let two = head(Version::HTTP_2, &[(&CONNECTION, "upgrade"), (&UPGRADE, "websocket")]);
        assert_eq!(wanted(&two).unwrap_err().code, 400);
        let old = [(&SEC_WEBSOCKET_KEY, "a"), (&SEC_WEBSOCKET_PROTOCOL, "channel.k8s.io")];
        assert_eq!(websocket(&head(Version::HTTP_11, &old).headers, CHANNELS).unwrap_err().code, 400);
        assert_eq!(websocket(&plain.headers, CHANNELS).unwrap_err().code, 400);
        let refusal = spdy(&plain.headers, CHANNELS).unwrap_err();
        assert_eq!(refusal.status(), 403);
        assert_eq!(refusal.headers().get_all(ACCEPTED_PROTOCOLS).iter().count(), 2);
    }

    #[test]
    fn over_spdy_the_client_chooses() {
        let pairs = [
            (&CONNECTION, "Upgrade"),
            (&UPGRADE, "SPDY/3.1"),
            (&STREAM_PROTOCOL, "v9.channel.k8s.io"),
            (&STREAM_PROTOCOL, "v4.channel.k8s.io"),
            (&STREAM_PROTOCOL, "v5.channel.k8s.io"),
        ];
        let head = head(Version::HTTP_11, &pairs);
        assert_eq!(wanted(&head), Ok(Kind::Spdy));
        let (protocol, answer) = spdy(&head.headers, CHANNELS).unwrap();
        assert_eq!(protocol, "v4.channel.k8s.io");
        assert_eq!(answer.headers()[UPGRADE], "SPDY/3.1");
        assert_eq!(answer.headers()[STREAM_PROTOCOL], "v4.channel.k8s.io");
    }
}
