//! Text → tokens.

use std::sync::Arc;

use crate::parse::SyntaxError;
use crate::value::Value;

/// A piece of the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// A name or a word of the language.
    Ident(String),
    /// A literal.
    Literal(Literal),
    /// An operator or a bracket.
    Symbol(&'static str),
    /// The end.
    End,
}

/// A literal. A sign is not part of it; whoever negates it takes the sign in, so that the least integer can be said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Int(u64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
}

impl Literal {
    /// The value; `None` for an integer that is too large.
    pub(crate) fn value(&self) -> Option<Value> {
        Some(match self {
            Self::Int(value) => Value::Int(i64::try_from(*value).ok()?),
            Self::Uint(value) => Value::Uint(*value),
            Self::Double(value) => Value::Double(*value),
            Self::String(text) => Value::string(text.as_str()),
            Self::Bytes(bytes) => Value::Bytes(Arc::from(bytes.as_slice())),
        })
    }
}

/// Longest first, so that `<=` is not read as `<`.
const SYMBOLS: &[&str] = &[
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",", "(", ")",
    "[", "]", "{", "}",
];

struct Lexer<'a> {
    chars: &'a [char],
    at: usize,
}

/// All tokens with their places; the last one is the end.
pub(crate) fn tokens(chars: &[char]) -> Result<Vec<(Token, u32)>, SyntaxError> {
    let mut lexer = Lexer { chars, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank();
        let at = u32::try_from(lexer.at).unwrap_or(u32::MAX);
        let token = lexer.next().map_err(|text| SyntaxError { at, text })?;
        let is_end = token == Token::End;
        tokens.push((token, at));
        if is_end {
            return Ok(tokens);
        }
    }
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn skip_blank(&mut self) {
        while let Some(next) = self.peek(0) {
            if matches!(next, ' ' | '\t' | '\n' | '\r' | '\u{c}') {
                self.at += 1;
            } else if next == '/' && self.peek(1) == Some('/') {
                while self.peek(0).is_some_and(|next| next != '\n') {
                    self.at += 1;
                }
            } else {
                return;
            }
        }
    }

    fn next(&mut self) -> Result<Token, String> {
        let Some(first) = self.peek(0) else { return Ok(Token::End) };
        if first.is_ascii_digit() || (first == '.' && self.peek(1).is_some_and(|c| c.is_ascii_digit())) {
            return self.number().map(Token::Literal);
        }
        if let Some(prefix) = self.string_prefix() {
            return self.string(prefix).map(Token::Literal);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let begin = self.at;
            while self.peek(0).is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
                self.at += 1;
            }
            return Ok(Token::Ident(self.chars[begin..self.at].iter().collect()));
        }
        for symbol in SYMBOLS {
            if symbol.chars().enumerate().all(|(ahead, wanted)| self.peek(ahead) == Some(wanted)) {
                self.at += symbol.len();
                return Ok(Token::Symbol(symbol));
            }
        }
        Err(format!("Syntax error: token recognition error at: '{first}'"))
    }

    fn number(&mut self) -> Result<Literal, String> {
        let begin = self.at;
        if self.peek(0) == Some('0') && matches!(self.peek(1), Some('x' | 'X')) {
            self.at += 2;
            let digits = self.take(|c| c.is_ascii_hexdigit());
            let value =
                u64::from_str_radix(&digits, 16).map_err(|_| format!("invalid int literal: 0x{digits}"))?;
            return Ok(self.suffixed(value));
        }
        self.take(|c| c.is_ascii_digit());
        let mut is_double = false;
        if self.peek(0) == Some('.') && self.peek(1).is_some_and(|c| c.is_ascii_digit()) {
            is_double = true;
            self.at += 1;
            self.take(|c| c.is_ascii_digit());
        }
        if matches!(self.peek(0), Some('e' | 'E')) {
            let sign = usize::from(matches!(self.peek(1), Some('+' | '-')));
            if self.peek(1 + sign).is_some_and(|c| c.is_ascii_digit()) {
                is_double = true;
                self.at += 1 + sign;
                self.take(|c| c.is_ascii_digit());
            }
        }
        let text: String = self.chars[begin..self.at].iter().collect();
        if is_double {
            return text.parse().map(Literal::Double).map_err(|_| "invalid double literal".to_owned());
        }
        let value = text.parse().map_err(|_| format!("invalid int literal: {text}"))?;
        Ok(self.suffixed(value))
    }

    fn suffixed(&mut self, value: u64) -> Literal {
        if matches!(self.peek(0), Some('u' | 'U')) {
            self.at += 1;
            return Literal::Uint(value);
        }
        Literal::Int(value)
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let begin = self.at;
        while self.peek(0).is_some_and(&wanted) {
            self.at += 1;
        }
        self.chars[begin..self.at].iter().collect()
    }

    /// Letters before a quote: `r` for raw, `b` for bytes; `None` when no string begins here.
    fn string_prefix(&self) -> Option<String> {
        let letters: String =
            self.chars[self.at..].iter().take_while(|c| matches!(c, 'r' | 'R' | 'b' | 'B')).take(3).collect();
        let quote = self.peek(letters.len())?;
        let letters = letters.to_ascii_lowercase();
        (matches!(quote, '"' | '\'') && matches!(letters.as_str(), "" | "r" | "b" | "br" | "rb"))
            .then_some(letters)
    }

    fn string(&mut self, prefix: String) -> Result<Literal, String> {
        self.at += prefix.len();
        let (raw, bytes) = (prefix.contains('r'), prefix.contains('b'));
        let quote = self.peek(0).unwrap_or_default();
        let triple = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        let width = if triple { 3 } else { 1 };
        self.at += width;
        let mut out = Unescaped { text: String::new(), bytes: Vec::new(), is_bytes: bytes };
        loop {
            let Some(next) = self.peek(0) else { return Err("Syntax error: unterminated string".to_owned()) };
            if (0..width).all(|ahead| self.peek(ahead) == Some(quote)) {
                self.at += width;
                break;
            }
            if !triple && matches!(next, '\n' | '\r') {
                return Err("Syntax error: unterminated string".to_owned());
            }
            self.at += 1;
            if next == '\\' && !raw {
                self.escape(&mut out)?;
            } else {
                out.push(next);
            }
        }
        Ok(if bytes { Literal::Bytes(out.bytes) } else { Literal::String(out.text) })
    }

    fn escape(&mut self, out: &mut Unescaped) -> Result<(), String> {
        let bad = || "invalid escape sequence".to_owned();
        let Some(letter) = self.peek(0) else { return Err(bad()) };
        self.at += 1;
        let plain = match letter {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' | '?' | '"' | '\'' | '`' => letter,
            'x' | 'X' => return out.octet(self.digits(2, 16).ok_or_else(bad)?),
            'u' if !out.is_bytes => return out.code_point(self.digits(4, 16).ok_or_else(bad)?),
            'U' if !out.is_bytes => return out.code_point(self.digits(8, 16).ok_or_else(bad)?),
            '0'..='3' => {
                self.at -= 1;
                return out.octet(self.digits(3, 8).ok_or_else(bad)?);
            }
            _ => return Err(bad()),
        };
        out.push(plain);
        Ok(())
    }

    fn digits(&mut self, count: usize, radix: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            value = value * radix + self.peek(0)?.to_digit(radix)?;
            self.at += 1;
        }
        Some(value)
    }
}

/// What a literal says, as text or as octets.
struct Unescaped {
    text: String,
    bytes: Vec<u8>,
    is_bytes: bool,
}

impl Unescaped {
    fn push(&mut self, char: char) {
        if self.is_bytes {
            self.bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            self.text.push(char);
        }
    }

    /// An octet in bytes, a code point in text.
    fn octet(&mut self, value: u32) -> Result<(), String> {
        if self.is_bytes {
            self.bytes.push(u8::try_from(value).map_err(|_| "invalid octal escape".to_owned())?);
            return Ok(());
        }
        self.code_point(value)
    }

    fn code_point(&mut self, value: u32) -> Result<(), String> {
        self.text.push(char::from_u32(value).ok_or_else(|| "invalid unicode code point".to_owned())?);
        Ok(())
    }
}
