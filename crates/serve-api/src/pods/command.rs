//! `pods/NAME/exec` and `pods/NAME/attach`: a program's streams, carried to the client and back.
//!
//! Over a WebSocket every stream is a channel (KEP-4006), over SPDY/3.1 a stream of its own; what is said is the same.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use engine_store::Status;
use engine_streams::channel::Version;
use engine_streams::command::{Sizes, SpdyVersion, Stream, outcome};
use engine_streams::spdy::ResetCode;
use hyper::upgrade::Upgraded;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use types::NamespacedName;

use super::upgrade::{self, Kind};
use super::wire::{Inlet, Input, Outlet, Wire};
use super::{Opening, Surroundings, spdy, websocket};
use crate::query::Query;
use crate::runtime::{
    AttachRequest, ByteReader, ByteWriter, ExecRequest, ExecSession, PodRuntime, RuntimeError, TerminalSize,
};

/// Size of the pieces output is sent in.
const CHUNK: usize = 32 * 1024;
/// How long a program's output may stay silent after its end before it counts as finished: a
/// grandchild may hold the other end of the pipe for ever.
const SILENCE_AFTER_EXIT: Duration = Duration::from_millis(500);
/// How long a client may take to open its streams (kubelet `DefaultStreamCreationTimeout`).
const STREAMS_PATIENCE: Duration = Duration::from_secs(30);

/// A remote command whose connection is about to open.
pub(crate) struct Command {
    pod: NamespacedName,
    request: Request,
    carrier: Carrier,
}

/// What is to be run, or joined.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Request {
    Exec(ExecRequest),
    Attach(AttachRequest),
}

#[derive(Clone, Copy)]
enum Carrier {
    WebSocket(Version),
    Spdy(SpdyVersion),
}

/// Judges a request to run a program in a Pod.
pub(crate) fn exec(
    name: NamespacedName,
    pod: &Value,
    query: &Query,
    head: &http::request::Parts,
) -> Result<Opening<Command>, Status> {
    open(name, Request::Exec(exec_request(pod, query)?), head)
}

/// Judges a request to join a container's own program.
pub(crate) fn attach(
    name: NamespacedName,
    pod: &Value,
    query: &Query,
    head: &http::request::Parts,
) -> Result<Opening<Command>, Status> {
    open(name, Request::Attach(attach_request(pod, query)?), head)
}

fn open(
    pod: NamespacedName,
    request: Request,
    head: &http::request::Parts,
) -> Result<Opening<Command>, Status> {
    let (carrier, answer) = match upgrade::wanted(head)? {
        Kind::WebSocket => {
            let (name, answer) = upgrade::websocket(&head.headers, &Version::ALL.map(Version::name))?;
            let version = if name == Version::V5.name() { Version::V5 } else { Version::V4 };
            (Carrier::WebSocket(version), answer)
        }
        Kind::Spdy => match upgrade::spdy(&head.headers, &SpdyVersion::NAMES) {
            Ok((name, answer)) => {
                (Carrier::Spdy(SpdyVersion::of_name(name).unwrap_or(SpdyVersion::V1)), answer)
            }
            Err(refusal) => return Ok(Opening::Refused(*refusal)),
        },
    };
    Ok(Opening::Opens(answer, Command { pod, request, carrier }))
}

fn exec_request(pod: &Value, query: &Query) -> Result<ExecRequest, Status> {
    let AttachRequest { container, stdin, stdout, stderr, tty } = attach_request(pod, query)?;
    let command = query.all("command");
    if command.is_empty() {
        return Err(Status::bad_request("you must specify at least 1 command for the container"));
    }
    Ok(ExecRequest { container, command, stdin, stdout, stderr, tty })
}

