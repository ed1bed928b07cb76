//! The figures of all rounds, and the table that is printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::machine::machine;

/// What is measured, as a row of the table: its name, and whether a smaller figure is the better one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) is_time: bool,
}

/// Every value measured, in the order the rows first came up.
#[derive(Default)]
pub(crate) struct Figures {
    rows: Vec<Row>,
    values: BTreeMap<(String, Row), Vec<f64>>,
}

impl Figures {
    pub(crate) fn add(&mut self, subject: &str, row: Row, value: f64) {
        if !self.rows.contains(&row) {
            self.rows.push(row.clone());
        }
        self.values.entry((subject.to_owned(), row)).or_default().push(value);
    }

    /// The median over the rounds.
    pub(crate) fn median(&self, subject: &str, row: &Row) -> Option<f64> {
        let mut values = self.values.get(&(subject.to_owned(), row.clone()))?.clone();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    /// The median over the rounds of ours divided by the peer's of the same round; above 1 is better than the peer.
    pub(crate) fn ratio(&self, ours: &str, peer: &str, row: &Row) -> Option<f64> {
        self.ratio_of_rows((ours, row), (peer, row))
    }

    /// The same where the peer's figure stands in another row.
    pub(crate) fn ratio_of_rows(&self, ours: (&str, &Row), peer: (&str, &Row)) -> Option<f64> {
        let of = |(subject, row): (&str, &Row)| self.values.get(&(subject.to_owned(), row.clone()));
        let pairs = of(ours)?.iter().zip(of(peer)?);
        let mut ratios: Vec<f64> = pairs
            .map(|(ours_now, peers)| if ours.1.is_time { peers / ours_now } else { ours_now / peers })
            .collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied()
    }

    /// Every value of every round, for programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        let figures = self.values.iter().map(|((subject, row), values)| {
            let median = self.median(subject, row);
            serde_json::json!({"subject": subject, "figure": row.name, "median": median, "rounds": values})
        });
        serde_json::json!({"machine": machine(), "figures": figures.collect::<Vec<_>>()})
    }

    /// One row per figure whose name begins so, one column per subject, and the first subject beside each other one.
    pub(crate) fn table(&self, subjects: &[&str], beginning: &str) -> String {
        let (ours, peers) = subjects.split_first().expect("ours is always there");
        let mut text = format!("{:<40}", "median of the rounds");
        text.extend(subjects.iter().map(|subject| format!("{subject:>20}")));
        text.extend(peers.iter().map(|peer| format!("{:>22}", format!("× {peer}"))));
        text.push('\n');
        for row in self.rows.iter().filter(|row| row.name.starts_with(beginning)) {
            let _ = write!(text, "{:<40}", row.name);
            text.extend(subjects.iter().map(|it| format!("{:>20}", cell(self.median(it, row), 2))));
            text.extend(peers.iter().map(|peer| format!("{:>22}", cell(self.ratio(ours, peer, row), 3))));
            text.push('\n');
        }
        text
    }
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}
