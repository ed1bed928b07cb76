//! The figures of all rounds, and the table that is printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

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

    fn median(&self, subject: &str, row: &Row) -> Option<f64> {
        let mut values = self.values.get(&(subject.to_owned(), row.clone()))?.clone();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    /// The median over the rounds of ours divided by the peer's of the same round; above 1 is better than the peer.
    fn ratio(&self, ours: &str, peer: &str, row: &Row) -> Option<f64> {
        let of = |subject: &str| self.values.get(&(subject.to_owned(), row.clone()));
        let pairs = of(ours)?.iter().zip(of(peer)?);
        let mut ratios: Vec<f64> =
            pairs.map(|(ours, peer)| if row.is_time { peer / ours } else { ours / peer }).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied()
    }

    /// One row per figure, one column per subject, and the first subject beside each of the others.
    pub(crate) fn table(&self, subjects: &[&str]) -> String {
        let (ours, peers) = subjects.split_first().expect("ours is always there");
        let mut text = format!("{:<36}", "median of the rounds");
        text.extend(subjects.iter().map(|subject| format!("{subject:>16}")));
        text.extend(peers.iter().map(|peer| format!("{:>20}", format!("× {peer}"))));
        text.push('\n');
        for row in &self.rows {
            let _ = write!(text, "{:<36}", row.name);
            text.extend(subjects.iter().map(|it| format!("{:>16}", cell(self.median(it, row), 2))));
            text.extend(peers.iter().map(|peer| format!("{:>20}", cell(self.ratio(ours, peer, row), 3))));
            text.push('\n');
        }
        text
    }
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}

/// What the figures were taken on.
pub(crate) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name").and_then(|rest| rest.split_once(": ")))
        .map_or("unknown processor", |(_, model)| model);
    let count = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("unknown");
    format!("{count} x {model}, Linux {}, load {load} at the start", kernel.trim())
}
