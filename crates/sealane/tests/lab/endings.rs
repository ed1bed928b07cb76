//! However a lab ends, nothing of it is left; it can be had once at a time, and by ordinary users.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::bed::{Bed, can_run, mark, signal};

#[test]
fn ctrl_c_leaves_nothing() {
    if !can_run("ctrl_c_leaves_nothing") {
        return;
    }
    let (bed, mark) = (Bed::new("ctrl-c"), mark(1));
    let (mut child, info) = bed.up();
    bed.start_pod(&info, &mark);
    signal(&child, Signal::SIGINT);
    assert!(child.wait().unwrap().success());
    bed.check_nothing_left(&mark);
    bed.check_state_dir_gone();
}

#[test]
fn kill_9_leaves_nothing_but_the_state_directory_and_the_next_lab_starts() {
    if !can_run("kill_9_leaves_nothing_but_the_state_directory_and_the_next_lab_starts") {
        return;
    }
    let (bed, mark) = (Bed::new("kill-9"), mark(2));
    let (mut child, info) = bed.up();
    bed.start_pod(&info, &mark);
    signal(&child, Signal::SIGKILL);
    child.wait().unwrap();
    bed.check_nothing_left(&mark);
    let (mut child, _) = bed.up();
    signal(&child, Signal::SIGTERM);
    assert!(child.wait().unwrap().success());
    bed.check_nothing_left(&mark);
    bed.check_state_dir_gone();
}

#[test]
fn a_detached_lab_is_one_of_its_kind_and_ends_with_down() {
    if !can_run("a_detached_lab_is_one_of_its_kind_and_ends_with_down") {
        return;
    }
    let bed = Bed::new("down");
    let up = bed.run(&["lab", "up", "--detach", "--output", "json", "--nodes", "1"]);
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    let info: Value = serde_json::from_slice(&up.stdout).unwrap();
    assert_eq!(info["nodes"], json!(["node-a"]));

    let again = bed.run(&["lab", "up"]);
    assert!(!again.status.success());
    let why = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(why.contains("a lab is already running") && why.contains("sealane lab down"), "{why}");

    let status = bed.run(&["lab", "status", "--output", "json"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["nodes"], json!([{ "name": "node-a", "ready": true }]));

    let down = bed.run(&["lab", "down"]);
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    bed.check_nothing_left("no Pod was started");
    bed.check_state_dir_gone();
    let why = bed.run(&["lab", "down"]);
    assert!(String::from_utf8_lossy(&why.stderr).contains("no lab is running in"));
}

#[test]
fn run_gives_the_command_a_cluster_and_returns_its_status() {
    if !can_run("run_gives_the_command_a_cluster_and_returns_its_status") {
        return;
    }
    let bed = Bed::new("run");
    let script = "test -r \"$KUBECONFIG\" && echo \"$SEALANE_HTTP\" && exit 7";
    let output = bed.run(&["lab", "run", "--nodes", "1", "--", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("127.0.0.1:"));
    bed.check_nothing_left("no Pod was started");
    bed.check_state_dir_gone();
}

#[test]
fn an_ordinary_user_has_labs_too() {
    let Some(bed) = Bed::as_ordinary_user("ordinary") else {
        println!("sealane-skip: an_ordinary_user_has_labs_too: no ordinary user can reach the binary");
        return;
    };
    if !can_run("an_ordinary_user_has_labs_too") {
        return;
    }
    let mark = mark(3);
    let (mut child, info) = bed.up();
    bed.start_pod(&info, &mark);
    signal(&child, Signal::SIGKILL);
    child.wait().unwrap();
    bed.check_nothing_left(&mark);
}

#[test]
fn a_taken_port_is_named_with_what_to_do() {
    let bed = Bed::new("port");
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let output = bed.run(&["lab", "up", "--http-port", &port]);
    assert!(!output.status.success());
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        why.contains(&format!("port {port} on 127.0.0.1 is taken")) && why.contains("--http-port"),
        "{why}"
    );
    bed.check_state_dir_gone();
}
