//! The plugin `loopback`, as containerd and CRI-O call it for every Pod.

use std::net::{Ipv6Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use netns::{Netns, run_in, world};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;
use serde_json::{Value, json};

use crate::node::{Outcome, call};

/// A namespace as a runtime makes it, with `lo` down; it goes with this value.
struct Sandbox {
    path: PathBuf,
    _keeper: Sender<()>,
}

impl Sandbox {
    fn new() -> Self {
        let (made, making) = channel();
        let (keeper, kept) = channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            made.send(PathBuf::from(format!("/proc/self/task/{}/ns/net", gettid()))).unwrap();
            // Ends with an error when the other end is dropped.
            kept.recv()
        });
        Self { path: making.recv().unwrap(), _keeper: keeper }
    }
}

fn call_loopback(command: &str, netns: &Path, config: &Value) -> Outcome {
    let environment = [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "a"),
        ("CNI_NETNS", &*netns.to_string_lossy()),
        ("CNI_IFNAME", "lo"),
        ("CNI_PATH", "/opt/cni/bin"),
    ];
    call(&environment, config.to_string().as_bytes())
}

fn config(version: &str) -> Value {
    json!({"cniVersion": version, "name": "cni-loopback", "type": "loopback"})
}

#[test]
fn loopback_comes_up_without_an_agent() {
    world::test(|| {
        let sandbox = Sandbox::new();
        let ask = |command, version| call_loopback(command, &sandbox.path, &config(version));
        assert_ne!(ask("CHECK", "1.1.0").status, 0, "it is down");
        let old = ask("ADD", "0.3.1").ok();
        assert_eq!((&old["cniVersion"], &old["interfaces"][0]["name"]), (&json!("0.3.1"), &json!("lo")));
        assert_eq!(old["ips"][0], json!({"address": "127.0.0.1/8", "interface": 0, "version": "4"}));
        let netns = Netns::open(&sandbox.path).unwrap();
        run_in(&netns, || UdpSocket::bind("127.0.0.1:0").map(drop)).unwrap().unwrap();
        let new = ask("ADD", "1.1.0").ok();
        assert_eq!(new["ips"][0], json!({"address": "127.0.0.1/8", "interface": 0}));
        let has_v6 = run_in(&netns, || UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()).unwrap();
        assert_eq!(new["ips"][1]["address"] == "::1/128", has_v6);
        for (command, version) in [("CHECK", "0.4.0"), ("STATUS", "1.1.0"), ("DEL", "0.3.1")] {
            assert_eq!(ask(command, version).ok(), Value::Null, "{command}");
        }
    });
}

#[test]
fn loopback_hands_on_what_was_before_it_and_deletes_what_is_gone() {
    world::test(|| {
        let nowhere = Path::new("/nowhere");
        assert_eq!(call_loopback("DEL", nowhere, &config("1.0.0")).ok(), Value::Null);
        assert_eq!(call_loopback("ADD", nowhere, &config("1.0.0")).code(), 3);
        let sandbox = Sandbox::new();
        let mut config = config("1.0.0");
        let ips = json!([{"address": "10.0.0.1/32", "interface": 0}]);
        config["prevResult"] = json!({"cniVersion": "1.0.0", "interfaces": [{"name": "eth0"}], "ips": ips});
        let answer = call_loopback("ADD", &sandbox.path, &config).ok();
        assert_eq!((&answer["ips"], &answer["interfaces"][0]["name"]), (&ips, &json!("eth0")));
    });
}
