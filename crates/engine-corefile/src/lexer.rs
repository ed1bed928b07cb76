//! Text to words, as Caddy's lexer does it (coredns/caddy, `caddyfile/lexer.go`).

use crate::report::Place;

/// A word and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) at: Place,
}

/// The words of a text: white space ends one, `"` begins one that ends with the next `"`, and `#` ends the line.
pub(crate) fn words(file: &str, text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut line = 1;
    let mut characters = text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable();
    while let Some(first) = characters.next() {
        let at = Place { file: file.to_owned(), line };
        match first {
            '\n' => line += 1,
            '#' => while characters.next_if(|character| *character != '\n').is_some() {},
            '"' => words.push(Word { text: quoted(&mut characters, &mut line), at }),
            blank if blank.is_whitespace() => {}
            first => {
                let mut text = String::from(first);
                // As in Caddy's, a `#` within a word ends it.
                let is_inside = |character: &char| !character.is_whitespace() && *character != '#';
                while let Some(next) = characters.next_if(is_inside) {
                    text.push(next);
                }
                words.push(Word { text, at });
            }
        }
    }
    words
}

/// Up to the closing quote or the end of the text; only quotes can be escaped.
fn quoted(characters: &mut std::iter::Peekable<std::str::Chars<'_>>, line: &mut u32) -> String {
    let mut text = String::new();
    while let Some(next) = characters.next() {
        match next {
            '"' => break,
            '\\' if characters.next_if_eq(&'"').is_some() => text.push('"'),
            '\n' => {
                *line += 1;
                text.push('\n');
            }
            other => text.push(other),
        }
    }
    text
}
