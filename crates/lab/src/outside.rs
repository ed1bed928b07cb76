//! A place on the lab's underlay: a client there is outside the cluster, as a machine beside the nodes would be.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::sched::{CloneFlags, setns};

use crate::LabError;
use crate::state::{LabInfo, StateDir};

/// A command that runs what it is given as arguments, program first, on the lab's underlay.
///
/// # Errors
/// When the lab has ended.
pub fn outside(lab: &LabInfo) -> Result<Command, LabError> {
    let user = namespace(lab.world_pid, "user")?;
    let network = namespace(lab.world_pid, "net")?;
    let own = std::fs::metadata("/proc/self/ns/user").map_err(|error| gone(lab.world_pid, error))?;
    let theirs = user.metadata().map_err(|error| gone(lab.world_pid, error))?;
    let is_other_user = (own.dev(), own.ino()) != (theirs.dev(), theirs.ino());
    // `env` without assignments runs its arguments; POSIX has it.
    let mut command = Command::new("env");
    // SAFETY: between fork and exec, the closure makes system calls only.
    unsafe {
        command.pre_exec(move || {
            if is_other_user {
                setns(user.as_fd(), CloneFlags::CLONE_NEWUSER)?;
            }
            Ok(setns(network.as_fd(), CloneFlags::CLONE_NEWNET)?)
        });
    }
    Ok(command)
}

/// The network namespace of a node, as a process that [`outside`] started can open it: the lab's files are in a mount
/// namespace of its own.
#[must_use]
pub fn node_netns(lab: &LabInfo, node: &str) -> PathBuf {
    let inside = StateDir::at(&lab.state_dir).netns(node);
    PathBuf::from(format!("/proc/{}/root{}", lab.world_pid, inside.display()))
}

fn namespace(pid: i32, kind: &str) -> Result<File, LabError> {
    File::open(format!("/proc/{pid}/ns/{kind}")).map_err(|error| gone(pid, error))
}

fn gone(pid: i32, error: io::Error) -> LabError {
    LabError::system(format!("enter the lab's namespaces through process {pid}"), error)
}
