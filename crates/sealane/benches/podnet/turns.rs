//! The rounds: every subject has its turn at every load.

use crate::distance::Distance;
use crate::figures::{Figures, Row};
use crate::load::Load;
use crate::machine::machine;
use crate::ours::Ours;
use crate::peers::{Peers, Subject};
use crate::{Options, matrix};

const OURS: &str = "sealane";

pub(crate) fn run(options: &Options) {
    println!("{}", machine());
    println!(
        "nodes joined by {}, our Pods {}; {} rounds of {} s",
        options.tunnel, options.pod_links, options.rounds, options.seconds
    );
    if let Err(reason) = &options.plugins {
        println!("no plugins to compare with: {reason}");
    }
    let ours = Ours::open();
    let mut peers = Peers::start(options);
    for reason in &peers.missing {
        println!("{reason}");
    }
    let mut figures = Figures::default();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for (distance, load) in matrix() {
            let row = row(distance, load);
            if !row.name.contains(&options.only) {
                continue;
            }
            figures.add(OURS, row.clone(), ours.run(distance, load, options.seconds));
            for subject in peers.subjects.clone() {
                figures.add(subject.name(), row.clone(), peers.run(subject, distance, load));
            }
        }
        let row = Row { name: "ADD, median, ms".to_owned(), is_time: true };
        if row.name.contains(&options.only) {
            figures.add(OURS, row.clone(), ours.attach());
            if peers.subjects.contains(&Subject::Plugins) {
                figures.add(Subject::Plugins.name(), row, peers.attach());
            }
        }
    }
    let subjects: Vec<&str> =
        [OURS].into_iter().chain(peers.subjects.iter().map(|subject| subject.name())).collect();
    println!("\n× above 1: better than that one\n{}", figures.table(&subjects, ""));
    if let Some(file) = &options.json {
        std::fs::write(file, figures.json().to_string()).unwrap();
    }
}

fn row(distance: Distance, load: Load) -> Row {
    let what = match load {
        Load::Stream(1) => "1 stream, Gbit/s".to_owned(),
        Load::Stream(count) => format!("{count} streams, Gbit/s"),
        Load::RoundTrip => "round trip p50, µs".to_owned(),
        Load::Connect => "connections per second".to_owned(),
        Load::FirstPacket => "first packet p50, µs".to_owned(),
    };
    let place = match distance {
        Distance::Near => "same node",
        Distance::Far => "cross node",
    };
    Row { name: format!("{place}: {what}"), is_time: load.is_time() }
}
