//! Runs a command in a container over the API's WebSocket, as `kubectl exec` does.

use futures_util::SinkExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, AttachedProcess};
use kube::{Api, Client};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use types::PodName;

use crate::Error;

/// Bytes buffered in each direction; one WebSocket frame of a bulk copy.
const BUFFER_BYTES: usize = 32 * 1024;

/// What to run, and where.
#[derive(Clone, Debug)]
pub struct Exec {
    /// The Pod.
    pub pod: PodName,
    /// The container; none takes the first.
    pub container: Option<String>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Whether the command gets a terminal.
    pub terminal: Terminal,
}

/// What a command's streams are connected to.
#[derive(Clone, Debug)]
pub enum Terminal {
    /// Pipes; stdout and stderr stay apart.
    None,
    /// A pseudo terminal of this size, as it changes; stderr is part of stdout then.
    Tty(watch::Receiver<TerminalSize>),
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// Our ends of the command's streams; no stdin means it reads end of file.
pub struct Streams<I, O, E> {
    /// What the command reads.
    pub stdin: Option<I>,
    /// What it writes.
    pub stdout: O,
    /// What it complains.
    pub stderr: E,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// With this code.
    Code(i32),
    /// It could not be run, for this reason.
    NotRun(String),
}

/// Runs a command and returns how it ended, after all it wrote has been passed on.
///
/// # Errors
/// When the Pod or container does not exist, or the connection breaks.
pub async fn exec<I, O, E>(
    client: &Client,
    exec: &Exec,
    streams: Streams<I, O, E>,
) -> Result<ExitStatus, Error>
where
    I: AsyncRead + Unpin + Send + 'static,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let has_stdin = streams.stdin.is_some();
    let pods: Api<Pod> = Api::namespaced(client.clone(), &exec.pod.namespace);
    let mut process = pods.exec(&exec.pod.name, exec.command.clone(), &params(exec, has_stdin)).await?;
    let sizing = announce_sizes(&mut process, &exec.terminal);
    let status = process.take_status().ok_or_else(|| broken("no status channel"))?;
    let feeding = streams.stdin.zip(process.stdin()).map(|(from, to)| tokio::spawn(feed(from, to)));
    let stdout = drain(process.stdout(), streams.stdout);
    let stderr = drain(process.stderr(), streams.stderr);
    let (stdout, stderr, status) = tokio::join!(stdout, stderr, status);
    feeding.into_iter().for_each(|task| task.abort());
    sizing.into_iter().for_each(|task| task.abort());
    stdout.and(stderr).map_err(|error| broken(&error.to_string()))?;
    status.as_ref().map(exit_status).ok_or_else(|| broken("closed without an exit status"))
}

fn broken(reason: &str) -> Error {
    Error::Exec { reason: reason.to_owned() }
}

fn params(exec: &Exec, has_stdin: bool) -> AttachParams {
    let has_tty = matches!(exec.terminal, Terminal::Tty(_));
    let params = AttachParams::default()
        .stdin(has_stdin)
        .stdout(true)
        .stderr(!has_tty)
        .tty(has_tty)
        .max_stdin_buf_size(BUFFER_BYTES)
        .max_stdout_buf_size(BUFFER_BYTES)
        .max_stderr_buf_size(BUFFER_BYTES);
    match &exec.container {
        Some(container) => params.container(container),
        None => params,
    }
}

fn announce_sizes(process: &mut AttachedProcess, terminal: &Terminal) -> Option<JoinHandle<()>> {
    let Terminal::Tty(sizes) = terminal else { return None };
    let mut sizes = sizes.clone();
    let mut announcing = process.terminal_size()?;
    Some(tokio::spawn(async move {
        loop {
            let TerminalSize { width, height } = *sizes.borrow_and_update();
            let is_heard = announcing.send(kube::api::TerminalSize { width, height }).await.is_ok();
            if !is_heard || sizes.changed().await.is_err() {
                return;
            }
        }
    }))
}

/// Copies until one side ends; `flush` after each piece keeps interactive programs usable.
async fn feed(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let len = from.read(&mut buffer).await?;
        if len == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..len]).await?;
        to.flush().await?;
    }
}

async fn drain(from: Option<impl AsyncRead + Unpin>, mut to: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let len = from.read(&mut buffer).await?;
        if len == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..len]).await?;
        to.flush().await?;
    }
}

/// The last message of `v4.channel.k8s.io`: `Success`, or reason `NonZeroExitCode` with the code among the causes.
fn exit_status(status: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Status) -> ExitStatus {
    if status.status.as_deref() == Some("Success") {
        return ExitStatus::Code(0);
    }
    let causes = status.details.iter().flat_map(|details| details.causes.iter().flatten());
    let code = causes
        .filter(|cause| cause.reason.as_deref() == Some("ExitCode"))
        .find_map(|cause| cause.message.as_deref()?.parse().ok());
    match code {
        Some(code) => ExitStatus::Code(code),
        None => ExitStatus::NotRun(status.message.clone().unwrap_or_else(|| "no reason given".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_status(text: &str) -> ExitStatus {
        exit_status(&serde_json::from_str(text).expect("a Status"))
    }

    #[test]
    fn the_last_message_carries_the_exit_code() {
        assert_eq!(mk_status(r#"{"status":"Success"}"#), ExitStatus::Code(0));
        let failed = r#"{"status":"Failure","reason":"NonZeroExitCode","message":"exit code 7",
            "details":{"causes":[{"reason":"ExitCode","message":"7"}]}}"#;
        assert_eq!(mk_status(failed), ExitStatus::Code(7));
        let missing = r#"{"status":"Failure","reason":"InternalError","message":"no such program"}"#;
        assert_eq!(mk_status(missing), ExitStatus::NotRun("no such program".to_owned()));
    }
}
