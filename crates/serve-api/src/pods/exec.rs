//! `pods/NAME/exec`: a program in a container, its streams carried over a WebSocket.
//!
//! Every binary message starts with the number of its channel (KEP-4006; apiserver.md of the design
//! notes, "Remote command over WebSocket").

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use engine_store::Status;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;
use types::NamespacedName;

use super::websocket::{self, Subprotocol};
use crate::answer::Answer;
use crate::query::Query;
use crate::runtime::{ByteReader, ByteWriter, ExecRequest, ExecSession, PodRuntime, TerminalSize};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// Closes the channel whose number follows (v5 only).
const CLOSE: u8 = 255;

/// Size of the pieces output is sent in.
const CHUNK: usize = 32 * 1024;
/// Largest message taken from a client.
const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;
/// How long a program's output may stay silent after its end before it counts as finished: a
/// grandchild may hold the other end of the pipe for ever.
const SILENCE_AFTER_EXIT: Duration = Duration::from_millis(500);
/// How long a client may take to answer the closing of the socket.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A remote command whose socket is about to open.
pub(crate) struct Command {
    name: NamespacedName,
    request: ExecRequest,
    protocol: Subprotocol,
}

/// Judges a request to run a program in `pod`, which is the object of that `name`: the answer that opens
/// the socket, and the command to run once it is sent.
pub(crate) fn exec(
    name: NamespacedName,
    pod: &Value,
    query: &Query,
    head: &http::request::Parts,
) -> Result<(Answer, Command), Status> {
    let request = request(pod, query)?;
    let (protocol, answer) = websocket::open(head.version, &head.headers)?;
    Ok((answer, Command { name, request, protocol }))
}

fn request(pod: &Value, query: &Query) -> Result<ExecRequest, Status> {
    let container = super::container(pod, query.get("container"))?;
    let tty = query.flag("tty");
    let request = ExecRequest {
        container,
        command: query.all("command"),
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr") && !tty,
        tty,
    };
    if request.command.is_empty() {
        return Err(Status::bad_request("you must specify at least 1 command for the container"));
    }
    if !(request.stdin || request.stdout || request.stderr) {
        return Err(Status::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    Ok(request)
}

impl Command {
    /// Runs the command to its end. The answer must be on its way to the client by then.
    pub(crate) async fn run(
        self,
        runtime: Arc<dyn PodRuntime>,
        upgrade: OnUpgrade,
        closing: CancellationToken,
    ) {
        let Self { name, request, protocol } = self;
        let upgraded = match upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => {
                tracing::debug!(%error, pod = %name, "the client left before its command started");
                return;
            }
        };
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_LIMIT))
            .max_frame_size(Some(MESSAGE_LIMIT));
        let socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(limits)).await;
        let (sink, mut stream) = socket.split();
        let session = async {
            match runtime.exec(name, request).await {
                Ok(session) => converse(sink, &mut stream, session, protocol).await,
                Err(error) => farewell(sink, &mut stream, &Status::from(error).to_value()).await,
            }
        };
        tokio::select! {
            () = closing.cancelled() => {}
            _ = session => {}
        }
    }
}

/// Carries the streams until the program or the client is done.
async fn converse(
    mut sink: SplitSink<Socket, Message>,
    stream: &mut SplitStream<Socket>,
    session: ExecSession,
    protocol: Subprotocol,
) -> io::Result<()> {
    let ExecSession { stdin, stdout, stderr, resize, mut exit } = session;
    let code = tokio::select! {
        code = carry_output(&mut sink, stdout, stderr, &mut exit) => code?,
        () = carry_input(stream, stdin, resize, protocol) => return Ok(()),
    };
    farewell(sink, stream, &outcome(code)).await
}

/// Sends what the program writes; returns its exit status once all of it is sent.
async fn carry_output(
    sink: &mut SplitSink<Socket, Message>,
    mut stdout: ByteReader,
    mut stderr: ByteReader,
    exit: &mut (impl Future<Output = i32> + Unpin),
) -> io::Result<i32> {
    let (mut out_open, mut err_open) = (true, true);
    let mut code = None;
    let mut silent_until = Instant::now() + SILENCE_AFTER_EXIT;
    loop {
        if let (Some(code), false, false) = (code, out_open, err_open) {
            return Ok(code);
        }
        let mut out = frame(STDOUT);
        let mut err = frame(STDERR);
        let piece = tokio::select! {
            // A failed read is an end too: a terminal reports its hang-up so.
            read = stdout.read_buf(&mut out), if out_open => {
                out_open = read.is_ok_and(|length| length > 0);
                out_open.then(|| out.freeze())
            }
            read = stderr.read_buf(&mut err), if err_open => {
                err_open = read.is_ok_and(|length| length > 0);
                err_open.then(|| err.freeze())
            }
            ended = &mut *exit, if code.is_none() => {
                code = Some(ended);
                None
            }
            () = sleep_until(silent_until), if code.is_some() => return Ok(code.unwrap_or_default()),
        };
        if let Some(piece) = piece {
            sink.send(Message::Binary(piece)).await.map_err(io::Error::other)?;
        }
        silent_until = Instant::now() + SILENCE_AFTER_EXIT;
    }
}

