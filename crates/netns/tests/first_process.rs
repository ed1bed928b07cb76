//! A process with one thread enters a world with a PID namespace, is its first process, and hands its status out.

use std::path::Path;
use std::{fs, process};

use sealane_netns::NetnsError;
use sealane_netns::world::{ProcMount, World, mount_tmpfs};

fn main() {
    let world = World::new().with_pids().with_host_name().with_ipc().dying_with_parent();
    let entered = match world.enter() {
        Ok(entered) => entered,
        Err(error @ NetnsError::NotAllowed { .. }) => {
            println!("sealane-skip: first_process: {error}");
            return;
        }
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(process::id(), 1);
    nix::unistd::sethostname("first-process").expect("the host name is this world's own");
    mount_tmpfs(Path::new("/run")).expect("root inside may mount");
    assert_eq!(fs::read_dir("/run").expect("just mounted").count(), 0);
    if entered.proc == ProcMount::Fresh {
        let processes = fs::read_dir("/proc").expect("mounted").flatten();
        let numbers = processes.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
        assert_eq!(numbers.count(), 1, "only this process is in the namespace");
    }
    println!("the first process is done: {entered:?}");
    // Handed on by the process outside, for which any other number would be a failed test.
    process::exit(0);
}
