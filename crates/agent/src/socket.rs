//! `agent.sock`: one request of the CNI plugin per connection, one line of JSON each way.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use types::{AgentAnswer, AgentRequest};

use crate::event::{Event, Notice};

/// Longest request, in bytes; a real one has about a hundred.
const LONGEST_REQUEST: u64 = 4096;
/// Connections at a time; more wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 256;
/// How long the plugin may take to send its request.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a Pod's rules may take before the plugin is told to try later.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// The socket; it is removed when dropped.
pub(crate) struct AgentSocket {
    path: PathBuf,
    accepting: JoinHandle<()>,
}

impl AgentSocket {
    /// Takes the socket over, also from a process that left it behind, and passes requests on as events.
    pub(crate) fn open(state_dir: &Path, events: mpsc::Sender<Event>) -> io::Result<Self> {
        std::fs::create_dir_all(state_dir)?;
        let path = state_dir.join("agent.sock");
        // The socket appears under its name only with its final mode, so that nobody else can slip in.
        let unfinished = state_dir.join(".agent.sock.new");
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixListener::bind(&unfinished)?;
        std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&unfinished, &path)?;
        Ok(Self { path, accepting: tokio::spawn(accept(socket, events)) })
    }
}

impl Drop for AgentSocket {
    fn drop(&mut self) {
        self.accepting.abort();
        // A socket without a process behind it would only delay the plugin.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn accept(socket: UnixListener, events: mpsc::Sender<Event>) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match socket.accept().await {
            Ok((stream, _)) => {
                let events = events.clone();
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, events).await {
                        tracing::debug!(%error, "connection of the CNI plugin broke");
                    }
                    drop(permit);
                });
            }
            // Out of file descriptors, most likely; others will be closed meanwhile.
            Err(error) => {
                tracing::warn!(%error, "connection of the CNI plugin not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(mut stream: UnixStream, events: mpsc::Sender<Event>) -> io::Result<()> {
    let (reading, mut writing) = stream.split();
    let mut line = String::new();
    let mut reading = BufReader::new(reading).take(LONGEST_REQUEST);
    tokio::time::timeout(READ_TIMEOUT, reading.read_line(&mut line)).await??;
    let answer = match serde_json::from_str::<AgentRequest>(&line) {
        Ok(request) => ask(request, events).await,
        Err(error) => AgentAnswer::TryLater { reason: format!("request not understood: {error}") },
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    writing.write_all(&text).await
}

async fn ask(request: AgentRequest, events: mpsc::Sender<Event>) -> AgentAnswer {
    let (answer, answered) = oneshot::channel();
    if events.send(Event::Notice(Notice { request, answer })).await.is_err() {
        return AgentAnswer::TryLater { reason: "the agent is ending".to_owned() };
    }
    match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => AgentAnswer::TryLater { reason: "the agent is ending".to_owned() },
        Err(_) => {
            let reason = format!("not in force after {} s; see the agent's log", ANSWER_TIMEOUT.as_secs());
            AgentAnswer::TryLater { reason }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("sealane-agent-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("temporary directory");
        directory
    }

    async fn check(directory: &Path, request: &str) -> AgentAnswer {
        let mut stream = UnixStream::connect(directory.join("agent.sock")).await.expect("listening");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        serde_json::from_str(&answer).expect("an answer")
    }

    #[tokio::test]
    async fn a_request_becomes_an_event_and_its_answer_goes_back() {
        let directory = mk_directory("socket");
        let (sender, mut events) = mpsc::channel(1);
        // Left behind by a process that was killed.
        drop(std::os::unix::net::UnixListener::bind(directory.join("agent.sock")));
        let socket = AgentSocket::open(&directory, sender).expect("taken over");
        let mode = std::fs::metadata(directory.join("agent.sock")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let answering = tokio::spawn(async move {
            let Some(Event::Notice(notice)) = events.recv().await else { panic!("a notice") };
            assert_eq!(notice.request, AgentRequest::Status);
            notice.answer.send(AgentAnswer::Ready { revision: 3 }).expect("waiting");
        });
        let request = serde_json::to_string(&AgentRequest::Status).expect("json") + "\n";
        assert_eq!(check(&directory, &request).await, AgentAnswer::Ready { revision: 3 });
        answering.await.expect("no panic");
        assert!(matches!(check(&directory, "nonsense\n").await, AgentAnswer::TryLater { .. }));
        drop(socket);
        assert!(!directory.join("agent.sock").exists());
        std::fs::remove_dir_all(&directory).expect("removed");
    }
}
