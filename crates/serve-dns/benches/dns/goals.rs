//! What is wanted of the ratios, and whether this run reached it.

use crate::figures::{Figure, Figures};
use crate::turns::{OURS, SUBJECTS};

/// What is wanted: beside whom, under which loads, of which figure, at least this ratio.
const GOALS: [(&str, &str, Figure, f64); 5] = [
    ("coredns", "", Figure::PerProcessor, 10.0),
    ("knot", "udp", Figure::PerProcessor, 1.2),
    ("nsd", "udp", Figure::PerProcessor, 1.0),
    ("echo", "udp", Figure::PerProcessor, 0.8),
    ("coredns", "", Figure::Memory, 4.0),
];

/// Prints each goal with what was measured.
pub(crate) fn print(figures: &Figures) {
    let latency = SUBJECTS.into_iter().filter(|peer| !matches!(*peer, OURS | "echo"));
    let latency = latency.map(|peer| (peer, "", Figure::P99, 1.0));
    for (peer, loads, figure, wanted) in GOALS.into_iter().chain(latency) {
        for row in figures.rows().iter().filter(|row| row.1 == figure && row.0.contains(loads)) {
            let Some(ratio) = figures.ratio(OURS, peer, row) else { continue };
            let word = if ratio >= wanted { "reached" } else { "missed" };
            println!("{word}: {figure:?} beside {peer}, {}: {ratio:.2}, wanted {wanted}", row.0);
        }
    }
}
