//! Extended DNS Errors (RFC 8914): why there is no answer, in words.

use std::borrow::Cow;

/// Option code (RFC 8914 section 2).
const OPTION: u16 = 15;
/// Texts are cut to this: they help a person, and must not make a datagram large.
const LONGEST_TEXT: usize = 200;

/// Information codes (RFC 8914 section 4).
const OTHER: u16 = 0;
const NOT_READY: u16 = 14;
const BLOCKED: u16 = 15;
const FILTERED: u16 = 17;
const NO_REACHABLE_AUTHORITY: u16 = 22;

/// Not every kind of object has been listed yet.
pub(crate) const UNSYNCED: ExtendedError = ExtendedError {
    code: NOT_READY,
    text: Cow::Borrowed("the cluster's objects have not all been read yet"),
};
/// A rewrite, a template or a hosts section makes no answer.
pub(crate) const NO_NAME: ExtendedError =
    ExtendedError { code: OTHER, text: Cow::Borrowed("a rewrite made a name that cannot be") };
/// No upstream server answered.
pub(crate) const NOBODY: ExtendedError =
    ExtendedError { code: NO_REACHABLE_AUTHORITY, text: Cow::Borrowed("no upstream server answered") };
/// There is nobody to ask.
pub(crate) const NO_FORWARD: ExtendedError = ExtendedError {
    code: NO_REACHABLE_AUTHORITY,
    text: Cow::Borrowed("no upstream server is known for this name"),
};

/// An information code and a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExtendedError {
    code: u16,
    text: Cow<'static, str>,
}

impl ExtendedError {
    /// Something that has no code.
    pub(crate) fn other(text: impl Into<Cow<'static, str>>) -> Self {
        Self { code: OTHER, text: text.into() }
    }

    /// The operator blocks it.
    pub(crate) fn blocked(text: impl Into<Cow<'static, str>>) -> Self {
        Self { code: BLOCKED, text: text.into() }
    }

    /// The operator filters it.
    pub(crate) fn filtered(text: impl Into<Cow<'static, str>>) -> Self {
        Self { code: FILTERED, text: text.into() }
    }

    /// With a code that somebody else chose.
    pub(crate) fn with_code(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, text: text.into() }
    }

    /// The option, with its code and length.
    pub(crate) fn to_option(&self) -> Vec<u8> {
        let end = (0..=LONGEST_TEXT.min(self.text.len())).rev().find(|end| self.text.is_char_boundary(*end));
        let text = &self.text.as_bytes()[..end.unwrap_or(0)];
        let length = u16::try_from(text.len() + 2).unwrap_or(2);
        let mut option = Vec::with_capacity(text.len() + 6);
        for number in [OPTION, length, self.code] {
            option.extend_from_slice(&number.to_be_bytes());
        }
        option.extend_from_slice(text);
        option
    }
}
