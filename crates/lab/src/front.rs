//! The process in the host's namespaces: opens the sockets, starts the lab's own process, ends with it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::Flock;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::process::{Child, Command};

use crate::resolve::Resolving;
use crate::settings::LabSettings;
use crate::sockets::{HostSockets, SocketNumbers};
use crate::state::{LabInfo, StateDir, start_time};
use crate::{LabError, address};

/// Name of the hidden subcommand that the lab's own process is started with, followed by a [`Handover`] as JSON.
pub const WORLD_SUBCOMMAND: &str = "lab-world";
/// Variable with the log filter of every process of the lab.
pub const LOG_VARIABLE: &str = "SEALANE_LOG";
/// How long the lab may take to end on its own before it is killed.
const END_LIMIT: Duration = Duration::from_secs(10);
/// How long the lab may take to become ready.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// What the lab's own process gets from this one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Handover {
    pub(crate) settings: LabSettings,
    pub(crate) sockets: SocketNumbers,
    /// A stream: messages up; its end down tells that this process has ended.
    pub(crate) life: RawFd,
    /// Datagrams: DNS questions up, answers down.
    pub(crate) questions: RawFd,
    /// Where the API answers on the host.
    pub(crate) api_url: String,
}

/// What the lab's own process says, one JSON object a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Message {
    /// Everything answers.
    Ready,
    /// Not yet: this is missing.
    Waiting(String),
    /// It cannot go on.
    Failed(String),
}

/// A lab that is ready; dropping it without [`RunningLab::stop`] kills it.
pub struct RunningLab {
    info: LabInfo,
    state: StateDir,
    child: Child,
    life: OwnedWriteHalf,
    _resolving: Resolving,
    _lock: Flock<File>,
}

/// Removes a state directory when it is dropped, unless told otherwise.
struct Cleaning(Option<StateDir>);

impl Drop for Cleaning {
    fn drop(&mut self) {
        // What cannot be removed now is cleared by the next lab.
        let _ = self.0.as_ref().map(StateDir::remove);
    }
}

type Started = (LabInfo, Child, OwnedWriteHalf, Resolving);

async fn start_in(settings: LabSettings, state: &StateDir, begun: Instant) -> Result<Started, LabError> {
    let sockets = HostSockets::open(&settings.ports)?;
    if let Some(data) = &settings.data_dir {
        // Secrets are in there.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
        made.map_err(|error| LabError::file("create", data, error))?;
    }
    let mut info = describe(&settings, state, &sockets)?;
    let (life_here, life_there) = pair(SockType::Stream)?;
    let (questions_here, questions_there) = pair(SockType::Datagram)?;
    let handover = Handover {
        api_url: info.api.clone(),
        sockets: sockets.numbers(),
        life: life_there.as_raw_fd(),
        questions: questions_there.as_raw_fd(),
        settings,
    };
    let mut child = spawn(&handover, &state.log())?;
    // The child has its own copies; ours would hide its end.
    drop((sockets, life_there, questions_there));
    let resolving = Resolving::start(questions_here.into())?;
    let (from_lab, life) = stream(life_here)?.into_split();
    let mut messages = BufReader::new(from_lab);
    wait_until_ready(&mut messages, &mut child, state).await?;
    info.world_pid = child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or_default();
    info.ready_after_millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    state.write_info(&info)?;
    Ok((info, child, life, resolving))
}

fn describe(settings: &LabSettings, state: &StateDir, sockets: &HostSockets) -> Result<LabInfo, LabError> {
    let local = |listener: &std::net::TcpListener| {
        listener.local_addr().map_err(|error| LabError::system("ask a socket for its address", error))
    };
    let pid = i32::try_from(std::process::id()).expect("Linux process IDs fit i32");
    Ok(LabInfo {
        pid,
        start_time: start_time(pid).unwrap_or_default(),
        world_pid: 0,
        state_dir: state.root().to_owned(),
        kubeconfig: state.kubeconfig(),
        api: format!("https://{}", local(&sockets.api)?),
        http: local(&sockets.http)?.to_string(),
        https: local(&sockets.https)?.to_string(),
        dns: local(&sockets.dns_tcp)?.to_string(),
        families: settings.families,
        nodes: address::nodes(settings.nodes, settings.families)
            .into_iter()
            .map(|node| node.name.as_str().to_owned())
            .collect(),
        log: state.log(),
        ready_after_millis: 0,
    })
}

fn pair(kind: SockType) -> Result<(OwnedFd, OwnedFd), LabError> {
    socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)
        .map_err(|error| LabError::system("make a socket pair", error))
}

fn stream(fd: OwnedFd) -> Result<UnixStream, LabError> {
    UnixStream::from_std(fd.into()).map_err(|error| LabError::system("use a socket pair", error))
}

