//! Ends a lab from another process.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use crate::LabError;
use crate::state::{LabInfo, StateDir, start_time};

/// How long the lab may take to end in order, before it is killed.
const END_LIMIT_MILLIS: u16 = 15_000;
/// How long the kernel may take to end a killed process.
const KILL_LIMIT_MILLIS: u16 = 5_000;

/// Ends the lab of this state directory and removes what is left of it; says which lab that was.
///
/// # Errors
/// When no lab runs there, or it cannot be ended.
pub fn down(state: &StateDir) -> Result<LabInfo, LabError> {
    let info = state.running()?;
    let process = open_process(info.pid)?;
    // The number may have gone to another process between the look and the descriptor; from here on it cannot.
    if start_time(info.pid) != Some(info.start_time) {
        return Err(LabError::NotRunning { state_dir: state.root().to_owned() });
    }
    send(&process, Signal::SIGTERM)?;
    if !has_ended(&process, END_LIMIT_MILLIS)? {
        send(&process, Signal::SIGKILL)?;
        has_ended(&process, KILL_LIMIT_MILLIS)?;
    }
    state.remove()?;
    Ok(info)
}

fn open_process(pid: i32) -> Result<OwnedFd, LabError> {
    // SAFETY: no pointer is passed.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(LabError::system(format!("look at process {pid}"), io::Error::last_os_error()));
    }
    let fd = RawFd::try_from(fd).expect("descriptors fit");
    // SAFETY: the kernel just made it for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn send(process: &OwnedFd, signal: Signal) -> Result<(), LabError> {
    let (fd, signal) = (process.as_raw_fd(), signal as libc::c_int);
    // SAFETY: a null pointer stands for a plain signal.
    let sent = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, std::ptr::null::<libc::siginfo_t>(), 0)
    };
    if sent == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        // It has ended, which is what is wanted.
        error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        error => Err(LabError::system("signal the lab", error)),
    }
}

fn has_ended(process: &OwnedFd, limit_millis: u16) -> Result<bool, LabError> {
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    let ended = poll(&mut fds, PollTimeout::from(limit_millis))
        .map_err(|error| LabError::system("wait for the lab to end", error))?;
    Ok(ended > 0)
}