fn attach_request(pod: &Value, query: &Query) -> Result<AttachRequest, Status> {
    let container = super::container(pod, query.get("container"))?;
    let tty = query.flag("tty");
    let request = AttachRequest {
        container,
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr") && !tty,
        tty,
    };
    if !(request.stdin || request.stdout || request.stderr) {
        return Err(Status::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    Ok(request)
}

impl Request {
    /// The streams a client that asks for this has to open.
    fn streams(&self, version: SpdyVersion) -> Vec<Stream> {
        let (stdin, stdout, stderr, tty) = match self {
            Self::Exec(exec) => (exec.stdin, exec.stdout, exec.stderr, exec.tty),
            Self::Attach(attach) => (attach.stdin, attach.stdout, attach.stderr, attach.tty),
        };
        let wanted = [
            (Stream::Error, true),
            (Stream::Stdin, stdin),
            (Stream::Stdout, stdout),
            (Stream::Stderr, stderr),
            (Stream::Resize, tty && version >= SpdyVersion::V3),
        ];
        wanted.into_iter().filter_map(|(stream, is_wanted)| is_wanted.then_some(stream)).collect()
    }
}

impl Command {
    /// Whether the container runs.
    pub(crate) fn check(&self, runtime: &dyn PodRuntime) -> Result<(), Status> {
        let (Request::Exec(ExecRequest { container, .. }) | Request::Attach(AttachRequest { container, .. })) =
            &self.request;
        Ok(runtime.runs(&self.pod, container)?)
    }

    /// Runs the command to its end. The answer must be on its way to the client by then.
    pub(crate) async fn run(self, upgraded: Upgraded, around: Surroundings) {
        let Self { pod, request, carrier } = self;
        let (lines, wire, version) = match carrier {
            Carrier::WebSocket(version) => {
                let (lines, wire) = over_websocket(upgraded, version).await;
                (lines, wire, SpdyVersion::V4)
            }
            Carrier::Spdy(version) => match over_spdy(upgraded, request.streams(version)).await {
                Some((lines, wire)) => (lines, wire, version),
                None => return,
            },
        };
        let Lines { input, output, error } = lines;
        let conversation = async {
            let started = match request {
                Request::Exec(request) => around.runtime.exec(pod, request).await,
                Request::Attach(request) => around.runtime.attach(pod, request).await,
            };
            converse(started, input, output).await
        };
        let status = tokio::select! {
            () = around.closing.cancelled() => return,
            () = wire.gone.cancelled() => return,
            status = conversation => status,
        };
        match version.farewell(&status) {
            Some(text) => error.conclude(text).await,
            None => error.finish().await,
        }
        wire.close().await;
    }
}

/// The client's ends of a program's streams.
struct Lines {
    input: ClientInput,
    output: ClientOutput,
    error: Outlet,
}

#[derive(Default)]
struct ClientInput {
    stdin: Option<Inlet>,
    resize: Option<Inlet>,
}

#[derive(Default)]
struct ClientOutput {
    stdout: Option<Outlet>,
    stderr: Option<Outlet>,
}

async fn over_websocket(upgraded: Upgraded, version: Version) -> (Lines, Wire) {
    let incoming = [Stream::Stdin.channel(), Stream::Resize.channel()];
    let mut channels = websocket::channels(upgraded, version, &incoming).await;
    let input = ClientInput {
        stdin: channels.inlet(Stream::Stdin.channel()),
        resize: channels.inlet(Stream::Resize.channel()),
    };
    let output = ClientOutput {
        stdout: Some(channels.outlet(Stream::Stdout.channel())),
        stderr: Some(channels.outlet(Stream::Stderr.channel())),
    };
    let error = channels.outlet(Stream::Error.channel());
    (Lines { input, output, error }, channels.into_wire())
}

/// Waits for the client to open its streams; nothing when it does not.
async fn over_spdy(upgraded: Upgraded, mut wanted: Vec<Stream>) -> Option<(Lines, Wire)> {
    let mut connection = spdy::connect(spdy::plain(upgraded));
    let mut streams = BTreeMap::new();
    let all_open = async {
        while !wanted.is_empty() {
            let opened = connection.next().await?;
            let kind = opened.headers.first("streamtype").and_then(Stream::of_type);
            match kind.filter(|kind| wanted.contains(kind)) {
                Some(kind) => {
                    opened.outlet.accept().await.ok()?;
                    wanted.retain(|other| *other != kind);
                    streams.insert(kind, (opened.inlet, opened.outlet));
                }
                None => opened.outlet.reset(ResetCode::REFUSED_STREAM).await,
            }
        }
        Some(())
    };
    timeout(STREAMS_PATIENCE, all_open).await.ok()??;
    let mut inlet =
        |kind| streams.get_mut(&kind).map(|(inlet, _)| std::mem::replace(inlet, mpsc::channel(1).1));
    let input = ClientInput { stdin: inlet(Stream::Stdin), resize: inlet(Stream::Resize) };
    let mut outlet = |kind| streams.remove(&kind).map(|(_, outlet)| outlet);
    let error = outlet(Stream::Error)?;
    let output = ClientOutput { stdout: outlet(Stream::Stdout), stderr: outlet(Stream::Stderr) };
    Some((Lines { input, output, error }, connection.into_wire()))
}

/// Carries the streams until the program is done; how it ended.
async fn converse(
    started: Result<ExecSession, RuntimeError>,
    input: ClientInput,
    output: ClientOutput,
) -> Value {
    let ExecSession { stdin, stdout, stderr, resize, mut exit } = match started {
        Ok(session) => session,
        Err(error) => return Status::from(error).to_value(),
    };
    let incoming = async {
        let sizes = carry_sizes(input.resize, resize);
        tokio::join!(carry_stdin(input.stdin, stdin), sizes);
        // What the client no longer says is no reason to end.
        std::future::pending().await
    };
    tokio::select! {
        code = carry_output(output, stdout, stderr, &mut exit) => match code {
            Ok(code) => outcome(code),
            Err(error) => Status::internal(error.to_string()).to_value(),
        },
        never = incoming => never,
    }
}

/// Sends what the program writes; returns its exit status once all of it is sent.
async fn carry_output(
    client: ClientOutput,
    mut stdout: ByteReader,
    mut stderr: ByteReader,
    exit: &mut (impl Future<Output = i32> + Unpin),
) -> io::Result<i32> {
    let (mut out_open, mut err_open) = (true, true);
    let mut code = None;
    let mut silent_until = Instant::now() + SILENCE_AFTER_EXIT;
    while code.is_none() || out_open || err_open {
        let mut out = BytesMut::with_capacity(CHUNK);
        let mut err = BytesMut::with_capacity(CHUNK);
        let (outlet, piece) = tokio::select! {
            // A failed read is an end too: a terminal reports its hang-up so.
            read = stdout.read_buf(&mut out), if out_open => {
                out_open = read.is_ok_and(|length| length > 0);
                (&client.stdout, out)
            }
            read = stderr.read_buf(&mut err), if err_open => {
                err_open = read.is_ok_and(|length| length > 0);
                (&client.stderr, err)
            }
            ended = &mut *exit, if code.is_none() => {
                code = Some(ended);
                // What it wrote at last may not have been read yet, however long it was silent before.
                silent_until = Instant::now() + SILENCE_AFTER_EXIT;
                continue;
            }
            () = sleep_until(silent_until), if code.is_some() => break,
        };
        if let Some(outlet) = outlet
            && !piece.is_empty()
        {
            outlet.send(piece.freeze()).await?;
        }
        silent_until = Instant::now() + SILENCE_AFTER_EXIT;
    }
    for outlet in [client.stdout, client.stderr].into_iter().flatten() {
        outlet.finish().await;
    }
    Ok(code.unwrap_or_default())
}

/// Hands what the client sends to the program, and then the end of it.
async fn carry_stdin(client: Option<Inlet>, program: Option<ByteWriter>) {
    let (Some(mut client), Some(mut program)) = (client, program) else { return };
    while let Some(Input::Bytes(bytes)) = client.recv().await {
        let written = async {
            program.write_all(&bytes).await?;
            program.flush().await
        };
        if written.await.is_err() {
            // The program has closed its input; what it still writes is worth waiting for.
            return;
        }
    }
    let _ = program.shutdown().await;
}

async fn carry_sizes(client: Option<Inlet>, program: Option<mpsc::Sender<TerminalSize>>) {
    let (Some(mut client), Some(program)) = (client, program) else { return };
    let mut sizes = Sizes::default();
    while let Some(Input::Bytes(bytes)) = client.recv().await {
        if let Some(size) = sizes.take(&bytes) {
            // A lost size is repaired by the next one; a full queue must not hold up the input.
            let _ = program.try_send(size);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncWriteExt as _, duplex, empty};

    use super::*;
    use crate::pods::wire::{Output, QUEUE};

    /// Runs a program that is silent for a long time, then writes and ends at once; what the client gets of it.
    async fn heard_of_a_late_word() -> Vec<u8> {
        let (mut program, stdout) = duplex(CHUNK);
        let exit = async move {
            tokio::time::sleep(2 * SILENCE_AFTER_EXIT).await;
            program.write_all(b"done").await.unwrap();
            7
        };
        let (queue, mut sent) = mpsc::channel(QUEUE);
        let client = ClientOutput { stdout: Some(Outlet::new(1, queue)), stderr: None };
        let code = carry_output(client, Box::new(stdout), Box::new(empty()), &mut Box::pin(exit)).await;
        assert_eq!(code.unwrap(), 7);
        let mut heard = Vec::new();
        while let Some((_, output)) = sent.recv().await {
            if let Output::Bytes(bytes) = output {
                heard.extend_from_slice(&bytes);
            }
        }
        heard
    }

    #[tokio::test]
    async fn the_last_words_of_a_program_that_was_long_silent_arrive() {
        // Which of several events that are there at once is looked at first is left to chance.
        let heard = futures_util::future::join_all((0..64).map(|_| heard_of_a_late_word())).await;
        assert!(heard.iter().all(|heard| heard == b"done"), "{heard:?}");
    }

    #[test]
    fn a_terminal_has_no_separate_error_stream() {
        let pod =
            json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "a"}]}});
        let query = Query::parse("command=sh&stdin=true&stdout=true&stderr=true&tty=true");
        let request = exec_request(&pod, &query).unwrap();
        assert!(request.tty && request.stdin && request.stdout && !request.stderr);
        let text = |query| exec_request(&pod, &Query::parse(query)).unwrap_err().message;
        assert!(text("stdout=true").contains("command"));
        assert!(text("command=a").contains("stdin"));
        let streams = |version| Request::Exec(request.clone()).streams(version).len();
        assert_eq!((streams(SpdyVersion::V2), streams(SpdyVersion::V4)), (3, 4));
    }
}
