//! What became of each line.

use std::fmt;

use crate::parse::{ServerBlock, Statement};

/// Where a line is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file's name, without directories.
    pub file: String,
    /// Its number, from 1.
    pub line: u32,
}

/// A line that says something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Where it is.
    pub at: Place,
    /// Its words, with one space between them.
    pub text: String,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It has its effect.
    Taken,
    /// It has its effect, and CoreDNS would not know it.
    Own {
        /// What it means.
        how: String,
    },
    /// It has nothing to say here, because of this.
    Needless {
        /// Why.
        why: String,
    },
    /// It is taken with another meaning.
    Changed {
        /// What it means here.
        how: String,
    },
    /// It has no effect.
    NotTaken {
        /// Why.
        why: String,
        /// What to do; empty when there is nothing.
        instead: String,
    },
    /// CoreDNS could not read it either.
    Broken {
        /// What is wrong.
        why: String,
    },
}

impl Verdict {
    /// Whether somebody should know of it.
    #[must_use]
    pub fn is_note(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::NotTaken { .. } | Self::Broken { .. })
    }

    pub(crate) fn broken(why: impl Into<String>) -> Self {
        Self::Broken { why: why.into() }
    }

    pub(crate) fn own(how: impl Into<String>) -> Self {
        Self::Own { how: how.into() }
    }

    pub(crate) fn changed(how: impl Into<String>) -> Self {
        Self::Changed { how: how.into() }
    }

    pub(crate) fn not_taken(why: impl Into<String>, instead: impl Into<String>) -> Self {
        Self::NotTaken { why: why.into(), instead: instead.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => f.write_str("taken"),
            Self::Own { how } => write!(f, "taken, though CoreDNS does not know it: {how}"),
            Self::Needless { why } => write!(f, "needless here: {why}"),
            Self::Changed { how } => write!(f, "taken with another meaning: {how}"),
            Self::NotTaken { why, instead } if instead.is_empty() => write!(f, "not taken: {why}"),
            Self::NotTaken { why, instead } => write!(f, "not taken: {why}; {instead}"),
            Self::Broken { why } => write!(f, "cannot be read: {why}"),
        }
    }
}

/// Collects lines.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
}

impl Report {
    pub(crate) fn add(&mut self, at: Place, text: String, verdict: Verdict) {
        self.lines.push(Line { at, text, verdict });
    }

    pub(crate) fn tell(&mut self, statement: &Statement, verdict: Verdict) {
        self.add(statement.at.clone(), statement.text(), verdict);
    }

    /// Whether the line was taken.
    pub(crate) fn settle(&mut self, statement: &Statement, outcome: Result<(), Verdict>) -> bool {
        let is_taken = !matches!(outcome, Err(Verdict::NotTaken { .. } | Verdict::Broken { .. }));
        self.tell(statement, outcome.err().unwrap_or(Verdict::Taken));
        is_taken
    }

    /// The directives of a block that is not taken are told of by its keys.
    pub(crate) fn skip_directives(&mut self, block: &ServerBlock) {
        for directive in &block.directives {
            self.tell(&directive.head, Verdict::not_taken("its server block is not taken", ""));
        }
    }

    /// In order of files and lines, each once: a snippet is imported several times.
    pub(crate) fn into_lines(self) -> Vec<Line> {
        let mut lines = self.lines;
        lines.sort();
        lines.dedup();
        lines
    }
}
