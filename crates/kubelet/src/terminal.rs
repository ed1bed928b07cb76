//! Terminals of programs: made, sized, read and written.

use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use serve_api::TerminalSize;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::process::{Child, Command};

use crate::process::{self, Launch};

/// Starts a program that has a terminal; our end of it.
///
/// # Errors
/// When there is no terminal left, or the program cannot be executed.
pub(crate) fn start(mut launch: Launch) -> std::io::Result<(Child, Terminal)> {
    launch.variables.entry("TERM".to_owned()).or_insert_with(|| "xterm".to_owned());
    let pair = nix::pty::openpty(None, None)?;
    let (ours, theirs) = (pair.master, pair.slave);
    let mut command: Command = process::command(launch);
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
    Ok((child, Terminal(Arc::new(TerminalEnd::new(ours)?))))
}

/// Our end of a terminal; clones are the same terminal.
#[derive(Clone, Debug)]
pub struct Terminal(Arc<TerminalEnd>);

impl Terminal {
    /// Tells the program the size of the screen.
    pub fn set_size(&self, size: TerminalSize) {
        self.0.set_size(size);
    }
}

/// The descriptor.
#[derive(Debug)]
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

impl AsyncRead for Terminal {
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

impl AsyncWrite for Terminal {
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
