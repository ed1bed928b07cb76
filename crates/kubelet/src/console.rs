//! A program's own input and output, for clients that join it while it runs.
//!
//! Everything a program writes goes to its log and to every client that has joined; what clients type goes to its
//! standard input, in the order it comes. A client that takes nothing for a while is let go, so that the program goes on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use k8s_openapi::api::core::v1::Container;
use serve_api::{AttachRequest, ByteReader, ByteWriter, ExecSession, LogRequest, LogSource, RuntimeError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::logs::{Lines, RunLog};
use crate::runtime::{RESIZE_QUEUE, resize};
use crate::terminal::Terminal;

/// Bytes buffered towards a client, and from it.
const BUFFER_BYTES: usize = 64 * 1024;
/// Bytes read at once.
const PIECE_BYTES: usize = 4096;
/// How long a client may take nothing while the program waits to write.
#[cfg(not(test))]
const PATIENCE: Duration = Duration::from_secs(10);
#[cfg(test)]
const PATIENCE: Duration = Duration::from_millis(50);

/// What a container asks for its program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Its standard input stays open for clients (`stdin`).
    pub stdin: bool,
    /// The first client's end of input is the program's (`stdinOnce`).
    pub stdin_once: bool,
    /// It has a terminal (`tty`).
    pub tty: bool,
}

/// The input and output of one run.
pub struct Console {
    /// What the container asks for.
    pub wishes: Wishes,
    terminal: Mutex<Option<Terminal>>,
    stdin: tokio::sync::Mutex<Option<ByteWriter>>,
    clients: tokio::sync::Mutex<Vec<Client>>,
    ended: CancellationToken,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Console").field("wishes", &self.wishes).finish_non_exhaustive()
    }
}

/// Where a client takes output from.
struct Client {
    stdout: Option<DuplexStream>,
    stderr: Option<DuplexStream>,
}

impl Console {
    /// The console of a container that is about to start.
    #[must_use]
    pub fn of(container: &Container) -> Self {
        let is = |wish: Option<bool>| wish.unwrap_or(false);
        let wishes = Wishes {
            stdin: is(container.stdin),
            stdin_once: is(container.stdin_once),
            tty: is(container.tty),
        };
        Self {
            wishes,
            terminal: Mutex::default(),
            stdin: tokio::sync::Mutex::default(),
            clients: tokio::sync::Mutex::default(),
            ended: CancellationToken::new(),
        }
    }

    /// The program has this terminal; it is its standard input, too, where clients may type.
    pub fn has_terminal(&self, terminal: Terminal) {
        if self.wishes.stdin {
            self.has_stdin(Box::new(terminal.clone()));
        }
        *self.terminal.lock().unwrap_or_else(PoisonError::into_inner) = Some(terminal);
    }

    /// The program reads from here.
    pub fn has_stdin(&self, stdin: ByteWriter) {
        // Nobody else knows the console yet, so the lock is free.
        if let Ok(mut held) = self.stdin.try_lock() {
            *held = Some(stdin);
        }
    }

    /// Carries what the program writes to the log and to the clients, until it closes its end.
    pub async fn carry(&self, mut from: ByteReader, source: LogSource, log: &Arc<RunLog>) {
        let mut lines = Lines::new(Arc::clone(log), source);
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            lines.push(&piece[..length]);
            self.tell(source, &piece[..length]).await;
        }
        lines.finish();
    }

    async fn tell(&self, source: LogSource, bytes: &[u8]) {
        let mut clients = self.clients.lock().await;
        let mut staying = Vec::with_capacity(clients.len());
        for mut client in clients.drain(..) {
            let to = if source == LogSource::Stderr { &mut client.stderr } else { &mut client.stdout };
            let taken = match to {
                Some(stream) => matches!(timeout(PATIENCE, stream.write_all(bytes)).await, Ok(Ok(()))),
                None => true,
            };
            if taken {
                staying.push(client);
            }
        }
        *clients = staying;
    }

    /// Lets a client join.
    pub async fn join(self: &Arc<Self>, request: &AttachRequest) -> ExecSession {
        let stream = |is_wanted: bool| {
            let (theirs, ours) = tokio::io::duplex(BUFFER_BYTES);
            if is_wanted {
                (Box::new(theirs) as ByteReader, Some(ours))
            } else {
                (Box::new(tokio::io::empty()) as _, None)
            }
        };
        let (stdout, to_stdout) = stream(request.stdout);
        let (stderr, to_stderr) = stream(request.stderr);
        let mut clients = self.clients.lock().await;
        if !self.ended.is_cancelled() {
            clients.push(Client { stdout: to_stdout, stderr: to_stderr });
        }
        drop(clients);
        let stdin = request.stdin.then(|| {
            let (theirs, ours) = tokio::io::duplex(BUFFER_BYTES);
            let (console, ended) = (Arc::clone(self), self.ended.clone());
            tokio::spawn(async move { ended.run_until_cancelled(console.take_input(ours)).await });
            Box::new(theirs) as ByteWriter
        });
        let terminal = self.terminal.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let resize = terminal.map(|terminal| {
            let (sizes, wanted) = mpsc::channel(RESIZE_QUEUE);
            tokio::spawn(resize(terminal, wanted));
            sizes
        });
        let ended = self.ended.clone();
        ExecSession { stdin, stdout, stderr, resize, exit: ended.cancelled_owned().map(|()| 0).boxed() }
    }

    /// Hands what one client types to the program.
    async fn take_input(&self, mut from: DuplexStream) {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            let mut stdin = self.stdin.lock().await;
            let Some(writer) = &mut *stdin else { continue };
            let written = async {
                writer.write_all(&piece[..length]).await?;
                writer.flush().await
            };
            if written.await.is_err() {
                *stdin = None;
            }
        }
        if self.wishes.stdin_once
            && let Some(mut stdin) = self.stdin.lock().await.take()
        {
            let _ = stdin.shutdown().await;
        }
    }

    /// The run is over: clients see the end of its output.
    pub async fn end(&self) {
        self.ended.cancel();
        self.clients.lock().await.clear();
        self.stdin.lock().await.take();
    }
}

