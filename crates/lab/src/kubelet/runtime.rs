//! Answers the API server's questions about Pods: their logs, and programs run inside them.

use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use nix::sys::signal::Signal;
use serve_api::{ExecRequest, ExecSession, LogRequest, LogStream, PodRuntime, RuntimeError, TerminalSize};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::process::Child;
use tokio::sync::mpsc;
use types::NamespacedName;

use super::pods::Pods;
use super::process::{self, Launch};

/// Terminal sizes that may wait for the program.
const RESIZE_QUEUE: usize = 4;

/// The Pods of this lab, for the API server.
#[derive(Clone, Debug)]
pub struct Runtime {
    pods: Arc<Pods>,
}

impl Runtime {
    /// Answers from these Pods.
    #[must_use]
    pub fn new(pods: Arc<Pods>) -> Self {
        Self { pods }
    }
}

impl PodRuntime for Runtime {
    fn logs(
        &self,
        pod: NamespacedName,
        request: LogRequest,
    ) -> BoxFuture<'static, Result<LogStream, RuntimeError>> {
        let pods = Arc::clone(&self.pods);
        async move {
            let container = pods.find(&pod)?.container(&request.container).map_err(|_| {
                let (container, pod) = (&request.container, &pod.name);
                RuntimeError::NotReady(format!(
                    "container \"{container}\" in pod \"{pod}\" is waiting to start: ContainerCreating"
                ))
            })?;
            if !request.previous {
                return container.log.stream(request);
            }
            match &container.previous {
                Some(log) => log.stream(request),
                None => Err(RuntimeError::Refused(format!(
                    "previous terminated container \"{}\" in pod \"{}\" not found",
                    request.container, pod.name
                ))),
            }
        }
        .boxed()
    }

    fn exec(
        &self,
        pod: NamespacedName,
        request: ExecRequest,
    ) -> BoxFuture<'static, Result<ExecSession, RuntimeError>> {
        let pods = Arc::clone(&self.pods);
        async move {
            let held = pods.find(&pod)?;
            let program = request.command.first().cloned().unwrap_or_default();
            let (container, argv) = (request.container.clone(), request.command.clone());
            // The Pod's view of the file system may have to be made first, with blocking calls.
            let launch = tokio::task::spawn_blocking(move || held.launch(&container, argv))
                .await
                .map_err(|error| RuntimeError::Failed(error.to_string()))??;
            let started =
                if request.tty { with_terminal(launch, &request) } else { with_pipes(launch, &request) };
            started.map_err(|error| not_started(&program, &error))
        }
        .boxed()
    }
}

fn not_started(program: &str, error: &std::io::Error) -> RuntimeError {
    if error.kind() == std::io::ErrorKind::NotFound {
        let text = format!("exec: \"{program}\": executable file not found in $PATH");
        return RuntimeError::Refused(text);
    }
    RuntimeError::Failed(format!("cannot run \"{program}\": {error}"))
}

fn with_pipes(launch: Launch, request: &ExecRequest) -> std::io::Result<ExecSession> {
    let mut command = process::command(launch);
    if request.stdin {
        command.stdin(Stdio::piped());
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take();
    let stdout = child.stdout.take().expect("stdout is a pipe");
    let stderr = child.stderr.take().expect("stderr is a pipe");
    Ok(ExecSession {
        stdin: stdin.map(|stdin| Box::new(stdin) as serve_api::ByteWriter),
        stdout: Box::new(stdout),
        stderr: Box::new(stderr),
        resize: None,
        exit: Ending::of(child).wait().boxed(),
    })
}

fn with_terminal(mut launch: Launch, request: &ExecRequest) -> std::io::Result<ExecSession> {
    launch.variables.entry("TERM".to_owned()).or_insert_with(|| "xterm".to_owned());
    let (ours, theirs) = process::terminal()?;
    let mut command = process::command(launch);
    command.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(theirs);
    // SAFETY: between fork and exec, the closure makes one system call. It runs after the one that made the session.
    unsafe {
        command.pre_exec(|| {
            // SAFETY: no pointer is passed.
            if libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
        });
    }
    let child = command.spawn()?;
    // The command holds the program's end; output ends only when nobody does.
    drop(command);
    let terminal = Arc::new(TerminalEnd::new(ours)?);
    let (sizes, wanted) = mpsc::channel(RESIZE_QUEUE);
    tokio::spawn(resize(Arc::clone(&terminal), wanted));
    let reader = TerminalStream(Arc::clone(&terminal));
    Ok(ExecSession {
        stdin: request.stdin.then(|| Box::new(TerminalStream(terminal)) as serve_api::ByteWriter),
        stdout: Box::new(reader),
        stderr: Box::new(tokio::io::empty()),
        resize: Some(sizes),
        exit: Ending::of(child).wait().boxed(),
    })
}

/// Waits for a program; dropped before its end, it ends the program's whole group.
struct Ending {
    child: Child,
    group: nix::unistd::Pid,
    ended: bool,
}

impl Ending {
    fn of(child: Child) -> Self {
        let group = process::group_of(&child);
        Self { child, group, ended: false }
    }

    async fn wait(mut self) -> i32 {
        let status = self.child.wait().await;
        self.ended = true;
        status.map_or(255, process::exit_code)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.ended {
            process::kill_group(self.group, Signal::SIGHUP);
            process::kill_group(self.group, Signal::SIGKILL);
        }
    }
}

/// Our end of a terminal.
struct TerminalEnd(AsyncFd<OwnedFd>);

impl TerminalEnd {
    fn new(fd: OwnedFd) -> std::io::Result<Self> {
        let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&fd, flags)?;
        let close_on_exec = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC);
        nix::fcntl::fcntl(&fd, close_on_exec)?;
        // SAFETY: the descriptor is owned by the result and stays open as long as it is registered.
        let registered =
            unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE | Interest::WRITABLE) };
        Ok(Self(registered?))
    }

    fn set_size(&self, size: TerminalSize) {
        let size = libc::winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: `size` outlives the call. A program that has ended needs no size.
        let _ = unsafe { libc::ioctl(self.0.get_ref().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    }
}

async fn resize(terminal: Arc<TerminalEnd>, mut sizes: mpsc::Receiver<TerminalSize>) {
    while let Some(size) = sizes.recv().await {
        terminal.set_size(size);
    }
}

/// Reads and writes our end of a terminal.
struct TerminalStream(Arc<TerminalEnd>);

impl AsyncRead for TerminalStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.0.poll_read_ready(cx))?;
            let read = ready.try_io(|fd| {
                nix::unistd::read(fd.get_ref(), buffer.initialize_unfilled()).map_err(std::io::Error::from)
            });
            match read {
                Ok(Ok(length)) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                // pty(7): reading after the last program closed its end fails with EIO; that is the end.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => return Poll::Ready(Ok(())),
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for TerminalStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.0.poll_write_ready(cx))?;
            let written =
                ready.try_io(|fd| nix::unistd::write(fd.get_ref(), bytes).map_err(std::io::Error::from));
            if let Ok(result) = written {
                return Poll::Ready(result);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        // A terminal has no half-close; end of file is the character ^D (EOF of termios(3)).
        Poll::Ready(nix::unistd::write(self.0.0.get_ref(), b"\x04").map(drop).map_err(std::io::Error::from))
    }
}
