//! Proxied requests: whom a name means, and which addresses in answers have to lead back through the proxy.

mod html;

pub use html::rewrite_html;

/// How the destination is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear; also when the client does not say.
    Http,
    /// Over TLS; certificates are not checked.
    Https,
}

/// `[scheme:]name[:port]` of a path (apimachinery `SplitSchemeNamePort`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination<'a> {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// The object's name; never empty.
    pub name: &'a str,
    /// A port's number or name.
    pub port: Option<&'a str>,
}

impl<'a> Destination<'a> {
    /// Reads the text; nothing for one that means nobody.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => return None,
        };
        let scheme = match scheme {
            "" | "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        (!name.is_empty()).then_some(Self { scheme, name, port: (!port.is_empty()).then_some(port) })
    }
}

/// What an answer's addresses are judged by.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The path that leads to the proxy, without a slash at its end.
    pub prefix: &'a str,
    /// The destination's own `host:port`.
    pub destination: &'a str,
    /// The `Host` that the client named.
    pub host: &'a str,
}

impl Place<'_> {
    /// An address that leads through the proxy if it leads to the destination; others stay as they are (apimachinery
    /// `proxy.Transport.rewriteURL`).
    #[must_use]
    pub fn rewrite(&self, address: &str) -> String {
        let (authority, rest) = split_authority(address);
        let is_elsewhere = authority.is_some_and(|host| host != self.destination && host != self.host);
        if is_elsewhere || !rest.starts_with('/') {
            return address.to_owned();
        }
        let kept = match authority {
            Some(host) if host == self.host => &address[..address.len() - rest.len()],
            _ => "",
        };
        let leads_back = rest
            .strip_prefix(self.prefix)
            .is_some_and(|left| left.is_empty() || left.starts_with(['/', '?', '#']));
        if leads_back { format!("{kept}{rest}") } else { format!("{kept}{}{rest}", self.prefix) }
    }
}

/// The authority of an address, if it has one, and what follows.
fn split_authority(address: &str) -> (Option<&str>, &str) {
    let after = ["http://", "https://", "//"].iter().find_map(|start| {
        let head = address.get(..start.len())?;
        head.eq_ignore_ascii_case(start).then(|| &address[start.len()..])
    });
    match after {
        None => (None, address),
        Some(after) => {
            let (authority, rest) = after.split_at(after.find(['/', '?', '#']).unwrap_or(after.len()));
            (Some(authority), rest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        let read = |text| Destination::parse(text).map(|one| (one.scheme, one.name, one.port));
        assert_eq!(read("web"), Some((Scheme::Http, "web", None)));
        assert_eq!(read("web:http"), Some((Scheme::Http, "web", Some("http"))));
        assert_eq!(read("https:web:443"), Some((Scheme::Https, "web", Some("443"))));
        assert_eq!(read("http:web:"), Some((Scheme::Http, "web", None)));
        for wrong in ["", ":80", "ftp:web:21", "a:b:c:d"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn addresses_lead_back_through_the_proxy() {
        let place = Place { prefix: "/p/proxy", destination: "10.0.0.1:80", host: "localhost:8001" };
        for (address, expected) in [
            ("/", "/p/proxy/"),
            ("/a/b?c#d", "/p/proxy/a/b?c#d"),
            ("/p/proxy/a", "/p/proxy/a"),
            ("/p/proxying", "/p/proxy/p/proxying"),
            ("a/b", "a/b"),
            ("#top", "#top"),
            ("http://10.0.0.1:80/a", "/p/proxy/a"),
            ("//10.0.0.1:80/a", "/p/proxy/a"),
            ("http://localhost:8001/a", "http://localhost:8001/p/proxy/a"),
            ("https://example.com/a", "https://example.com/a"),
            ("mailto:me@example.com", "mailto:me@example.com"),
            ("http://10.0.0.1:80", "http://10.0.0.1:80"),
        ] {
            assert_eq!(place.rewrite(address), expected, "{address}");
        }
    }
}
