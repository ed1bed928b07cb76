//! Commands in containers, over the API.

use std::io::Cursor;

use apply_kube::{Error, Exec, ExitStatus, Streams, Terminal, TerminalSize, Writer, exec};
use futures_util::future::BoxFuture;
use serde_json::json;
use serve_api::{
    AttachRequest, ByteStream, ExecRequest, ExecSession, LogRequest, LogStream, PodRuntime, RuntimeError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, oneshot, watch};
use types::{NamespacedName, PodName};

use crate::server::{TestServer, in_time};

/// A runtime whose only program, `upper`, copies its input in capitals, complains about itself, and exits with its
/// argument; with a terminal it prints the terminal's sizes instead.
pub(crate) struct UpperPods;

impl PodRuntime for UpperPods {
    fn logs(
        &self,
        pod: NamespacedName,
        _: LogRequest,
    ) -> BoxFuture<'static, Result<LogStream, RuntimeError>> {
        Box::pin(async move { Err(RuntimeError::NotFound(format!("{pod} has no logs"))) })
    }

    fn runs(&self, _: &NamespacedName, _: &str) -> Result<(), RuntimeError> {
        Ok(())
    }

    fn exec(
        &self,
        _: NamespacedName,
        request: ExecRequest,
    ) -> BoxFuture<'static, Result<ExecSession, RuntimeError>> {
        Box::pin(async move {
            if request.command[0] != "upper" {
                return Err(RuntimeError::Refused(format!("no program `{}`", request.command[0])));
            }
            let code = request.command.get(1).and_then(|code| code.parse().ok()).unwrap_or(0);
            let (stdin, input) = tokio::io::duplex(1024);
            let (output, stdout) = tokio::io::duplex(1024);
            let (complaint, stderr) = tokio::io::duplex(1024);
            let (resize, sizes) = mpsc::channel(4);
            let (ended, exit) = oneshot::channel();
            match request.tty {
                true => tokio::spawn(print_sizes(sizes, output, ended, code)),
                false => tokio::spawn(upper(request.stdin.then_some(input), output, complaint, ended, code)),
            };
            Ok(ExecSession {
                stdin: request.stdin.then(|| Box::new(stdin) as _),
                stdout: Box::new(stdout),
                stderr: Box::new(stderr),
                resize: request.tty.then_some(resize),
                exit: Box::pin(async { exit.await.unwrap_or(137) }),
            })
        })
    }

    fn attach(
        &self,
        pod: NamespacedName,
        _: AttachRequest,
    ) -> BoxFuture<'static, Result<ExecSession, RuntimeError>> {
        Box::pin(async move { Err(RuntimeError::NotFound(format!("{pod} runs nothing to attach to"))) })
    }

    fn dial(&self, pod: NamespacedName, port: u16) -> BoxFuture<'static, Result<ByteStream, RuntimeError>> {
        Box::pin(
            async move { Err(RuntimeError::Refused(format!("{pod} listens on no port, not on {port}"))) },
        )
    }

    fn reach(&self, address: std::net::SocketAddr) -> BoxFuture<'static, Result<ByteStream, RuntimeError>> {
        Box::pin(async move { Err(RuntimeError::NotFound(format!("nothing here reaches {address}"))) })
    }
}

async fn upper(
    input: Option<DuplexStream>,
    mut output: DuplexStream,
    mut complaint: DuplexStream,
    ended: oneshot::Sender<i32>,
    code: i32,
) {
    let mut text = String::new();
    if let Some(mut input) = input {
        input.read_to_string(&mut text).await.expect("text");
    }
    output.write_all(text.to_uppercase().as_bytes()).await.expect("read");
    complaint.write_all(b"so loud").await.expect("read");
    drop((output, complaint));
    ended.send(code).expect("awaited");
}

