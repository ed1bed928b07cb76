//! URLs (apiserver: `pkg/cel/library/urls.go`, which takes what Go's `url.ParseRequestURI` takes).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::eval::Budget;
use crate::functions::Result;
use crate::value::{Error, Key, Map, Value};

/// A parsed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// As it was written.
    pub(crate) text: String,
    scheme: String,
    host: String,
    path: String,
    query: String,
}

/// Reads an absolute URL or an absolute path.
pub(crate) fn parse(text: &str) -> Option<Url> {
    if text.is_empty() || text.chars().any(|char| char.is_control() || char == ' ') {
        return None;
    }
    let (scheme, rest) = match text.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
        _ => (String::new(), text),
    };
    // A relative path without a scheme is no request URI; with one it is opaque, which Go refuses too.
    if !rest.starts_with('/') {
        return None;
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let has_authority = rest.starts_with("//") && (!scheme.is_empty() || !rest.starts_with("///"));
    let (host, path) = if has_authority {
        let rest = &rest[2..];
        let end = rest.find('/').unwrap_or(rest.len());
        (rest[..end].rsplit_once('@').map_or(&rest[..end], |(_, host)| host), &rest[end..])
    } else {
        ("", rest)
    };
    (is_host(host) && has_good_escapes(path)).then(|| Url {
        text: text.to_owned(),
        scheme,
        host: host.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
    })
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|char: char| char.is_ascii_alphabetic())
        && text.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '+' | '-' | '.'))
}

fn has_good_escapes(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|after| after.len() >= 2 && after.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit))
}

fn is_host(host: &str) -> bool {
    let (name, port) = split_port(host);
    let good_port = port.is_none_or(|port| port.chars().all(|char| char.is_ascii_digit()));
    let good_name = match name.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').is_some_and(|inner| !inner.contains(['[', ']'])),
        None => {
            !name.contains([':', '[', ']', '<', '>', '"', '\\', '^', '`', '{', '|', '}'])
                && has_good_escapes(name)
        }
    };
    good_port && good_name
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => (&host[..at], Some(&host[at + 1..])),
        _ => (host, None),
    }
}

/// `None` when the library has no such function for such arguments.
pub(crate) fn call(name: &str, arguments: &[Value], budget: &mut Budget) -> Option<Result> {
    match (name, arguments) {
        ("url" | "isURL", [Value::String(text)]) => {
            if let Err(error) = budget.walk(text.len() as u64) {
                return Some(Err(error));
            }
            let url = parse(text);
            Some(match (name, url) {
                ("isURL", url) => Ok(Value::Bool(url.is_some())),
                (_, Some(url)) => Ok(Value::Url(Arc::new(url))),
                (_, None) => Err(Error::other(format!(
                    "URL parse error during conversion from string: parse {text:?}: invalid URI for request"
                ))),
            })
        }
        (_, [Value::Url(url)]) => of_url(name, url),
        _ => None,
    }
}

fn of_url(name: &str, url: &Url) -> Option<Result> {
    let (host, port) = split_port(&url.host);
    Some(Ok(match name {
        "getScheme" => Value::string(url.scheme.as_str()),
        "getHost" => Value::string(url.host.as_str()),
        "getHostname" => Value::string(host.trim_matches(['[', ']'])),
        "getPort" => Value::string(port.unwrap_or_default()),
        "getEscapedPath" => Value::string(url.path.as_str()),
        "getQuery" => query(&url.query),
        _ => return None,
    }))
}

fn query(text: &str) -> Value {
    let mut values: BTreeMap<Key, Vec<Value>> = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(key), Some(value)) = (decoded(key), decoded(value)) {
            values.entry(Key::string(&key)).or_default().push(Value::string(value));
        }
    }
    let entries = values.into_iter().map(|(key, values)| (key, Value::list(values))).collect();
    Value::Map(Arc::new(Map { entries }))
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = std::str::from_utf8(after.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &after[2..];
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}
