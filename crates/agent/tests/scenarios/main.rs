//! Scenarios as real packets: every probe of `scenarios/**/*.scn` from a socket to a socket, for an ordinary user.
//!
//! Each scenario gets a network namespace per node, per Pod, and for the outside; its plans are put into the kernel by
//! the same code that the agent runs. Names and HTTP requests are not asked here: sections `questions` and `requests`
//! are answered by the engines, which have tests of their own.
#![allow(clippy::disallowed_methods, reason = "tests read scenario files and start server threads")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cluster;
mod judge;
mod matrix;
mod packets;
mod seeded;
mod servers;
mod sweep;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use netns::world;
use testkit::{Probe, Scenario, World};
use types::{NetworkMode, Protocol};

use crate::judge::Trial;

/// Directories whose scenarios send packets. The others hold none, which a test makes sure of.
const SENT: [&str; 5] = ["lb", "podnet", "policy", "services", "services/flows"];

#[test]
fn services_do_to_packets_what_their_scenarios_say() {
    world::test(|| send_all("services", NetworkMode::Routed));
}

#[test]
fn on_bridges_services_do_to_packets_what_their_scenarios_say() {
    world::test(|| send_all("services", NetworkMode::Bridge));
}

#[test]
fn every_flow_to_a_service_is_as_its_scenario_says() {
    world::test(|| send_all("services/flows", NetworkMode::Routed));
}

#[test]
fn on_bridges_every_flow_to_a_service_is_as_its_scenario_says() {
    world::test(|| send_all("services/flows", NetworkMode::Bridge));
}

#[test]
fn policies_do_to_packets_what_their_scenarios_say() {
    world::test(|| send_all("policy", NetworkMode::Routed));
}

#[test]
fn on_bridges_policies_do_to_packets_what_their_scenarios_say() {
    world::test(|| send_all("policy", NetworkMode::Bridge));
}

#[test]
fn load_balancers_do_to_packets_what_their_scenarios_say() {
    world::test(|| send_all("lb", NetworkMode::Routed));
}

#[test]
fn on_bridges_load_balancers_do_to_packets_what_their_scenarios_say() {
    world::test(|| send_all("lb", NetworkMode::Bridge));
}

#[test]
fn the_pod_network_does_to_packets_what_its_scenarios_say() {
    world::test(|| send_all("podnet", NetworkMode::Routed));
}

#[test]
fn on_bridges_the_pod_network_does_to_packets_what_its_scenarios_say() {
    world::test(|| send_all("podnet", NetworkMode::Bridge));
}

#[test]
fn every_mode_carries_every_family() {
    world::test(|| matrix::run_all(NetworkMode::Routed));
}

#[test]
fn on_bridges_every_mode_carries_every_family() {
    world::test(|| matrix::run_all(NetworkMode::Bridge));
}

#[test]
fn no_scenario_with_probes_is_forgotten() {
    for directory in directories(&root()) {
        let directory = directory.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        if SENT.contains(&directory.as_str()) {
            continue;
        }
        for (name, scenario) in scenarios(&directory) {
            assert_eq!(scenario.probes, [], "{name} has probes: give {directory} a test here");
        }
    }
}

/// Runs the scenarios of a directory one after the other, and tells at the end which went wrong.
fn send_all(directory: &str, links: NetworkMode) {
    let (mut sent, mut unsent, mut without, mut wrong) = (0, Vec::new(), 0, Vec::new());
    for (name, scenario) in scenarios(directory) {
        let (probes, others): (Vec<&Probe>, Vec<&Probe>) =
            scenario.probes.iter().partition(|probe| is_sent(probe));
        unsent.extend(others.iter().map(|probe| format!("{name}: `{probe}`")));
        if probes.is_empty() {
            without += 1;
            continue;
        }
        let world = scenario.world();
        sent += probes.len();
        wrong.extend(send(&world, &probes, links).into_iter().map(|why| format!("{name}: {why}")));
    }
    println!(
        "sealane-note: scenarios/{directory}: {sent} probes sent as packets, {without} scenarios have none"
    );
    for probe in unsent {
        println!("sealane-note: not sent, because SCTP is not spoken here: {probe}");
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Sends the probes of one scenario, and returns what went otherwise than stated.
fn send(world: &World, probes: &[&Probe], links: NetworkMode) -> Vec<String> {
    let trials: Result<Vec<Trial<'_>>, String> =
        probes.iter().map(|probe| Trial::new(world, probe)).collect();
    let trials = match trials {
        Ok(trials) => trials,
        Err(why) => return vec![why],
    };
    let cluster = cluster::Cluster::build(world, &trials, links);
    Trial::run_all(&trials, &cluster)
}

fn is_sent(probe: &Probe) -> bool {
    probe.port.protocol != Protocol::Sctp
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

/// The directories in a directory, and those in them.
fn directories(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    all.extend(all.clone().iter().flat_map(|path| directories(path)));
    all
}

/// The scenarios of a directory, by name.
fn scenarios(directory: &str) -> Vec<(String, Scenario)> {
    let entries = fs::read_dir(root().join(directory)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let paths: BTreeSet<PathBuf> = paths.filter(|path| path.is_file()).collect();
    assert!(!paths.is_empty(), "there are scenarios in {directory}");
    let read = |path: &PathBuf| {
        let name = format!("{directory}/{}", path.file_stem().unwrap().to_string_lossy());
        let scenario = Scenario::parse(&fs::read_to_string(path).unwrap());
        (name.clone(), scenario.unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    paths.iter().map(read).collect()
}
