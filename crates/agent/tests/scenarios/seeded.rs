//! Clusters that nobody thought of, with real packets: who is reached and which source is seen are as the plans say.
//!
//! Each run draws others; `SEALANE_SEED` repeats one.

use std::time::{SystemTime, UNIX_EPOCH};

use compile::TunnelMode;
use netns::world;
use testkit::{Probe, RuleSeed, Seeds};
use types::{IpFamily, NetworkMode};

use crate::cluster::Cluster;
use crate::judge::Trial;
use crate::sweep::{Others, lines};

/// Clusters of one run.
const CASES: u64 = 6;
/// Connections tried in each.
const TRIALS: usize = 80;

#[test]
fn in_any_cluster_packets_do_as_planned() {
    world::test(|| run(NetworkMode::Routed));
}

#[test]
fn in_any_cluster_packets_do_as_planned_on_bridges() {
    world::test(|| run(NetworkMode::Bridge));
}

fn run(links: NetworkMode) {
    let now = || u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
    let seed = std::env::var("SEALANE_SEED").map_or_else(|_| now(), |text| text.parse().unwrap());
    let mut sent = 0;
    for case in 0..CASES {
        let mut numbers = Numbers(seed.wrapping_add(case));
        let seeds = draw(&mut numbers);
        let tunnel = if numbers.one_of(2) == 0 { TunnelMode::Vxlan } else { TunnelMode::Direct };
        let world = seeds.world(tunnel);
        let mut probes: Vec<Probe> =
            lines(&world, &Others::of(seeds.family)).iter().map(|line| Probe::parse(line).unwrap()).collect();
        while probes.len() > TRIALS {
            probes.swap_remove(numbers.one_of(probes.len()));
        }
        let trials: Vec<Trial<'_>> =
            probes.iter().map(|probe| Trial::unstated(&world, probe).unwrap()).collect();
        let wrong = Trial::run_all(&trials, &Cluster::build(&world, &trials, links));
        assert!(
            wrong.is_empty(),
            "SEALANE_SEED={seed}, case {case}, {tunnel:?}: {seeds:?}\n{}",
            wrong.join("\n")
        );
        sent += trials.len();
    }
    println!(
        "sealane-note: {sent} probes sent as packets in {CASES} clusters, SEALANE_SEED={seed}, {links} links"
    );
}

fn draw(numbers: &mut Numbers) -> Seeds {
    let family = if numbers.one_of(2) == 0 { IpFamily::V4 } else { IpFamily::V6 };
    let pods = (0..=numbers.one_of(6)).map(|_| numbers.bytes()).collect();
    let services = (0..=numbers.one_of(3)).map(|_| numbers.bytes()).collect();
    let policies = (0..numbers.one_of(4)).map(|_| (numbers.bytes(), rules(numbers))).collect();
    Seeds { family, pods, services, policies }
}

fn rules(numbers: &mut Numbers) -> Vec<RuleSeed> {
    let some = |numbers: &mut Numbers| (0..numbers.one_of(3)).map(|_| numbers.bytes::<1>()[0]).collect();
    (0..numbers.one_of(3)).map(|_| (some(numbers), some(numbers))).collect()
}

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one.
    fn one_of(&mut self, choices: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(choices).unwrap()).unwrap()
    }

    fn bytes<const COUNT: usize>(&mut self) -> [u8; COUNT] {
        std::array::from_fn(|_| self.next().to_le_bytes()[0])
    }
}
