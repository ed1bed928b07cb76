//! Request paths as they are matched, and how patterns match them.

use std::borrow::Cow;

/// A request target split at its query.
pub(crate) fn split_query(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

/// A path as routes see it, the way nginx prepares it before it looks for a location: escapes decoded, `.` and `..`
/// resolved, slashes merged. `None` for a path that leads above the root, holds a zero byte or a broken escape.
pub(crate) fn normalize(path: &str) -> Option<Cow<'_, [u8]>> {
    if !path.starts_with('/') {
        return None;
    }
    let needs_work = path.contains('%') || path.contains("//") || path.contains("/.");
    if !needs_work {
        return Some(Cow::Borrowed(path.as_bytes()));
    }
    let decoded = decode(path.as_bytes())?;
    let mut normal: Vec<u8> = Vec::with_capacity(decoded.len());
    let mut elements = decoded[1..].split(|byte| *byte == b'/').peekable();
    while let Some(element) = elements.next() {
        let is_last = elements.peek().is_none();
        match element {
            b"" | b"." => {}
            b".." => {
                let end = normal.iter().rposition(|byte| *byte == b'/')?;
                normal.truncate(end);
            }
            element => {
                normal.push(b'/');
                normal.extend_from_slice(element);
                if is_last {
                    return Some(Cow::Owned(normal));
                }
            }
        }
    }
    // The path ended in a slash, or in a dot element, which stands for a directory.
    normal.push(b'/');
    Some(Cow::Owned(normal))
}

fn decode(path: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        let byte = if path[at] == b'%' {
            let high = char::from(*path.get(at + 1)?).to_digit(16)?;
            let low = char::from(*path.get(at + 2)?).to_digit(16)?;
            at += 2;
            u8::try_from(high * 16 + low).ok()?
        } else {
            path[at]
        };
        if byte == 0 {
            return None;
        }
        decoded.push(byte);
        at += 1;
    }
    Some(decoded)
}

/// A `Prefix` pattern without trailing slashes, so that the root is empty.
pub(crate) fn prefix_key(pattern: &str) -> &[u8] {
    pattern.trim_end_matches('/').as_bytes()
}

/// The keys of every `Prefix` pattern that a path matches, the longest first: the path itself without a trailing
/// slash, then without its last element, and so on to the root (semantics IG1).
pub(crate) fn prefix_keys(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = path.strip_suffix(b"/").unwrap_or(path);
    std::iter::successors(Some(whole), |key| {
        let end = key.iter().rposition(|byte| *byte == b'/')?;
        Some(&key[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalized_as_nginx_does() {
        for (path, normal) in [
            ("/", Some("/")),
            ("/a/b", Some("/a/b")),
            ("/a/b/", Some("/a/b/")),
            ("//a///b", Some("/a/b")),
            ("/a//", Some("/a/")),
            ("/a/./b", Some("/a/b")),
            ("/a/.", Some("/a/")),
            ("/a/../b", Some("/b")),
            ("/a/b/..", Some("/a/")),
            ("/a/%2e%2E/b", Some("/b")),
            ("/a%2Fb", Some("/a/b")),
            ("/a%20b", Some("/a b")),
            ("/.well-known/x", Some("/.well-known/x")),
            ("/..", None),
            ("/a/../../b", None),
            ("/%00", None),
            ("/%zz", None),
            ("/%2", None),
            ("a", None),
            ("*", None),
            ("", None),
        ] {
            let found = normalize(path).map(|path| String::from_utf8(path.into_owned()).unwrap());
            assert_eq!(found.as_deref(), normal, "{path}");
        }
    }

    #[test]
    fn prefixes_of_a_path() {
        let keys = |path: &'static str| {
            prefix_keys(path.as_bytes()).map(|key| std::str::from_utf8(key).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(keys("/aaa/bbb/"), ["/aaa/bbb", "/aaa", ""]);
        assert_eq!(keys("/"), [""]);
        assert_eq!(prefix_key("/"), b"");
        assert_eq!(prefix_key("/foo/"), b"/foo");
    }
}
