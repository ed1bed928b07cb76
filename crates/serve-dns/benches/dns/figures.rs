//! The figures of all rounds, and the tables that are printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::machine::machine;

/// What is measured: a load, and a figure of it.
pub(crate) type Row = (String, Figure);

/// What is told of a server under a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    /// Answers per second.
    Rate,
    /// Answers per second that the server runs: what one processor could do that has nothing else to do.
    PerProcessor,
    /// Microseconds at most, of 99 answers in 100.
    P99,
    /// MiB.
    Memory,
}

impl Figure {
    fn word(self) -> &'static str {
        match self {
            Self::Rate => "answers/s",
            Self::PerProcessor => "answers per s of CPU",
            Self::P99 => "p99, µs",
            Self::Memory => "memory, MiB",
        }
    }

    fn is_better_when_small(self) -> bool {
        matches!(self, Self::P99 | Self::Memory)
    }
}

/// Every value measured, in the order the rows first came up.
#[derive(Default)]
pub(crate) struct Figures {
    rows: Vec<Row>,
    values: BTreeMap<(&'static str, Row), Vec<f64>>,
}

impl Figures {
    pub(crate) fn add(&mut self, subject: &'static str, row: Row, value: f64) {
        if !self.rows.contains(&row) {
            self.rows.push(row.clone());
        }
        self.values.entry((subject, row)).or_default().push(value);
    }

    fn median(&self, subject: &'static str, row: &Row) -> Option<f64> {
        middle(self.values.get(&(subject, row.clone()))?.clone())
    }

    /// The median over the rounds of ours beside the peer's of the same round; above 1 is better than the peer.
    pub(crate) fn ratio(&self, ours: &'static str, peer: &'static str, row: &Row) -> Option<f64> {
        let of = |subject: &'static str| self.values.get(&(subject, row.clone()));
        let pairs = of(ours)?.iter().zip(of(peer)?);
        let is_small = row.1.is_better_when_small();
        middle(pairs.map(|(ours, peer)| if is_small { peer / ours } else { ours / peer }).collect())
    }

    /// One row per figure, one column per subject, and the first subject beside each other one.
    pub(crate) fn table(&self, subjects: &[&'static str]) -> String {
        let (ours, peers) = subjects.split_first().expect("ours is always there");
        let mut text = format!("{:<44}", "median of the rounds");
        text.extend(subjects.iter().map(|subject| format!("{subject:>11}")));
        text.extend(peers.iter().map(|peer| format!("{:>11}", format!("× {peer}"))));
        text.push('\n');
        for row in &self.rows {
            let _ = write!(text, "{:<44}", format!("{}: {}", row.0, row.1.word()));
            text.extend(subjects.iter().map(|it| format!("{:>11}", cell(self.median(it, row), 0))));
            text.extend(peers.iter().map(|peer| format!("{:>11}", cell(self.ratio(ours, peer, row), 2))));
            text.push('\n');
        }
        text
    }

    /// Every value of every round, for programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        let figures = self.values.iter().map(|((subject, (load, figure)), values)| {
            serde_json::json!({"subject": subject, "load": load, "figure": figure.word(), "rounds": values})
        });
        serde_json::json!({"machine": machine(), "figures": figures.collect::<Vec<_>>()})
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// Between the two in the middle where the number is even: of two rounds, neither is the better one's alone.
fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}
