//! A call that is killed at any moment leaves nothing that DEL or GC of the same container does not remove.
#![allow(clippy::disallowed_methods, reason = "the test kills processes after a measured time")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, process};

use netns::world::{World, mount_tmpfs};
use netns::{Netns, NetnsError, bring_up_loopback};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

/// Longer than an ADD takes on a busy machine; what is killed after the end is a complete ADD.
const LONGEST: Duration = Duration::from_millis(8);
const KILLS: u32 = 160;

fn main() {
    match World::new().with_pids().dying_with_parent().enter() {
        Ok(_) => {}
        Err(error @ NetnsError::NotAllowed { .. }) => {
            println!("sealane-skip: killed: {error}");
            return;
        }
        Err(error) => panic!("{error:?}"),
    }
    bring_up_loopback().expect("the namespace is ours");
    mount_tmpfs(Path::new("/run")).expect("root inside may mount");
    fs::create_dir_all("/run/state").expect("/run is empty");
    let network = r#"{"podCidrs": ["10.244.1.0/24"], "mtu": 1450, "mode": "routed"}"#;
    fs::write("/run/state/network.json", network).expect("the directory is there");
    let agent = start(serve_agent);
    Netns::create(Path::new("/run/netns/a")).expect("the name is free");

    let mut unfinished = 0;
    for round in 0..KILLS {
        let add = start(|| process::exit(call("ADD").1));
        let until = Instant::now() + LONGEST * round / KILLS;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        kill(add, Signal::SIGKILL).expect("it is our child");
        waitpid(add, None).expect("it is our child");
        unfinished += u32::from(!pod_links().is_empty() || has_files());
        let command = if round % 2 == 0 { "DEL" } else { "GC" };
        let (text, status) = call(command);
        assert_eq!(status, 0, "round {round}, {command}: {text}");
        assert_eq!(pod_links(), Vec::<String>::new(), "round {round}, {command}");
        assert!(!has_files(), "round {round}, {command}");
    }
    assert!(unfinished > 0, "no ADD was killed in its middle");
    let (text, status) = call("ADD");
    assert_eq!(status, 0, "{text}");
    println!("{KILLS} calls were killed; {unfinished} left something, and all of it was removed");
    kill(agent, Signal::SIGKILL).expect("it is our child");
    process::exit(0);
}

fn start(child: impl FnOnce()) -> Pid {
    // SAFETY: this process has one thread.
    match unsafe { fork() }.expect("processes are allowed") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            child();
            process::exit(0)
        }
    }
}

fn serve_agent() {
    let _ = fs::remove_file("/run/state/agent.sock");
    let socket = UnixListener::bind("/run/state/agent.sock").expect("the name is free");
    for stream in socket.incoming() {
        let mut stream = stream.expect("the socket is open");
        let mut line = String::new();
        // Whoever asked may have been killed.
        let _ = BufReader::new(&stream).read_line(&mut line);
        let _ = writeln!(stream, r#"{{"ready": {{"revision": 1}}}}"#);
    }
}

fn call(command: &str) -> (String, i32) {
    let pairs = [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "a"),
        ("CNI_NETNS", "/run/netns/a"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/opt/cni/bin"),
    ];
    let environment: BTreeMap<_, _> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let config = r#"{"cniVersion": "1.1.0", "name": "n", "type": "sealane", "stateDir": "/run/state",
                     "cni.dev/valid-attachments": []}"#;
    sealane_cni::run(&environment, config.as_bytes())
}

fn has_files() -> bool {
    fs::read_dir("/run/state/attachments").is_ok_and(|mut entries| entries.next().is_some())
}

fn pod_links() -> Vec<String> {
    let text = fs::read_to_string("/proc/self/net/dev").expect("/proc is mounted");
    let names = text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned());
    names.filter(|name| name.starts_with("sl")).collect()
}
