//! RE2 patterns, as Go reads them, in the dialect of the `regex` crate.
//!
//! Both match in linear time. They differ in what is Unicode (`\d`, `\w`, `\s`, `\b` are ASCII in RE2), in classes
//! (RE2 has no nesting and no set operations), in `\Q..\E`, and in braces that are no repetition.

use regex::Regex;

/// Bound of a compiled program; a larger pattern is refused.
const SIZE_LIMIT: usize = 4 << 20;

/// Compiles a pattern of RE2.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    let built = regex::RegexBuilder::new(&translate(pattern)).size_limit(SIZE_LIMIT).build();
    built.map_err(|error| error.to_string().lines().last().unwrap_or_default().to_owned())
}

/// Rewrites a pattern of RE2 for the `regex` crate.
pub fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(next) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix('\\') {
            rest = escape(after, in_class, &mut out);
            continue;
        }
        if in_class {
            rest = class_part(rest, &mut out, &mut in_class);
            continue;
        }
        rest = &rest[next.len_utf8()..];
        match next {
            '[' => {
                in_class = true;
                out.push('[');
                if let Some(after) = rest.strip_prefix('^') {
                    out.push('^');
                    rest = after;
                }
                // A bracket at the beginning of a class is one of its members.
                if let Some(after) = rest.strip_prefix(']') {
                    out.push_str("\\]");
                    rest = after;
                }
            }
            '{' if !is_repetition(rest) => out.push_str("\\{"),
            other => out.push(other),
        }
    }
    out
}

/// What follows a backslash; gives what is left.
fn escape<'a>(after: &'a str, in_class: bool, out: &mut String) -> &'a str {
    let Some(letter) = after.chars().next() else {
        out.push('\\');
        return after;
    };
    let rest = &after[letter.len_utf8()..];
    let (inside, outside) = match letter {
        'd' => ("0-9", "[0-9]"),
        'D' => ("[^0-9]", "[^0-9]"),
        'w' => ("0-9A-Za-z_", "[0-9A-Za-z_]"),
        'W' => ("[^0-9A-Za-z_]", "[^0-9A-Za-z_]"),
        's' => ("\\t\\n\\x0C\\r ", "[\\t\\n\\x0C\\r ]"),
        'S' => ("[^\\t\\n\\x0C\\r ]", "[^\\t\\n\\x0C\\r ]"),
        'b' => ("\\b", "(?-u:\\b)"),
        'B' => ("\\B", "(?-u:\\B)"),
        '<' => ("<", "<"),
        '>' => (">", ">"),
        'C' => ("\\C", "(?s:.)"),
        'Q' if !in_class => {
            let (quoted, rest) = rest.split_once("\\E").unwrap_or((rest, ""));
            out.push_str(&regex::escape(quoted));
            return rest;
        }
        _ => {
            out.push('\\');
            out.push(letter);
            return rest;
        }
    };
    out.push_str(if in_class { inside } else { outside });
    rest
}

/// One step inside a class; gives what is left.
fn class_part<'a>(rest: &'a str, out: &mut String, in_class: &mut bool) -> &'a str {
    if rest.starts_with("[:")
        && let Some(end) = rest.find(":]")
    {
        out.push_str(&rest[..end + 2]);
        return &rest[end + 2..];
    }
    let next = rest.chars().next().unwrap_or_default();
    match next {
        ']' => {
            *in_class = false;
            out.push(']');
        }
        // Members there, operators here.
        '[' | '&' | '~' => {
            out.push('\\');
            out.push(next);
        }
        '-' if out.ends_with('[') || out.ends_with("[^") || rest.starts_with("-]") => out.push_str("\\-"),
        '-' if rest.starts_with("--") => {
            out.push_str("-\\-");
            return &rest[2..];
        }
        other => out.push(other),
    }
    &rest[next.len_utf8()..]
}

/// Whether `{` begins `{n}`, `{n,}` or `{n,m}`.
fn is_repetition(rest: &str) -> bool {
    let Some((inner, _)) = rest.split_once('}') else { return false };
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    let is_number = |text: &str| text.chars().all(|char| char.is_ascii_digit());
    !least.is_empty() && is_number(least) && is_number(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialects() {
        for (pattern, text, wanted) in [
            (r"^\d+$", "12", true),
            (r"^\d+$", "١", false),
            (r"^\w+$", "é", false),
            (r"^[\w.-]+$", "a.b-c_9", true),
            (r"^[[a]+$", "[a", true),
            (r"^[]a]+$", "]a", true),
            (r"^[^]a]+$", "bc", true),
            (r"^a{,5}$", "a{,5}", true),
            (r"^a{2}$", "aa", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"^[&~]+$", "&&~~", true),
            (r"^[-A-Za-z0-9/._~!$&'()*+,;=:@]+$", "a-b~&'", true),
            (r"^[+--]+$", "+,-", true),
            (r"\bfoo\b", "a foo b", true),
            (r"^(?i)\.?[a-z_][a-z_0-9]*$", "ABC", true),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(text), wanted, "{pattern} {text}");
        }
        assert!(compile("(").is_err());
        assert!(compile("(a{1000}){1000}").is_err());
    }
}
