//! One kernel test in a world of its own: the test binary starts itself again for that test.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use super::enter::{World, hint, mount_tmpfs};
use crate::{NetnsError, link};

/// How long one test may take before its processes are ended.
pub const TEST_DEADLINE: Duration = Duration::from_secs(120);

const VARIABLE: &str = "SEALANE_WORLD_TEST";
const INSIDE: &str = "sealane-world: inside";
const SKIP: &str = "sealane-skip:";
/// Lines that a test prints for its reader although it passes.
const NOTE: &str = "sealane-note:";

/// Where the caller of [`rerun`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rerun {
    /// In the new world: do the test.
    Inside,
    /// Outside, and the test has passed inside: return.
    Done,
    /// Outside, and there is no inside on this machine; the skip line is printed: return.
    Skipped,
}

/// Runs `body` in a new world, under the name of the test that calls it.
///
/// # Panics
/// When the test fails inside, with everything it printed.
pub fn test(body: impl FnOnce()) {
    let thread = thread::current();
    let name = thread.name().filter(|name| *name != "main");
    let name = name.expect("the test harness names the thread of a test after the test");
    if rerun(name) == Rerun::Inside {
        body();
    }
}

/// Starts this test binary again for the test `name`, in a new world, unless this already is that process.
///
/// # Panics
/// When the test fails inside, with everything it printed.
#[must_use]
pub fn rerun(name: &str) -> Rerun {
    if env::var(VARIABLE).is_ok_and(|value| value == name) {
        println!("{INSIDE}");
        furnish().expect("a new world can be furnished");
        return Rerun::Inside;
    }
    match run_inside(name) {
        Ok(output) => {
            // Skips inside must be seen outside; the harness may have begun the line with the test's name.
            let found = |line: &'_ str| line.find(SKIP).or_else(|| line.find(NOTE));
            let lines = output.lines().filter_map(|line| found(line).map(|at| &line[at..]));
            lines.for_each(|line| println!("{line}"));
            Rerun::Done
        }
        Err(Outcome::NotAllowed(error)) => {
            println!("{SKIP} {name}: no user and network namespaces ({error}): {}", hint());
            Rerun::Skipped
        }
        Err(Outcome::Failed { why, output }) => panic!("{name}: {why}; it printed:\n{output}"),
    }
}

/// Where a named network namespace of a test belongs; `ip netns` looks there too.
#[must_use]
pub fn netns_path(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// An empty directory of the test, made if missing.
///
/// # Panics
/// When it cannot be made, because this is not inside [`test`].
#[must_use]
pub fn scratch(name: &str) -> PathBuf {
    let directory = Path::new("/run/test").join(name);
    fs::create_dir_all(&directory).expect("`/run` is an empty tmpfs in a test's world");
    directory
}

enum Outcome {
    NotAllowed(io::Error),
    Failed { why: String, output: String },
}

fn furnish() -> Result<(), NetnsError> {
    link::bring_up_loopback()?;
    mount_tmpfs(Path::new("/run"))?;
    fs::create_dir("/run/netns").map_err(|error| NetnsError::step("create /run/netns", error))
}

fn run_inside(name: &str) -> Result<String, Outcome> {
    let failed = |why: String, output: &str| Outcome::Failed { why, output: output.to_owned() };
    let broken = |error: io::Error| failed(format!("cannot start the test again: {error}"), "");
    let mut output = memory_file().map_err(broken)?;
    let mut command = Command::new(env::current_exe().map_err(broken)?);
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, name)
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(broken)?)
        .stderr(output.try_clone().map_err(broken)?)
        .process_group(0);
    World::new().dying_with_parent().enter_on_exec(&mut command);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if is_refusal(&error) => return Err(Outcome::NotAllowed(error)),
        Err(error) => return Err(broken(error)),
    };
    let ended = wait(&child, TEST_DEADLINE);
    // The test leads its process group; whatever it started and left behind ends here.
    kill_group(&child);
    let status = child.wait().map_err(broken)?;
    let mut text = Vec::new();
    output.rewind().and_then(|()| output.read_to_end(&mut text)).map_err(broken)?;
    let text = String::from_utf8_lossy(&text);
    if !ended {
        return Err(failed(format!("not done after {} s", TEST_DEADLINE.as_secs()), &text));
    }
    if !status.success() {
        return Err(failed("failed inside its world".to_owned(), &text));
    }
    if !text.lines().any(|line| line.ends_with(INSIDE)) {
        return Err(failed("no test of this name ran inside".to_owned(), &text));
    }
    Ok(text.into_owned())
}

fn is_refusal(error: &io::Error) -> bool {
    // user_namespaces(7) and unshare(2): not permitted, limit reached (either of two), not compiled in, seccomp.
    let refusals = [libc::EPERM, libc::EACCES, libc::ENOSPC, libc::EUSERS, libc::EINVAL, libc::ENOSYS];
    error.raw_os_error().is_some_and(|code| refusals.contains(&code))
}

/// Not a pipe: a process that outlives the test would keep a pipe open.
fn memory_file() -> io::Result<File> {
    // SAFETY: the name is a static string that ends in a zero byte.
    let fd = unsafe { libc::memfd_create(c"sealane-test-output".as_ptr(), libc::MFD_CLOEXEC) };
    // SAFETY: the descriptor was just made and belongs to nobody else.
    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(unsafe { File::from_raw_fd(fd) }) }
}

fn wait(child: &Child, deadline: Duration) -> bool {
    let pid = libc::pid_t::try_from(child.id()).expect("a process id");
    // SAFETY: no pointer is passed.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = libc::c_int::try_from(fd).expect("a descriptor");
    assert!(fd >= 0, "Linux 5.3 or newer is needed: {}", io::Error::last_os_error());
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let limit = libc::c_int::try_from(deadline.as_millis()).expect("the deadline is a few minutes");
    loop {
        // SAFETY: one `pollfd`, which outlives the call.
        match unsafe { libc::poll(&raw mut poll, 1, limit) } {
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            ready => return ready == 1,
        }
    }
}

fn kill_group(child: &Child) {
    let pid = libc::pid_t::try_from(child.id()).expect("a process id");
    // SAFETY: no pointer is passed. The child is not waited for yet, so the group's number cannot belong to another.
    unsafe { libc::kill(-pid, libc::SIGKILL) };
}
