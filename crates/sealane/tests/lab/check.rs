//! `sealane lab check`: a healthy lab is all good, and what is broken on purpose is named.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use serde_json::Value;

use crate::cluster::Cluster;

/// The results of a node, but for those that are good.
fn wrong(cluster: &Cluster, node: &str) -> Vec<(String, String, String)> {
    let output = cluster.bed.run(&["lab", "check", node, "--output", "json"]);
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let results = told[node].as_array().unwrap();
    assert!(results.len() > 10, "{told:#}");
    let text = |result: &Value, field: &str| result[field].as_str().unwrap_or_default().to_owned();
    let named = |result: &Value| (text(result, "verdict"), text(result, "check"), text(result, "object"));
    let wrong: Vec<_> = results.iter().map(named).filter(|(verdict, ..)| verdict != "good").collect();
    let is_broken = wrong.iter().any(|(verdict, ..)| verdict == "broken");
    assert_eq!(output.status.code(), Some(i32::from(is_broken)), "{told:#}");
    wrong
}

/// Writes a setting in a node's network namespace, which is that of its agent.
fn set(agent: i32, name: &str, value: &str) {
    let (net, user) = (format!("/proc/{agent}/ns/net"), format!("/proc/{agent}/ns/user"));
    let (net, user) = (std::fs::File::open(net).unwrap(), std::fs::File::open(user).unwrap());
    let mut command = Command::new("tee");
    command
        .arg(format!("/proc/sys/{name}"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null());
    // SAFETY: between fork and exec, the closure makes system calls only.
    unsafe {
        command.pre_exec(move || {
            use nix::sched::{CloneFlags, setns};
            use std::os::fd::AsFd as _;
            // Refused where it is the same one already, as for root.
            let _ = setns(user.as_fd(), CloneFlags::CLONE_NEWUSER);
            Ok(setns(net.as_fd(), CloneFlags::CLONE_NEWNET)?)
        });
    }
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), value.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_healthy_lab_is_all_good_and_what_is_broken_is_named() {
    let Some(cluster) = Cluster::open("a_healthy_lab_is_all_good_and_what_is_broken_is_named", "check", &[])
    else {
        return;
    };
    let skipped = vec![("skipped".to_owned(), "CNI configuration".to_owned(), String::new())];
    for node in ["node-a", "node-b", "node-c"] {
        assert_eq!(wrong(&cluster, node), skipped, "{node}");
    }
    let agents = cluster.agents();
    let agent = agents.iter().find(|(name, _)| name == "node-a").unwrap().1;
    let broken = |check: &str, object: &str| ("broken".to_owned(), check.to_owned(), object.to_owned());
    // Again and again: the agent puts its settings back when it looks.
    cluster.wait("both settings are named", || {
        set(agent, "net/ipv4/conf/sealane-vx/rp_filter", "1");
        set(agent, "net/ipv4/ip_forward", "0");
        let found = wrong(&cluster, "node-a");
        let is_named = found.contains(&broken("forwarding", "net/ipv4/ip_forward"))
            && found.contains(&broken("reverse path", "net/ipv4/conf/sealane-vx/rp_filter"));
        is_named.then_some(())
    });
    assert_eq!(wrong(&cluster, "node-b"), skipped);
    let unknown = cluster.bed.run(&["lab", "check", "node-x"]);
    assert!(
        String::from_utf8_lossy(&unknown.stderr)
            .contains("the lab has no node node-x; it has node-a, node-b")
    );
}
