//! Comparing a scenario with the plans: its expected sections as text, its probes one by one.

use std::collections::BTreeSet;

use crate::scenario::Scenario;
use crate::traced::TracedWorld;
use crate::walk::{Fate, walk};
use crate::world::World;
use crate::{Probe, show};

/// A probe whose statement and fate differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The probe's line.
    pub probe: String,
    /// What became of it.
    pub actual: String,
}

/// The scenario's text with every expected section as the plans are now; equal to the file when all is as stated.
#[must_use]
pub fn rewrite(scenario: &Scenario, world: &World) -> String {
    let mut text = String::new();
    for section in &scenario.sections {
        if !section.title.is_empty() {
            text.push_str(&format!("== {}\n", section.title));
        }
        let words: Vec<&str> = section.title.split_whitespace().collect();
        match show::show(world, &words, &section.body) {
            Some(actual) => {
                text.push_str(&actual);
                text.push('\n');
            }
            None => text.push_str(&section.body),
        }
    }
    let trimmed = text.trim_end();
    format!("{trimmed}\n")
}

/// Works out every probe from the plans, and returns those that end otherwise than stated.
#[must_use]
pub fn check_probes(scenario: &Scenario, world: &World) -> Vec<Mismatch> {
    scenario.probes.iter().filter_map(|probe| check(world, probe)).collect()
}

fn check(world: &World, probe: &Probe) -> Option<Mismatch> {
    let actual = match world.resolve(probe) {
        Ok(resolved) => {
            let fates = walk(world, &resolved);
            if probe.agrees_with(&fates) {
                return None;
            }
            format!("{fates:?}")
        }
        Err(why) => why,
    };
    Some(Mismatch { probe: probe.to_string(), actual })
}

/// Sends every probe through the rules, and returns those whose fate there differs from what the plans say.
#[must_use]
pub fn check_rules(scenario: &Scenario, world: &World) -> Vec<Mismatch> {
    let traced = TracedWorld::new(world);
    let check = |probe: &Probe| {
        let resolved = world.resolve(probe).ok()?;
        let planned: BTreeSet<Fate> = walk(world, &resolved).into_iter().map(Fate::without_reason).collect();
        let actual = traced.trace(&resolved);
        let actual_differs = planned != actual;
        actual_differs.then(|| Mismatch {
            probe: probe.to_string(),
            actual: format!("in the rules {actual:?}, in the plans {planned:?}"),
        })
    };
    scenario.probes.iter().filter_map(check).collect()
}