/// An empty message of a channel with room for a piece of output.
fn frame(channel: u8) -> BytesMut {
    let mut frame = BytesMut::with_capacity(CHUNK);
    frame.put_u8(channel);
    frame
}

/// Hands what the client sends to the program; returns when the client has left.
async fn carry_input(
    stream: &mut SplitStream<Socket>,
    mut stdin: Option<ByteWriter>,
    resize: Option<mpsc::Sender<TerminalSize>>,
    protocol: Subprotocol,
) {
    while let Some(Ok(message)) = stream.next().await {
        let data = match message {
            Message::Binary(data) => data,
            Message::Text(text) => Bytes::from(text.as_str().to_owned()),
            Message::Close(_) => return,
            _ => continue,
        };
        match data.split_first() {
            Some((&STDIN, input)) => {
                let Some(writer) = &mut stdin else { continue };
                let written = async {
                    writer.write_all(input).await?;
                    writer.flush().await
                };
                if written.await.is_err() {
                    // The program has closed its input; what it still writes is worth waiting for.
                    stdin = None;
                }
            }
            Some((&RESIZE, size)) => {
                if let (Some(resize), Some(size)) = (&resize, terminal_size(size)) {
                    // A lost size is repaired by the next one; a full queue must not hold up the input.
                    let _ = resize.try_send(size);
                }
            }
            Some((&CLOSE, [STDIN])) if protocol == Subprotocol::V5 => {
                if let Some(mut writer) = stdin.take() {
                    let _ = writer.shutdown().await;
                }
            }
            _ => {}
        }
    }
}

fn terminal_size(text: &[u8]) -> Option<TerminalSize> {
    let size: Value = serde_json::from_slice(text).ok()?;
    let side = |name: &str| size[name].as_u64().and_then(|cells| u16::try_from(cells).ok());
    Some(TerminalSize { width: side("Width")?, height: side("Height")? })
}

/// The exit status as the error channel tells it (apiserver.md of the design notes; client-go reads it).
fn outcome(code: i32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

/// Says how it ended and closes the socket. What the client still sends is read and dropped: closing a
/// connection with unread data would reset it, and the client might lose the end of the conversation.
async fn farewell(
    mut sink: SplitSink<Socket, Message>,
    stream: &mut SplitStream<Socket>,
    outcome: &Value,
) -> io::Result<()> {
    let mut message = frame(ERROR);
    message.extend_from_slice(outcome.to_string().as_bytes());
    let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    sink.feed(Message::Binary(message.freeze())).await.map_err(io::Error::other)?;
    sink.send(Message::Close(Some(close))).await.map_err(io::Error::other)?;
    let rest = async { while let Some(Ok(_)) = stream.next().await {} };
    let _ = tokio::time::timeout(CLOSE_PATIENCE, rest).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_outcomes() {
        assert_eq!(
            terminal_size(br#"{"Width":80,"Height":24}"#),
            Some(TerminalSize { width: 80, height: 24 })
        );
        assert_eq!(terminal_size(b"{}"), None);
        assert_eq!(outcome(0)["status"], "Success");
        assert_eq!(outcome(3)["details"]["causes"][0]["message"], "3");
    }

    #[test]
    fn a_terminal_has_no_separate_error_stream() {
        let pod =
            json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "a"}]}});
        let query = Query::parse("command=sh&stdin=true&stdout=true&stderr=true&tty=true");
        let request = request(&pod, &query).unwrap();
        assert!(request.tty && request.stdin && request.stdout && !request.stderr);
        assert!(super::request(&pod, &Query::parse("stdout=true")).unwrap_err().message.contains("command"));
        assert!(super::request(&pod, &Query::parse("command=a")).unwrap_err().message.contains("stdin"));
    }
}