/// Joins a stand-in: its log is all it writes, and it reads nothing.
///
/// # Errors
/// When the log cannot be read.
pub(crate) fn follow(log: &Arc<RunLog>, request: &AttachRequest) -> Result<ExecSession, RuntimeError> {
    let output =
        log.stream(LogRequest { follow: true, tail_lines: Some(0), ..LogRequest::default() })?.output;
    let log = Arc::clone(log);
    Ok(ExecSession {
        stdin: request.stdin.then(|| Box::new(tokio::io::sink()) as ByteWriter),
        stdout: output,
        stderr: Box::new(tokio::io::empty()),
        resize: None,
        exit: async move { log.closed().await }.map(|()| 0).boxed(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_log(name: &str) -> Arc<RunLog> {
        let path = std::env::temp_dir().join(format!("sealane-console-{}-{name}", std::process::id()));
        let log = Arc::new(RunLog::create(&path).unwrap());
        std::fs::remove_file(path).unwrap();
        log
    }

    fn mk_console(stdin_once: bool) -> Arc<Console> {
        let container = Container { stdin: Some(true), stdin_once: Some(stdin_once), ..Container::default() };
        Arc::new(Console::of(&container))
    }

    fn all() -> AttachRequest {
        AttachRequest { stdin: true, stdout: true, stderr: true, ..AttachRequest::default() }
    }

    #[tokio::test]
    async fn every_client_sees_what_is_written_after_it_joined() {
        let (console, log) = (mk_console(false), mk_log("join"));
        let mut first = console.join(&all()).await;
        console.carry(Box::new(&b"one"[..]), LogSource::Stdout, &log).await;
        let mut second = console.join(&all()).await;
        console.carry(Box::new(&b"two"[..]), LogSource::Stdout, &log).await;
        console.carry(Box::new(&b"bad"[..]), LogSource::Stderr, &log).await;
        console.end().await;
        let mut texts = [String::new(), String::new(), String::new()];
        first.stdout.read_to_string(&mut texts[0]).await.unwrap();
        second.stdout.read_to_string(&mut texts[1]).await.unwrap();
        second.stderr.read_to_string(&mut texts[2]).await.unwrap();
        assert_eq!(texts, ["onetwo", "two", "bad"]);
        assert_eq!(first.exit.await, 0);
    }

    #[tokio::test]
    async fn the_end_of_input_is_the_programs_only_once() {
        for stdin_once in [false, true] {
            let console = mk_console(stdin_once);
            let (program, mut reads) = tokio::io::duplex(100);
            console.has_stdin(Box::new(program));
            let mut client = console.join(&all()).await.stdin.unwrap();
            client.write_all(b"typed").await.unwrap();
            client.shutdown().await.unwrap();
            drop(client);
            let mut text = [0; 5];
            reads.read_exact(&mut text).await.unwrap();
            let end = timeout(Duration::from_millis(200), reads.read(&mut [0; 1])).await;
            assert_eq!(end.is_ok(), stdin_once, "{end:?}");
        }
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_does_not_hold_up_the_program() {
        let (console, log) = (mk_console(false), mk_log("slow"));
        let _idle = console.join(&all()).await;
        let much = Box::new(std::io::Cursor::new(vec![b'x'; 4 * BUFFER_BYTES]));
        console.carry(much, LogSource::Stdout, &log).await;
        assert!(console.clients.lock().await.is_empty());
    }
}
