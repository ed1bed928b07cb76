//! The tour: every lesson's observed result equals the stated one.

use serde_json::Value;

use crate::bed::{Bed, can_run};

/// The lessons of the tour.
const LESSONS: usize = 11;

fn check_tour(bed: &Bed, flags: &[&str]) {
    let output = bed.run(&[&["lab", "tour", "--output", "json"], flags].concat());
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value =
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    let failed: Vec<&Value> =
        report["lessons"].as_array().unwrap().iter().filter(|lesson| lesson["ok"] != true).collect();
    assert!(failed.is_empty(), "{}", serde_json::to_string_pretty(&failed).unwrap());
    assert_eq!((&report["passed"], &report["failed"]), (&LESSONS.into(), &0.into()));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    bed.check_nothing_left("no mark");
    bed.check_state_dir_gone();
}

#[test]
fn every_lesson_of_the_tour_is_as_stated() {
    if can_run("every_lesson_of_the_tour_is_as_stated") {
        check_tour(&Bed::new("tour"), &[]);
    }
}

#[test]
fn every_lesson_is_as_stated_with_ipv6_alone() {
    if can_run("every_lesson_is_as_stated_with_ipv6_alone") {
        check_tour(&Bed::new("tour-ipv6"), &["--ip-family", "ipv6"]);
    }
}

#[test]
fn every_lesson_is_as_stated_on_bridges() {
    if can_run("every_lesson_is_as_stated_on_bridges") {
        check_tour(&Bed::new("tour-bridge"), &["--pod-links", "bridge"]);
    }
}

#[test]
fn an_ordinary_user_takes_the_tour() {
    let Some(bed) = Bed::as_ordinary_user("tour-ordinary") else {
        println!("sealane-skip: an_ordinary_user_takes_the_tour: no ordinary user can reach the binary");
        return;
    };
    if bed.user.is_none() {
        println!(
            "sealane-skip: an_ordinary_user_takes_the_tour: this is an ordinary user, whose tour runs already"
        );
    } else if can_run("an_ordinary_user_takes_the_tour") {
        check_tour(&bed, &[]);
    }
}
