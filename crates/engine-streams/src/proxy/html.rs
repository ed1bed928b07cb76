//! Addresses in HTML: found by tag and attribute, everything else left as it is.

/// Attributes whose value is an address (apimachinery `proxy.atomsToAttrs`).
const ATTRIBUTES: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements whose content is text, whatever it looks like (HTML Standard, "raw text" and "escapable raw text").
const TEXT_ELEMENTS: &[&str] = &["script", "style", "textarea", "title", "xmp", "noscript"];

/// A page with the addresses in it rewritten.
#[must_use]
pub fn rewrite_html(page: &str, rewrite: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(page.len() + page.len() / 8);
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let length = if rest.starts_with("<!--") {
            rest.find("-->").map_or(rest.len(), |end| end + 3)
        } else if rest[1..].starts_with(|letter: char| letter.is_ascii_alphabetic()) {
            let tag = Tag::read(rest);
            tag.write(rest, &rewrite, &mut out);
            rest = &rest[tag.end..];
            text_length(&tag.name, rest)
        } else {
            1
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

/// How much of what follows a start tag is its text.
fn text_length(tag: &str, rest: &str) -> usize {
    if !TEXT_ELEMENTS.contains(&tag) {
        return 0;
    }
    let close = format!("</{tag}");
    let found =
        rest.as_bytes().windows(close.len()).position(|part| part.eq_ignore_ascii_case(close.as_bytes()));
    found.unwrap_or(rest.len())
}

/// A start tag: where its attributes' values are.
struct Tag {
    name: String,
    values: Vec<(String, std::ops::Range<usize>)>,
    end: usize,
}

impl Tag {
    fn read(text: &str) -> Self {
        let bytes = text.as_bytes();
        let until = |from: usize, ends: &[u8]| {
            let found =
                bytes[from..].iter().position(|byte| ends.contains(byte) || byte.is_ascii_whitespace());
            found.map_or(bytes.len(), |at| from + at)
        };
        let blanks = |from: usize| {
            let found = bytes[from..].iter().position(|byte| !byte.is_ascii_whitespace());
            found.map_or(bytes.len(), |at| from + at)
        };
        let mut at = until(1, b"/>");
        let mut tag = Self { name: text[1..at].to_ascii_lowercase(), values: Vec::new(), end: bytes.len() };
        loop {
            at = blanks(at);
            match bytes.get(at) {
                None => return tag,
                Some(b'>') => {
                    tag.end = at + 1;
                    return tag;
                }
                Some(b'/') => at += 1,
                Some(_) => {
                    // An equals sign in front is part of the name (HTML Standard, "before attribute name state").
                    let end = until(at + 1, b"=/>").max(at + 1);
                    let name = text.get(at..end).unwrap_or_default().to_ascii_lowercase();
                    at = blanks(end);
                    if bytes.get(at) == Some(&b'=') {
                        at = blanks(at + 1);
                        let value = match bytes.get(at) {
                            Some(quote @ (b'"' | b'\'')) => {
                                let from = at + 1;
                                let found = bytes[from..].iter().position(|byte| byte == quote);
                                let end = found.map_or(bytes.len(), |found| from + found);
                                at = (end + 1).min(bytes.len());
                                from..end
                            }
                            _ => {
                                let from = at;
                                at = until(at, b">");
                                from..at
                            }
                        };
                        tag.values.push((name, value));
                    }
                }
            }
        }
    }

    fn write(&self, text: &str, rewrite: impl Fn(&str) -> String, out: &mut String) {
        let known = ATTRIBUTES.iter().find(|(tag, _)| *tag == self.name).map_or(&[][..], |(_, names)| names);
        let mut done = 0;
        for (name, value) in &self.values {
            if !known.contains(&name.as_str()) {
                continue;
            }
            let old = text[value.clone()].replace("&amp;", "&");
            let new = rewrite(&old);
            if new != old {
                out.push_str(&text[done..value.start]);
                out.push_str(&new.replace('&', "&amp;").replace('"', "&quot;").replace('\'', "&#39;"));
                done = value.end;
            }
        }
        out.push_str(&text[done..self.end]);
    }
}

#[cfg(test)]
mod tests {
    use super::rewrite_html;

    fn rewritten(page: &str) -> String {
        rewrite_html(page, |address| {
            address.strip_prefix('/').map_or(address.to_owned(), |rest| format!("/p/{rest}"))
        })
    }

    #[test]
    fn only_addresses_of_known_attributes_change() {
        for (page, expected) in [
            ("<a href=\"/x?a=1&amp;b\">/y</a>", "<a href=\"/p/x?a=1&amp;b\">/y</a>"),
            ("<A HREF='/x' title=/t>", "<A HREF='/p/x' title=/t>"),
            ("<img src=/i.png alt = '/a'><br/>", "<img src=/p/i.png alt = '/a'><br/>"),
            ("<!-- <a href=\"/x\"> -->", "<!-- <a href=\"/x\"> -->"),
            (
                "<script src=/a>\"<a href='/b'>\"</SCRIPT><a href='/c'>",
                "<script src=/p/a>\"<a href='/b'>\"</SCRIPT><a href='/p/c'>",
            ),
            ("1 < 2 <p>", "1 < 2 <p>"),
            ("<a href", "<a href"),
            ("<a href='/x", "<a href='/p/x"),
            ("<a =href=\"/x\" \u{e9}=1 href=/\u{e9}>", "<a =href=\"/x\" \u{e9}=1 href=/p/\u{e9}>"),
        ] {
            assert_eq!(rewritten(page), expected);
        }
    }
}
