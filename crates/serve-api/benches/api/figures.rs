//! The figures of all rounds, and the table that is printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::subject::Subject;

/// Every value measured, in the order the figures first came up.
#[derive(Default)]
pub(crate) struct Figures {
    order: Vec<&'static str>,
    values: BTreeMap<(&'static str, &'static str), Vec<f64>>,
}

impl Figures {
    pub(crate) fn add(&mut self, subject: &Subject, figure: &'static str, value: f64) {
        if !self.order.contains(&figure) {
            self.order.push(figure);
        }
        self.values.entry((subject.name, figure)).or_default().push(value);
    }

    fn median(&self, subject: &Subject, figure: &'static str) -> Option<f64> {
        let mut values = self.values.get(&(subject.name, figure))?.clone();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    /// One row per figure, one column per subject, and ours divided by the peer's.
    pub(crate) fn table(&self, subjects: &[Subject]) -> String {
        let mut text = format!("{:<42}", "median of the rounds");
        let pairs: Vec<(&Subject, &Subject)> = subjects
            .iter()
            .filter(|subject| subject.is_ours())
            .flat_map(|ours| {
                subjects.iter().filter(|peer| peer.is_peer_of(ours)).map(move |peer| (ours, peer))
            })
            .collect();
        for subject in subjects {
            let _ = write!(text, "{:>26}", subject.name);
        }
        for (ours, _) in &pairs {
            let _ = write!(text, "{:>26}", if ours.durable { "ratio, durable" } else { "ratio, in memory" });
        }
        text.push('\n');
        for figure in &self.order {
            let _ = write!(text, "{figure:<42}");
            for subject in subjects {
                let value = self.median(subject, figure);
                let _ = write!(
                    text,
                    "{:>26}",
                    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
                );
            }
            for (ours, peer) in &pairs {
                let ratio = self.median(ours, figure).zip(self.median(peer, figure));
                let ratio =
                    ratio.map_or_else(|| "-".to_owned(), |(ours, peer)| format!("{:.3}", ours / peer));
                let _ = write!(text, "{ratio:>26}");
            }
            text.push('\n');
        }
        text
    }
}
