//! Host names and the precedence of host patterns: exact, then wildcard of one label, then any.

use std::collections::BTreeMap;

use plan::HostMatch;

/// One value per host pattern; the first of several for the same pattern stays.
#[derive(Clone, Debug)]
pub struct HostTable<T> {
    exact: BTreeMap<String, T>,
    wildcard: BTreeMap<String, T>,
    any: Option<T>,
}

impl<T> Default for HostTable<T> {
    fn default() -> Self {
        Self { exact: BTreeMap::new(), wildcard: BTreeMap::new(), any: None }
    }
}

impl<T> HostTable<T> {
    /// The value for a pattern, made first if there is none.
    pub fn entry(&mut self, host: &HostMatch, make: impl FnOnce() -> T) -> &mut T {
        match host {
            HostMatch::Exact(name) => self.exact.entry(name.to_ascii_lowercase()).or_insert_with(make),
            HostMatch::Wildcard(suffix) => {
                self.wildcard.entry(suffix.to_ascii_lowercase()).or_insert_with(make)
            }
            HostMatch::Any => self.any.get_or_insert_with(make),
        }
    }

    /// The value of the most specific pattern that a lower-case host name matches (semantics IG2, IG3).
    #[must_use]
    pub fn find(&self, host: &str) -> Option<&T> {
        let wildcard = || {
            let (label, suffix) = host.split_once('.')?;
            if label.is_empty() { None } else { self.wildcard.get(suffix) }
        };
        self.exact.get(host).or_else(wildcard).or(self.any.as_ref())
    }

    /// Every value.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.exact.values_mut().chain(self.wildcard.values_mut()).chain(&mut self.any)
    }
}

/// The name in a `Host` header or authority: lower-case, without port and final dot; `None` when it is malformed.
#[must_use]
pub fn host_name(authority: &str) -> Option<String> {
    let name = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').filter(|(_, port)| is_port(port))?.0,
        None => {
            let (name, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            if !is_port(port) {
                return None;
            }
            name
        }
    };
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    let name = name.strip_suffix('.').unwrap_or(name);
    (!name.is_empty() && name.bytes().all(is_allowed)).then(|| name.to_ascii_lowercase())
}

/// Nothing, or a colon and digits.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_case_port_and_final_dot() {
        for (authority, name) in [
            ("Shop.Example.com", Some("shop.example.com")),
            ("shop.example.com:8080", Some("shop.example.com")),
            ("shop.example.com.", Some("shop.example.com")),
            ("192.0.2.1:80", Some("192.0.2.1")),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("", None),
            (":80", None),
            ("shop.example.com:x", None),
            ("shop example.com", None),
            ("a@b", None),
            ("a/b", None),
            ("[::1", None),
            ("[::1]x", None),
        ] {
            assert_eq!(host_name(authority).as_deref(), name, "{authority}");
        }
    }

    /// Semantics IG3 and IG6: a wildcard stands for exactly one label.
    #[test]
    fn exact_before_wildcard_before_any() {
        let mut table = HostTable::default();
        for (host, value) in [
            (HostMatch::Any, "any"),
            (HostMatch::Wildcard("foo.com".into()), "wildcard"),
            (HostMatch::Exact("bar.foo.com".into()), "exact"),
        ] {
            table.entry(&host, || value);
        }
        for (host, value) in [
            ("bar.foo.com", "exact"),
            ("other.foo.com", "wildcard"),
            ("baz.bar.foo.com", "any"),
            ("foo.com", "any"),
            (".foo.com", "any"),
            ("", "any"),
        ] {
            assert_eq!(table.find(host), Some(&value), "{host}");
        }
        assert_eq!(HostTable::<u8>::default().find("foo.com"), None);
    }
}
