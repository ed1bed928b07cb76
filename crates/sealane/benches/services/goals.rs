//! What is to be reached, beside what was.

use crate::figures::{Figures, Row};
use crate::form::Form;
use crate::load::Load;
use crate::turns::{OURS, row_of_load, row_of_traffic, size};

/// The size at which full loads are compared.
const COMPARED: u32 = 10_000;

struct Goal {
    what: String,
    wanted: String,
    figure: Option<f64>,
    is_reached: fn(f64) -> bool,
}

/// Prints one line per goal; `held` is the memory with 10 000 Services and 100 000 endpoints.
pub(crate) fn print(figures: &Figures, services: &[u32], held: Option<f64>) {
    println!("{:<76}{:>10}{:>12}", "goal", "wanted", "figure");
    for goal in goals(figures, services, held) {
        let Some(figure) = goal.figure else {
            println!("{:<76}{:>10}{:>12}", goal.what, goal.wanted, "-");
            continue;
        };
        let verdict = if (goal.is_reached)(figure) { "" } else { "  missed" };
        println!("{:<76}{:>10}{figure:>12.3}{verdict}", goal.what, goal.wanted);
    }
}

fn goals(figures: &Figures, services: &[u32], held: Option<f64>) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (form, wanted, is_reached) in [
        (Form::IptablesLegacy, "≥ 5", (|ratio| ratio >= 5.0) as fn(f64) -> bool),
        (Form::Nft, "≥ 100", |ratio| ratio >= 100.0),
    ] {
        goals.push(Goal {
            what: format!("full load of {COMPARED} Services, times faster than the {form}"),
            wanted: wanted.to_owned(),
            figure: figures.ratio(OURS, &form.to_string(), &row_of_load(size(COMPARED))),
            is_reached,
        });
    }
    for count in services {
        for what in ["one endpoint replaced, ms", "one Service added, ms"] {
            let row = Row { name: format!("{count} Services: {what}"), is_time: true };
            goals.push(Goal {
                what: row.name.clone(),
                wanted: "< 1".to_owned(),
                figure: figures.median(OURS, &row),
                is_reached: |milliseconds| milliseconds < 1.0,
            });
        }
    }
    for load in [Load::Connect, Load::Stream(1)] {
        for count in services {
            let row = row_of_traffic(size(*count), load);
            goals.push(Goal {
                what: format!("{}, to the path without Services", row.name),
                wanted: "≥ 0.97".to_owned(),
                figure: figures.ratio(OURS, &Form::Tracked.to_string(), &row),
                is_reached: |ratio| ratio >= 0.97,
            });
        }
        let ends = services.first().zip(services.last()).filter(|(first, last)| first != last);
        goals.extend(ends.map(|(first, last)| {
            let (few, many) = (row_of_traffic(size(*first), load), row_of_traffic(size(*last), load));
            Goal {
                what: format!("{}, to that with {first}", many.name),
                wanted: "≥ 0.95".to_owned(),
                figure: figures.ratio_of_rows((OURS, &many), (OURS, &few)),
                is_reached: |ratio| ratio >= 0.95,
            }
        }));
    }
    goals.push(Goal {
        what: "10000 Services with 100 000 endpoints: process memory, MB".to_owned(),
        wanted: "< 150".to_owned(),
        figure: held,
        is_reached: |megabytes| megabytes < 150.0,
    });
    goals
}
