//! Words to server blocks: keys, directives with their lines, snippets and imports (coredns/caddy, `caddyfile/parse.go`).

mod imports;

use crate::Sources;
use crate::lexer::{Word, words};
use crate::report::Place;

/// Name of the main file in messages: the key of the ConfigMap.
const MAIN_FILE: &str = "Corefile";

/// A server block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerBlock {
    pub(crate) keys: Vec<Word>,
    pub(crate) directives: Vec<Directive>,
}

/// One directive with the lines between its braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directive {
    pub(crate) head: Statement,
    pub(crate) body: Vec<Statement>,
}

/// The words of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) at: Place,
    pub(crate) words: Vec<String>,
}

/// Why a text is no Corefile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokenText {
    pub(crate) at: Place,
    pub(crate) text: String,
    pub(crate) why: String,
}

impl Statement {
    pub(crate) fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The words after the first.
    pub(crate) fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        self.words.join(" ")
    }
}

/// The server blocks of a Corefile.
pub(crate) fn parse(sources: &Sources) -> Result<Vec<ServerBlock>, BrokenText> {
    let words = imports::expand(words(MAIN_FILE, &sources.corefile), sources)?;
    let mut blocks = Vec::new();
    let mut rest = words.as_slice();
    while !rest.is_empty() {
        let block;
        (block, rest) = parse_block(rest)?;
        blocks.push(block);
    }
    Ok(blocks)
}

fn broken(word: &Word, why: impl Into<String>) -> BrokenText {
    BrokenText { at: word.at.clone(), text: word.text.clone(), why: why.into() }
}

/// Keys up to `{` or the end of their line; a comma at the end of a line goes on with the next.
fn parse_block(words: &[Word]) -> Result<(ServerBlock, &[Word]), BrokenText> {
    let mut keys: Vec<Word> = Vec::new();
    let mut rest = words;
    let mut goes_on = false;
    while let [word, tail @ ..] = rest {
        if word.text == "{" || word.text == "}" {
            break;
        }
        let is_new_line = keys.last().is_some_and(|last| last.at != word.at);
        if is_new_line && !goes_on {
            break;
        }
        let text = word.text.trim_end_matches(',');
        goes_on = text.len() < word.text.len();
        if !text.is_empty() {
            keys.push(Word { text: text.to_owned(), at: word.at.clone() });
        }
        rest = tail;
    }
    let has_braces = rest.first().is_some_and(|word| word.text == "{");
    if keys.is_empty() {
        return Err(broken(&words[0], "a server block begins with its zones"));
    }
    if has_braces {
        rest = &rest[1..];
    }
    let (directives, rest) = parse_directives(rest, has_braces, &words[0])?;
    Ok((ServerBlock { keys, directives }, rest))
}

fn parse_directives<'w>(
    words: &'w [Word],
    has_braces: bool,
    first: &Word,
) -> Result<(Vec<Directive>, &'w [Word]), BrokenText> {
    let mut directives = Vec::new();
    let mut rest = words;
    loop {
        match rest {
            [] if has_braces => return Err(broken(first, "the block's closing brace is missing")),
            [] => return Ok((directives, rest)),
            [word, tail @ ..] if word.text == "}" => {
                let why = "there is no opening brace for this one";
                return if has_braces { Ok((directives, tail)) } else { Err(broken(word, why)) };
            }
            [word, ..] if word.text == "{" => {
                return Err(broken(word, "a directive is missing before this brace"));
            }
            _ => {
                let directive;
                (directive, rest) = parse_directive(rest)?;
                directives.push(directive);
            }
        }
    }
}

/// A directive's line, and the lines between its braces where it has some.
fn parse_directive(words: &[Word]) -> Result<(Directive, &[Word]), BrokenText> {
    let (head, mut rest) = parse_line(words);
    let mut body = Vec::new();
    if let [open, tail @ ..] = rest
        && open.text == "{"
        && open.at == head_end(words, tail)
    {
        rest = tail;
        loop {
            match rest {
                [] => return Err(broken(&words[0], "the directive's closing brace is missing")),
                [word, tail @ ..] if word.text == "}" => {
                    rest = tail;
                    break;
                }
                [word, ..] if word.text == "{" => {
                    return Err(broken(word, "directives have one level of braces"));
                }
                _ => {
                    let line;
                    (line, rest) = parse_line(rest);
                    body.push(line);
                }
            }
        }
    }
    Ok((Directive { head, body }, rest))
}

/// Where the last word before the brace is: the brace stands on that line. Quoted words may span lines, and only where a word
/// begins is known, so a brace belongs to its directive wherever it comes next.
fn head_end(words: &[Word], tail: &[Word]) -> Place {
    words[words.len() - tail.len() - 1].at.clone()
}

/// Words of one line, up to a brace.
fn parse_line(words: &[Word]) -> (Statement, &[Word]) {
    let at = words[0].at.clone();
    let is_part = |word: &&Word| word.at == at && word.text != "{" && word.text != "}";
    let number = words.iter().take_while(is_part).count().max(1);
    let (line, rest) = words.split_at(number);
    (Statement { at: at.clone(), words: line.iter().map(|word| word.text.clone()).collect() }, rest)
}

/// The environment variable that a word stands for in part or whole, as `{$NAME}` or `{%NAME%}`.
pub(crate) fn variable(word: &str) -> Option<&str> {
    [("{$", "}"), ("{%", "%}")].into_iter().find_map(|(open, close)| {
        let (_, inner) = word.split_once(open)?;
        let (name, _) = inner.split_once(close)?;
        (!name.is_empty()).then_some(name)
    })
}