async fn print_sizes(
    mut sizes: mpsc::Receiver<serve_api::TerminalSize>,
    mut output: DuplexStream,
    ended: oneshot::Sender<i32>,
    code: i32,
) {
    for _ in 0..2 {
        let size = sizes.recv().await.expect("a size");
        output.write_all(format!("{}x{} ", size.width, size.height).as_bytes()).await.expect("read");
    }
    drop(output);
    ended.send(code).expect("awaited");
}

async fn server_with_pod() -> TestServer {
    let server = TestServer::start().await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "web", "namespace": "default" },
        "spec": { "nodeName": "node-a", "containers": [{ "name": "main", "image": "example" }] },
    });
    Writer::new(server.client.clone()).create(&pod).await.expect("created");
    server
}

fn mk_exec(command: &[&str], terminal: Terminal) -> Exec {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    Exec { pod: PodName::new("default", "web"), container: None, command, terminal }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_reads_writes_and_exits() {
    let server = server_with_pod().await;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let long = "word ".repeat(20_000);
    let streams = Streams {
        stdin: Some(Cursor::new(long.clone().into_bytes())),
        stdout: &mut stdout,
        stderr: &mut stderr,
    };
    let command = mk_exec(&["upper", "7"], Terminal::None);
    let status = in_time("the command", exec(&server.client, &command, streams)).await.expect("ran");
    assert_eq!(status, ExitStatus::Code(7));
    assert_eq!(String::from_utf8(stdout).expect("text"), long.to_uppercase());
    assert_eq!(stderr, b"so loud");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_without_input_ends() {
    let server = server_with_pod().await;
    let mut stdout = Vec::new();
    let streams = Streams { stdin: None::<tokio::io::Empty>, stdout: &mut stdout, stderr: tokio::io::sink() };
    let command = mk_exec(&["upper"], Terminal::None);
    let status = in_time("the command", exec(&server.client, &command, streams)).await;
    assert_eq!(status.expect("ran"), ExitStatus::Code(0));
    assert!(stdout.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_tells_its_sizes() {
    let server = server_with_pod().await;
    let (resize, sizes) = watch::channel(TerminalSize { width: 80, height: 24 });
    let (stdout, mut screen) = tokio::io::duplex(1024);
    let streams = Streams { stdin: None::<tokio::io::Empty>, stdout, stderr: tokio::io::sink() };
    let command = mk_exec(&["upper"], Terminal::Tty(sizes));
    let looking = async {
        let mut first = [0; 6];
        screen.read_exact(&mut first).await.expect("the first size");
        resize.send(TerminalSize { width: 132, height: 43 }).expect("listened to");
        let mut second = String::new();
        screen.read_to_string(&mut second).await.expect("the second size");
        (first, second)
    };
    let both = async { tokio::join!(exec(&server.client, &command, streams), looking) };
    let (status, (first, second)) = in_time("the command", both).await;
    assert_eq!(status.expect("ran"), ExitStatus::Code(0));
    assert_eq!((&first, second.as_str()), (b"80x24 ", "132x43 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_run_says_why() {
    let server = server_with_pod().await;
    let streams =
        || Streams { stdin: None::<tokio::io::Empty>, stdout: tokio::io::sink(), stderr: tokio::io::sink() };
    let command = mk_exec(&["missing"], Terminal::None);
    let outcome = in_time("a refusal", exec(&server.client, &command, streams())).await;
    let text = match outcome {
        Ok(ExitStatus::NotRun(reason)) => reason,
        Ok(ExitStatus::Code(code)) => panic!("ended with {code}"),
        Err(error) => format!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string)),
    };
    assert!(text.contains("no program `missing`"), "{text}");
    let mut nowhere = mk_exec(&["upper"], Terminal::None);
    nowhere.pod = PodName::new("default", "nobody");
    let outcome = in_time("a refusal", exec(&server.client, &nowhere, streams())).await;
    assert!(matches!(outcome, Err(Error::NotFound { .. })), "{outcome:?}");
}
