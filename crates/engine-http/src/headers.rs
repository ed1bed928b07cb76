//! Headers that end at a proxy, and headers that a proxy adds.

use http::header::{
    CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

use http::Version;
use http::request::Parts;

use crate::Forwarded;

/// A change of protocol on a connection, such as to WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The `Upgrade` header.
    pub protocol: HeaderValue,
}

/// Headers between two ends of one connection (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The authority a request is for: its target's, else its `Host` header. `None` when there are several `Host` headers
/// or it cannot be read; empty when there is none, which only HTTP/1.0 allows.
#[must_use]
pub fn authority(head: &Parts) -> Option<&str> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let (host, other) = (hosts.next(), hosts.next());
    if other.is_some() {
        return None;
    }
    match (head.uri.authority(), host) {
        (Some(authority), _) => Some(authority.as_str()),
        (None, Some(host)) => host.to_str().ok(),
        (None, None) => (head.version < Version::HTTP_11).then_some(""),
    }
}

/// The protocol a request or a response with status 101 changes to. A change to HTTP/2 is never passed on: it would
/// carry requests past the routes.
#[must_use]
pub fn wants_upgrade(headers: &HeaderMap) -> Option<Upgrade> {
    let protocol = headers.get(UPGRADE)?;
    let asks = connection_options(headers).any(|option| option.eq_ignore_ascii_case("upgrade"));
    let is_http = protocol.to_str().is_ok_and(|text| text.to_ascii_lowercase().contains("h2c"));
    (asks && !is_http).then(|| Upgrade { protocol: protocol.clone() })
}

/// Takes off what a client said to us alone.
pub fn strip_request(headers: &mut HeaderMap, upgrade: Option<&Upgrade>) {
    let takes_trailers = headers
        .get_all(TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"));
    strip(headers, upgrade);
    // We answer `100 Continue` ourselves, as nginx does.
    headers.remove(EXPECT);
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Takes off what a backend said to us alone.
pub fn strip_response(headers: &mut HeaderMap, upgrade: Option<&Upgrade>) {
    strip(headers, upgrade);
}

fn strip(headers: &mut HeaderMap, upgrade: Option<&Upgrade>) {
    let named = connection_options(headers)
        .filter_map(|option| HeaderName::from_bytes(option.as_bytes()).ok())
        // Whoever names `Host` here wants it gone behind our back.
        .filter(|name| *name != HOST)
        .collect::<Vec<_>>();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    if let Some(Upgrade { protocol }) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|option| !option.is_empty())
}

/// Tells a backend about the client as ingress-nginx does (`nginx.tmpl`). What the client itself says in these headers
/// is replaced; only its `X-Request-ID` stays, and its `X-Forwarded-For` moves to `X-Original-Forwarded-For`.
pub fn tell_backend(headers: &mut HeaderMap, forwarded: &Forwarded, new_request_id: u128) {
    match headers.get("x-forwarded-for").cloned() {
        Some(original) => headers.insert("x-original-forwarded-for", original),
        None => headers.remove("x-original-forwarded-for"),
    };
    // https://httpoxy.org
    headers.remove("proxy");
    let client = forwarded.client.to_string();
    let port = forwarded.port.to_string();
    let scheme = forwarded.scheme.as_str();
    for (name, value) in [
        ("x-real-ip", client.as_str()),
        ("x-forwarded-for", &client),
        ("x-forwarded-host", &forwarded.host),
        ("x-forwarded-port", &port),
        ("x-forwarded-proto", scheme),
        ("x-forwarded-scheme", scheme),
        ("x-scheme", scheme),
    ] {
        match HeaderValue::from_str(value) {
            Ok(value) => headers.insert(name, value),
            Err(_) => headers.remove(name),
        };
    }
    if headers.get("x-request-id").is_none_or(HeaderValue::is_empty) {
        let id = format!("{new_request_id:032x}");
        headers.insert(
            "x-request-id",
            HeaderValue::from_str(&id).expect("hexadecimal digits are a header value"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scheme;

    fn mk_headers(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap()))
            .collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names = headers.keys().map(HeaderName::as_str).collect::<Vec<_>>();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_authority_is_unambiguous() {
        let ask = |target: &str, hosts: &[&str], version| {
            let mut request = http::Request::builder().uri(target).version(version);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            authority(&request.body(()).unwrap().into_parts().0).map(str::to_owned)
        };
        let own = |text: &str| Some(text.to_owned());
        assert_eq!(ask("/", &["a.example"], Version::HTTP_11), own("a.example"));
        assert_eq!(ask("http://b.example/", &["a.example"], Version::HTTP_11), own("b.example"));
        assert_eq!(ask("/", &["a.example", "b.example"], Version::HTTP_11), None);
        assert_eq!(ask("/", &[], Version::HTTP_11), None);
        assert_eq!(ask("/", &[], Version::HTTP_10), own(""));
    }

    #[test]
    fn hop_by_hop_headers_end_here() {
        let mut headers = mk_headers(&[
            ("host", "shop.example.com"),
            ("connection", "close, X-Secret, host"),
            ("x-secret", "1"),
            ("keep-alive", "5"),
            ("te", "gzip, trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("accept", "*/*"),
        ]);
        strip_request(&mut headers, None);
        assert_eq!(names(&headers), ["accept", "host", "te"]);
        assert_eq!(headers["te"], "trailers");
    }

    #[test]
    fn upgrades_pass_except_to_http2() {
        let headers = mk_headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        let upgrade = wants_upgrade(&headers).unwrap();
        let mut stripped = headers.clone();
        strip_request(&mut stripped, Some(&upgrade));
        assert_eq!(
            (&stripped["connection"], &stripped["upgrade"]),
            (&HeaderValue::from_static("upgrade"), &HeaderValue::from_static("websocket"))
        );
        for (connection, protocol) in [("keep-alive", "websocket"), ("upgrade, http2-settings", "h2c")] {
            let headers = mk_headers(&[("connection", connection), ("upgrade", protocol)]);
            assert_eq!(wants_upgrade(&headers), None, "{connection} {protocol}");
        }
    }

    #[test]
    fn a_backend_is_told_the_truth() {
        let forwarded = Forwarded {
            client: "203.0.113.1".parse().unwrap(),
            scheme: Scheme::Https,
            host: "shop.example.com:8443".into(),
            port: 8443,
        };
        let mut headers = mk_headers(&[
            ("x-forwarded-for", "192.0.2.66"),
            ("x-real-ip", "192.0.2.66"),
            ("x-forwarded-proto", "http"),
            ("proxy", "http://evil.example"),
        ]);
        tell_backend(&mut headers, &forwarded, 0xabc);
        for (name, value) in [
            ("x-forwarded-for", "203.0.113.1"),
            ("x-original-forwarded-for", "192.0.2.66"),
            ("x-real-ip", "203.0.113.1"),
            ("x-forwarded-host", "shop.example.com:8443"),
            ("x-forwarded-port", "8443"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-scheme", "https"),
            ("x-scheme", "https"),
            ("x-request-id", "00000000000000000000000000000abc"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        assert!(!headers.contains_key("proxy"));
        let mut headers = mk_headers(&[("x-request-id", "mine")]);
        tell_backend(&mut headers, &forwarded, 1);
        assert_eq!(headers["x-request-id"], "mine");
    }
}
