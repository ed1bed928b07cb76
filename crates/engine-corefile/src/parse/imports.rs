//! Snippets and imports: words to the words that they stand for.

use std::collections::BTreeMap;

use super::{BrokenText, broken};
use crate::Sources;
use crate::lexer::{Word, words};

/// How deep imports may lead to imports; more is a circle.
const MAX_DEPTH: usize = 16;
/// How many words a Corefile may have with all its imports.
const MAX_WORDS: usize = 200_000;

/// Snippets by name, without parentheses.
type Snippets = BTreeMap<String, Vec<Word>>;

/// All words, with snippets taken out and imports put in.
pub(super) fn expand(words: Vec<Word>, sources: &Sources) -> Result<Vec<Word>, BrokenText> {
    let mut snippets = Snippets::new();
    let mut expanded = Vec::new();
    expand_into(&words, sources, &mut snippets, (&mut expanded, 0))?;
    Ok(expanded)
}

fn expand_into(
    words: &[Word],
    sources: &Sources,
    snippets: &mut Snippets,
    (expanded, depth): (&mut Vec<Word>, usize),
) -> Result<(), BrokenText> {
    let mut rest = words;
    let mut level = 0_usize;
    let mut last = None;
    while let [word, tail @ ..] = rest {
        if expanded.len() > MAX_WORDS {
            return Err(broken(word, "the imports make this text too long"));
        }
        let begins_line = last != Some(&word.at);
        last = Some(&word.at);
        rest = tail;
        match word.text.as_str() {
            "import" if begins_line => {
                rest = import(word, tail, sources, snippets, (expanded, depth))?;
                continue;
            }
            name if level == 0 && begins_line && is_snippet(name) && is_open(tail) => {
                let body;
                (body, rest) = snippet_body(word, tail)?;
                let name = name[1..name.len() - 1].to_owned();
                if snippets.insert(name, body.to_vec()).is_some() {
                    return Err(broken(word, "there is another snippet of this name"));
                }
                continue;
            }
            "{" => level += 1,
            "}" => level = level.saturating_sub(1),
            _ => {}
        }
        expanded.push(word.clone());
    }
    Ok(())
}

fn is_snippet(name: &str) -> bool {
    name.len() > 2 && name.starts_with('(') && name.ends_with(')')
}

fn is_open(words: &[Word]) -> bool {
    words.first().is_some_and(|word| word.text == "{")
}

/// The words between a snippet's braces, and those after them.
fn snippet_body<'w>(name: &Word, words: &'w [Word]) -> Result<(&'w [Word], &'w [Word]), BrokenText> {
    let mut level = 0_usize;
    for (index, word) in words.iter().enumerate() {
        match word.text.as_str() {
            "{" => level += 1,
            "}" if level == 1 => return Ok((&words[1..index], &words[index + 1..])),
            "}" => level -= 1,
            _ => {}
        }
    }
    Err(broken(name, "the snippet's closing brace is missing"))
}

/// Puts in what the word after `import` names; gives the words after it.
fn import<'w>(
    import: &Word,
    rest: &'w [Word],
    sources: &Sources,
    snippets: &mut Snippets,
    (expanded, depth): (&mut Vec<Word>, usize),
) -> Result<&'w [Word], BrokenText> {
    let [name, rest @ ..] = rest else { return Err(broken(import, "what to import is missing")) };
    if name.at != import.at {
        return Err(broken(import, "what to import is missing"));
    }
    if depth == MAX_DEPTH {
        return Err(broken(import, "imports lead to each other"));
    }
    let name = Word { text: name.text.clone(), at: import.at.clone() };
    if let Some(body) = snippets.get(&name.text).cloned() {
        expand_into(&body, sources, snippets, (expanded, depth + 1))?;
        return Ok(rest);
    }
    let pattern = name.text.rsplit('/').next().unwrap_or_default();
    let files = sources.files.iter().filter(|(file, _)| is_match(pattern, file));
    let files = files.map(|(file, text)| words(file, text)).collect::<Vec<_>>();
    if files.is_empty() && !pattern.contains('*') {
        let why =
            format!("no key {pattern} in ConfigMap coredns or coredns-custom, and no snippet of this name");
        return Err(broken(&name, why));
    }
    for file in files {
        expand_into(&file, sources, snippets, (expanded, depth + 1))?;
    }
    Ok(rest)
}

/// Whether a file's name matches a pattern with at most one `*`.
fn is_match(pattern: &str, file: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == file,
        Some((start, end)) => {
            file.len() >= start.len() + end.len() && file.starts_with(start) && file.ends_with(end)
        }
    }
}
