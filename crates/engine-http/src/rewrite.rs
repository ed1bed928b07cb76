//! `rewrite-target`: the path a backend sees instead of the client's.

/// Builds the new request target as nginx's `rewrite … break` and `proxy_pass` do: `$1` to `$9` are what the
/// groups of the path's regular expression caught, the result is escaped, and the client's query is kept behind the
/// target's own, unless the target ends in `?`.
pub(crate) fn rewrite(target: &str, groups: &[Option<&[u8]>], query: Option<&str>) -> String {
    let (path, own_query) = match target.split_once('?') {
        Some((path, own_query)) => (path, Some(own_query)),
        None => (target, None),
    };
    let mut new = String::with_capacity(target.len() + 32);
    push_escaped(&mut new, &expand(path, groups));
    if !new.starts_with('/') {
        new.insert(0, '/');
    }
    let own = own_query.map(|text| String::from_utf8_lossy(&expand(text, groups)).into_owned());
    let parts = match own.as_deref() {
        Some("") => [None, None],
        own => [own, query],
    };
    let parts = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    if !parts.is_empty() {
        new.push('?');
        push_query(&mut new, &parts.join("&"));
    }
    new
}

/// Puts the groups in place; a group that does not exist or caught nothing is empty.
fn expand(text: &str, groups: &[Option<&[u8]>]) -> Vec<u8> {
    let mut expanded = Vec::with_capacity(text.len() + 16);
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let digit = bytes.peek().filter(|next| byte == b'$' && matches!(next, b'1'..=b'9'));
        match digit.map(|digit| usize::from(digit - b'0')) {
            Some(number) => {
                bytes.next();
                expanded.extend_from_slice(groups.get(number).copied().flatten().unwrap_or_default());
            }
            None => expanded.push(byte),
        }
    }
    expanded
}

/// Escapes what nginx escapes in a path (`NGX_ESCAPE_URI`).
fn push_escaped(out: &mut String, path: &[u8]) {
    for byte in path {
        if byte.is_ascii_graphic() && !b"\"#%<>?\\^`{|}".contains(byte) {
            out.push(char::from(*byte));
        } else {
            push_escape(out, *byte);
        }
    }
}

/// A query keeps its own escapes; only what no request line can hold is escaped.
fn push_query(out: &mut String, query: &str) {
    for byte in query.bytes() {
        if byte.is_ascii_graphic() && byte != b'#' {
            out.push(char::from(byte));
        } else {
            push_escape(out, byte);
        }
    }
}

fn push_escape(out: &mut String, byte: u8) {
    let digit =
        |value: u8| char::from_digit(u32::from(value), 16).map_or('0', |digit| digit.to_ascii_uppercase());
    out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_filled_in() {
        let groups: &[Option<&[u8]>] = &[Some(b"/api/v1 x"), Some(b"/"), Some(b"v1 x"), None];
        for (target, query, new) in [
            ("/", None, "/"),
            ("/$2", None, "/v1%20x"),
            ("/$2", Some("a=b%20c"), "/v1%20x?a=b%20c"),
            ("/$3$9", None, "/"),
            ("$2", None, "/v1%20x"),
            ("/x?p=$2", None, "/x?p=v1%20x"),
            ("/x?p=1", Some("q=2"), "/x?p=1&q=2"),
            ("/x?", Some("q=2"), "/x"),
            ("/cost$", None, "/cost$"),
        ] {
            assert_eq!(rewrite(target, groups, query), new, "{target} {query:?}");
        }
    }
}
