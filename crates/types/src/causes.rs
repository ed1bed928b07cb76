//! An error with its causes, in one line for a person.

use std::error::Error;

/// The error and what caused it, joined by colons; what a message already says of its cause is not said again.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = error.to_string();
        if !text.contains(&line) {
            text = format!("{text}: {line}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Failure {
        text: &'static str,
        source: Option<Box<Failure>>,
    }

    fn mk_failure(texts: &[&'static str]) -> Option<Box<Failure>> {
        let (text, rest) = texts.split_first()?;
        Some(Box::new(Failure { text, source: mk_failure(rest) }))
    }

    #[test]
    fn every_cause_is_told_once() {
        let told = |texts: &[&'static str]| with_causes(mk_failure(texts).expect("one at least").as_ref());
        assert_eq!(told(&["cannot start"]), "cannot start");
        assert_eq!(told(&["cannot start", "no socket", "busy"]), "cannot start: no socket: busy");
        assert_eq!(told(&["cannot start: busy", "busy"]), "cannot start: busy");
    }
}