fn spawn(handover: &Handover, log: &Path) -> Result<Child, LabError> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(log)
        .map_err(|error| LabError::file("create", log, error))?;
    let json = serde_json::to_string(handover).expect("a Handover has only strings and numbers");
    let mut inherit = handover.sockets.all().to_vec();
    inherit.extend([handover.life, handover.questions]);
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("sealane")
        .arg(WORLD_SUBCOMMAND)
        .arg(json)
        .env(LOG_VARIABLE, &handover.settings.log)
        .stdin(Stdio::null())
        .stdout(file.try_clone().map_err(|error| LabError::file("use", log, error))?)
        .stderr(file)
        .kill_on_drop(true);
    // SAFETY: between fork and exec, the closure makes system calls only.
    unsafe {
        command.pre_exec(move || {
            // A session of its own: Ctrl-C reaches only the process in front, which ends the lab in order.
            nix::unistd::setsid()?;
            for fd in &inherit {
                // SAFETY: the parent keeps the descriptors open until the child was started.
                if libc::fcntl(*fd, libc::F_SETFD, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    command.spawn().map_err(|error| LabError::system("start the lab's own process", error))
}

async fn wait_until_ready(
    messages: &mut BufReader<tokio::net::unix::OwnedReadHalf>,
    child: &mut Child,
    state: &StateDir,
) -> Result<(), LabError> {
    let mut waiting_for = "the lab's own process".to_owned();
    let ready = async {
        let mut line = String::new();
        loop {
            line.clear();
            let length = messages.read_line(&mut line).await.unwrap_or(0);
            match serde_json::from_str(&line) {
                Ok(Message::Ready) => return Ok(()),
                Ok(Message::Waiting(what)) => waiting_for = what,
                Ok(Message::Failed(why)) => return Err(LabError::Inner(why)),
                Err(_) if length == 0 => return Err(LabError::EndedEarly { log: state.log() }),
                Err(_) => {}
            }
        }
    };
    let result = tokio::select! {
        result = tokio::time::timeout(READY_LIMIT, ready) => Some(result),
        _ = child.wait() => None,
    };
    match result {
        Some(Ok(result)) => result,
        Some(Err(_)) => {
            Err(LabError::NotReady { seconds: READY_LIMIT.as_secs(), waiting_for, log: state.log() })
        }
        // It ended; what it said last is still in the socket.
        None => {
            Err(last_words(messages).await.map_or(LabError::EndedEarly { log: state.log() }, LabError::Inner))
        }
    }
}

async fn last_words(messages: &mut BufReader<tokio::net::unix::OwnedReadHalf>) -> Option<String> {
    let mut line = String::new();
    while messages.read_line(&mut line).await.ok()? > 0 {
        if let Ok(Message::Failed(why)) = serde_json::from_str(&line) {
            return Some(why);
        }
        line.clear();
    }
    None
}

impl RunningLab {
    /// Starts a lab and waits until it is ready.
    ///
    /// The lab ends with the thread that polls this, so that `kill -9` leaves nothing: poll it from the thread that lives
    /// longest, which is the main thread of a `block_on`.
    ///
    /// # Errors
    /// When a lab runs already, a port is taken, namespaces are not allowed, or the lab fails on its way.
    pub async fn start(settings: LabSettings) -> Result<Self, LabError> {
        let begun = Instant::now();
        let state = StateDir::at(&settings.state_dir);
        let lock = state.take()?;
        // Also when this is dropped half-way, by Ctrl-C during the start.
        let mut cleaning = Cleaning(Some(state.clone()));
        let started = start_in(settings, &state, begun).await;
        if matches!(started, Ok(_) | Err(LabError::EndedEarly { .. } | LabError::NotReady { .. })) {
            // The lab lives there; or the log stays where the error points to it.
            cleaning.0 = None;
        }
        let (info, child, life, resolving) = started?;
        Ok(Self { info, state, child, life, _resolving: resolving, _lock: lock })
    }

    /// Where everything is.
    #[must_use]
    pub fn info(&self) -> &LabInfo {
        &self.info
    }

    /// Waits until the lab ends by itself, which it should not.
    ///
    /// # Errors
    /// When its status cannot be read.
    pub async fn ended(&mut self) -> Result<ExitStatus, LabError> {
        self.child.wait().await.map_err(|error| LabError::system("wait for the lab", error))
    }

    /// Ends the lab and removes its state directory.
    ///
    /// # Errors
    /// When something of it cannot be removed.
    pub async fn stop(mut self) -> Result<(), LabError> {
        // The lab takes the end of this stream as the request to end.
        drop(self.life);
        if tokio::time::timeout(END_LIMIT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
        self.state.remove()
    }
}
