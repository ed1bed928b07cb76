//! The question to the node's agent.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use types::{AgentAnswer, AgentRequest};

/// How long the agent may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How long an agent that is being restarted may be away.
pub(crate) const RESTART: Duration = Duration::from_secs(1);

/// How long the runtime is kept waiting for what the agent need not confirm.
pub(crate) const COURTESY: Duration = Duration::from_millis(500);

const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(50);

/// Asks the agent, again while it is being restarted; every question may be asked twice.
pub(crate) fn ask(socket: &Path, request: &AgentRequest) -> io::Result<AgentAnswer> {
    let begin = Instant::now();
    loop {
        match ask_once(socket, request, PATIENCE) {
            Err(error) if is_away(&error) && begin.elapsed() < RESTART => thread::sleep(BETWEEN_ATTEMPTS),
            answer => return answer,
        }
    }
}

/// Asks the agent once.
pub(crate) fn ask_once(path: &Path, request: &AgentRequest, patience: Duration) -> io::Result<AgentAnswer> {
    let mut stream = connect_within(path, patience)?;
    stream.set_read_timeout(Some(patience))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    if answer.is_empty() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&answer)?)
}

fn is_away(error: &io::Error) -> bool {
    let kinds = [
        ErrorKind::NotFound,
        ErrorKind::ConnectionRefused,
        ErrorKind::ConnectionReset,
        ErrorKind::BrokenPipe,
        ErrorKind::UnexpectedEof,
    ];
    kinds.contains(&error.kind())
}

/// Connects, waiting for a busy agent no longer than `patience`, which the standard library cannot.
fn connect_within(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let fd: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let milliseconds = i64::try_from(patience.as_millis()).expect("patience is a few seconds");
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::milliseconds(milliseconds))?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(fd.into())
}
