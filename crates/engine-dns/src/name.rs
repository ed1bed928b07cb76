//! Domain names in lower-case wire form, the form in which they are compared and indexed.

use std::borrow::Borrow;
use std::fmt;

/// Longest name in wire form, with the root's zero (RFC 1035 section 2.3.4).
pub(crate) const MAX_NAME: usize = 255;
/// Longest label (RFC 1035 section 2.3.4).
pub(crate) const MAX_LABEL: usize = 63;

/// An absolute domain name: length-prefixed lower-case labels, ending in the root's zero.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

/// Why a text is not a [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Two dots follow each other, or the name starts with one.
    #[error("`{0}` has an empty label")]
    EmptyLabel(String),
    /// A label is too long.
    #[error("`{0}` has a label of more than 63 bytes")]
    LongLabel(String),
    /// The whole is too long.
    #[error("`{0}` is longer than 255 bytes")]
    LongName(String),
}

impl Name {
    /// From text; every name is absolute, a dot at the end makes no difference.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let relative = text.strip_suffix('.').unwrap_or(text);
        let mut wire = Vec::with_capacity(relative.len() + 2);
        if !relative.is_empty() {
            for label in relative.split('.') {
                if label.is_empty() {
                    return Err(NameError::EmptyLabel(text.to_owned()));
                }
                push_label(&mut wire, label).ok_or_else(|| NameError::LongLabel(text.to_owned()))?;
            }
        }
        wire.push(0);
        if wire.len() > MAX_NAME {
            return Err(NameError::LongName(text.to_owned()));
        }
        Ok(Self(wire.into()))
    }

    /// The name one label below this one; `None` when that is not a name.
    #[must_use]
    pub fn child(&self, label: &str) -> Option<Self> {
        if label.is_empty() {
            return None;
        }
        let mut wire = Vec::with_capacity(label.len() + 1 + self.0.len());
        push_label(&mut wire, label)?;
        wire.extend_from_slice(&self.0);
        (wire.len() <= MAX_NAME).then(|| Self(wire.into()))
    }

    /// Labels in lower-case wire form before a name; `None` when that is too long.
    pub(crate) fn joined(labels: &[u8], name: &Self) -> Option<Self> {
        let wire = [labels, &name.0].concat();
        (wire.len() <= MAX_NAME).then(|| Self(wire.into()))
    }

    /// From lower-case wire form, already checked.
    pub(crate) fn from_checked_wire(wire: &[u8]) -> Self {
        Self(wire.into())
    }

    /// The wire form.
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// The labels, leftmost first.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        labels(&self.0)
    }

    /// Whether this is `ancestor` or below it.
    #[must_use]
    pub fn is_within(&self, ancestor: &Self) -> bool {
        suffix_start(&self.0, &ancestor.0).is_some()
    }
}

fn push_label(wire: &mut Vec<u8>, label: &str) -> Option<()> {
    let length = u8::try_from(label.len()).ok().filter(|length| usize::from(*length) <= MAX_LABEL)?;
    wire.push(length);
    wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
    Some(())
}

/// The labels of a checked wire form.
pub(crate) fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first()?;
        let length = usize::from(*length);
        if length == 0 || tail.len() < length {
            return None;
        }
        let (label, next) = tail.split_at(length);
        rest = next;
        Some(label)
    })
}

/// Where `suffix` starts in `wire`, at a label boundary; `None` when `wire` does not end in it.
pub(crate) fn suffix_start(wire: &[u8], suffix: &[u8]) -> Option<usize> {
    let start = wire.len().checked_sub(suffix.len())?;
    if &wire[start..] != suffix {
        return None;
    }
    let mut at = 0;
    while at < start {
        at += 1 + usize::from(wire[at]);
    }
    (at == start).then_some(start)
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    /// Without the dot at the end; the root is `.`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() == 1 {
            return f.write_str(".");
        }
        for (index, label) in self.labels().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            for byte in label {
                match byte {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(*byte))?,
                    0x21..=0x7e => write!(f, "{}", char::from(*byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_wire_agree() {
        let name = Name::parse("Web.Shop.").unwrap();
        assert_eq!(name.as_wire(), b"\x03web\x04shop\x00");
        assert_eq!(name.to_string(), "web.shop");
        assert_eq!(name.child("_http").unwrap().to_string(), "_http.web.shop");
        assert_eq!(Name::parse(".").unwrap().to_string(), ".");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert!(matches!(Name::parse("a..b"), Err(NameError::EmptyLabel(_))));
        assert!(matches!(Name::parse(&"a".repeat(64)), Err(NameError::LongLabel(_))));
        assert!(matches!(Name::parse(&"abcdefg.".repeat(32)), Err(NameError::LongName(_))));
        assert!(Name::parse(&"abcdefg.".repeat(31)).is_ok());
    }

    #[test]
    fn ancestors_end_at_label_boundaries() {
        let zone = Name::parse("cluster.local").unwrap();
        assert!(Name::parse("web.cluster.local").unwrap().is_within(&zone));
        assert!(zone.is_within(&zone));
        assert!(!Name::parse("xcluster.local").unwrap().is_within(&zone));
        assert!(!Name::parse("local").unwrap().is_within(&zone));
    }
}
