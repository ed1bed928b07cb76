//! Host programs inside a Pod: started, signalled, waited for.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use engine_kubelet::environment::Variables;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serve_api::{ByteReader, LogSource};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::console::Console;
use crate::logs::RunLog;
use crate::rootfs::PROGRAM_DIR;
use crate::sandbox::Entrance;
use crate::terminal;

/// How long output may still come after a program ended; a child it left behind may hold its pipes.
const OUTPUT_GRACE: Duration = Duration::from_millis(300);

/// A program with its arguments, environment and place.
#[derive(Debug)]
pub struct Launch {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment.
    pub variables: Variables,
    /// Where it runs.
    pub entrance: Entrance,
}

/// A running host program.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    group: Pid,
    output: Vec<JoinHandle<()>>,
    console: Arc<Console>,
}

/// The environment that every program in a Pod starts from.
#[must_use]
pub(crate) fn base_variables(host_path: &str, host_name: &str) -> Variables {
    [
        ("PATH", format!("{host_path}:{PROGRAM_DIR}")),
        ("HOME", "/tmp".to_owned()),
        ("HOSTNAME", host_name.to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Whether this machine has a program, as a shell would find it.
#[must_use]
pub(crate) fn is_here(program: &str, host_path: &str) -> bool {
    let is_executable =
        |path: &Path| path.is_file() && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok();
    if program == "sealane" {
        return true;
    }
    if program.contains('/') {
        return is_executable(Path::new(program));
    }
    host_path.split(':').any(|directory| is_executable(&Path::new(directory).join(program)))
}

/// A command that starts inside a Pod, in a process group of its own.
#[must_use]
pub(crate) fn command(launch: Launch) -> Command {
    let Launch { argv, variables, entrance } = launch;
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).env_clear().envs(variables).stdin(Stdio::null()).kill_on_drop(true);
    // SAFETY: between fork and exec, the closure makes system calls only.
    unsafe {
        command.pre_exec(move || {
            nix::unistd::setsid()?;
            entrance.enter()
        });
    }
    command
}

/// Starts a container's program with its output going to a log and to whoever joins its console.
///
/// # Errors
/// When the program cannot be executed.
pub(crate) fn start(launch: Launch, log: &Arc<RunLog>, console: &Arc<Console>) -> std::io::Result<Process> {
    let carry = |from, source| {
        let (console, log) = (Arc::clone(console), Arc::clone(log));
        tokio::spawn(async move { console.carry(from, source, &log).await })
    };
    let (child, output) = if console.wishes.tty {
        let (child, terminal) = terminal::start(launch)?;
        console.has_terminal(terminal.clone());
        (child, vec![carry(Box::new(terminal) as ByteReader, LogSource::Stdout)])
    } else {
        let mut command = command(launch);
        if console.wishes.stdin {
            command.stdin(Stdio::piped());
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(stdin) = child.stdin.take() {
            console.has_stdin(Box::new(stdin));
        }
        let stdout = child.stdout.take().expect("stdout is a pipe");
        let stderr = child.stderr.take().expect("stderr is a pipe");
        (child, vec![carry(Box::new(stdout), LogSource::Stdout), carry(Box::new(stderr), LogSource::Stderr)])
    };
    let group = group_of(&child);
    Ok(Process { child, group, output, console: Arc::clone(console) })
}

/// The process group of a child just started.
#[must_use]
pub(crate) fn group_of(child: &Child) -> Pid {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).expect("a child just started has a number");
    Pid::from_raw(pid)
}

impl Process {
    /// The process group, for signals.
    #[must_use]
    pub(crate) fn group(&self) -> Pid {
        self.group
    }

    /// Waits for the end, and for the last of the output; what the program left behind in its group is killed.
    pub(crate) async fn wait(mut self) -> i32 {
        let status = self.child.wait().await;
        kill_group(self.group, Signal::SIGKILL);
        for output in self.output {
            let _ = tokio::time::timeout(OUTPUT_GRACE, output).await;
        }
        self.console.end().await;
        status.map_or(255, exit_code)
    }
}

/// Sends a signal to all of a group; it may have ended.
pub(crate) fn kill_group(group: Pid, signal: Signal) {
    let _ = killpg(group, signal);
}

/// The exit code as a shell counts it: 128 + signal when a signal ended the program.
#[must_use]
pub(crate) fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        assert!(is_here("sh", "/nowhere:/bin"));
        assert!(is_here("/bin/sh", ""));
        assert!(!is_here("sh", "/nowhere"));
        assert!(!is_here("/docker-entrypoint.sh", "/bin"));
    }
}
