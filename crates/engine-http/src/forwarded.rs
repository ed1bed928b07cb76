//! What is known about the client, and from whom.

use std::collections::BTreeSet;
use std::net::IpAddr;

use http::HeaderMap;
use types::Prefix;

use crate::Scheme;

/// The other end of a connection to the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Whether the connection has TLS.
    pub scheme: Scheme,
    /// The port it came to.
    pub port: u16,
}

/// The client as backends are told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Its address.
    pub client: IpAddr,
    /// How it reached the outermost entry.
    pub scheme: Scheme,
    /// The host it asked for, with its port if it has one.
    pub host: String,
    /// The port it came to.
    pub port: u16,
}

impl Forwarded {
    /// The peer itself is the client, unless it is a trusted proxy: then its `X-Forwarded-*` headers count, and the
    /// client is the last address in `X-Forwarded-For` that is not a trusted proxy (nginx's `real_ip_recursive`).
    #[must_use]
    pub fn new(peer: Peer, host: &str, headers: &HeaderMap, trusted: &BTreeSet<Prefix>) -> Self {
        let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
        if !is_trusted(peer.address) {
            let Peer { address: client, scheme, port } = peer;
            return Self { client, scheme, host: host.to_owned(), port };
        }
        let scheme = match first(headers, "x-forwarded-proto") {
            Some("https") => Scheme::Https,
            Some("http") => Scheme::Http,
            _ => peer.scheme,
        };
        Self {
            client: client(peer.address, headers, is_trusted),
            scheme,
            host: first(headers, "x-forwarded-host").unwrap_or(host).to_owned(),
            port: first(headers, "x-forwarded-port").and_then(|text| text.parse().ok()).unwrap_or(peer.port),
        }
    }
}

/// Walks `X-Forwarded-For` from its end through trusted proxies.
fn client(peer: IpAddr, headers: &HeaderMap, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer;
    let lines = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let entries = lines.flat_map(|line| line.split(',')).collect::<Vec<_>>();
    for entry in entries.iter().rev() {
        let Ok(address) = entry.trim().parse() else { break };
        client = address;
        if !is_trusted(address) {
            break;
        }
    }
    client
}

/// The first entry of a header that proxies write lists into.
fn first<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let text = headers.get(name)?.to_str().ok()?;
    text.split(',').next().map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-forwarded-for", "192.0.2.66, 198.51.100.7, 10.0.0.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example.com, inner"),
            ("x-forwarded-port", "443"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        headers
    }

    fn ask(peer: &str) -> Forwarded {
        let peer = Peer { address: peer.parse().unwrap(), scheme: Scheme::Http, port: 80 };
        let trusted = BTreeSet::from(["10.0.0.0/8".parse().unwrap()]);
        Forwarded::new(peer, "inner", &mk_headers(), &trusted)
    }

    #[test]
    fn strangers_are_not_believed() {
        let forwarded = ask("203.0.113.1");
        assert_eq!(forwarded.client.to_string(), "203.0.113.1");
        assert_eq!((forwarded.scheme, forwarded.host.as_str(), forwarded.port), (Scheme::Http, "inner", 80));
    }

    #[test]
    fn trusted_proxies_are_believed_about_their_own_client() {
        let forwarded = ask("10.0.0.1");
        assert_eq!(forwarded.client.to_string(), "198.51.100.7");
        let said = (forwarded.scheme, forwarded.host.as_str(), forwarded.port);
        assert_eq!(said, (Scheme::Https, "shop.example.com", 443));
    }
}
