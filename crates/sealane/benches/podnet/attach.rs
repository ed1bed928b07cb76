//! How long ADD takes: a plugin is started as a container runtime starts it, for a new network namespace each time.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use netns::Netns;
use nix::sched::{CloneFlags, setns};

/// Calls that are timed.
const CALLS: usize = 31;

/// In a Pod on the network of its node: PLUGIN STATE-DIRECTORY. Prints the median in milliseconds.
pub(crate) fn main(arguments: &[&str]) {
    let [plugin, state] = arguments else { panic!("attach PLUGIN STATE-DIRECTORY") };
    // A runtime calls the plugin on the node's file system; a Pod's is read-only.
    setns(File::open("/proc/1/ns/mnt").unwrap(), CloneFlags::CLONE_NEWNS).unwrap();
    let config = serde_json::json!({
        "cniVersion": "1.0.0", "name": "bench", "type": "sealane", "stateDir": state, "quarantineSeconds": 0,
    });
    println!("{}", median_add(Path::new(plugin), Path::new("/nonexistent"), &config.to_string()));
}

/// The median of ADD in milliseconds; each is followed by a DEL, which is not timed.
pub(crate) fn median_add(plugin: &Path, cni_path: &Path, config: &str) -> f64 {
    // All are kept to the end: the kernel takes long to dismantle a namespace, and holds up whoever makes a link.
    let namespaces: Vec<Netns> = (0..CALLS).map(|_| Netns::create_unnamed().unwrap()).collect();
    let mut times: Vec<Duration> = namespaces
        .iter()
        .enumerate()
        .map(|(index, netns)| {
            let path = format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd());
            let call = |verb| call(plugin, cni_path, config, verb, &format!("bench-{index}"), &path);
            let took = call("ADD");
            call("DEL");
            took
        })
        .collect();
    times.sort();
    times[CALLS / 2].as_secs_f64() * 1e3
}

fn call(plugin: &Path, cni_path: &Path, config: &str, verb: &str, id: &str, netns: &str) -> Duration {
    let start = Instant::now();
    let mut child = Command::new(plugin)
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", id)
        .env("CNI_NETNS", netns)
        .env("CNI_IFNAME", "eth0")
        // A Pod that the API knows: its rules are to be in force when ADD ends.
        .env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=client")
        .env("CNI_PATH", cni_path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(config.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let took = start.elapsed();
    assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stdout));
    took
}
