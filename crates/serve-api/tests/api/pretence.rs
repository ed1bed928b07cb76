//! A runtime that only pretends to run Pods.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use serve_api::{
    AttachRequest, ByteStream, ExecRequest, ExecSession, LogRequest, LogStream, PodRuntime, RuntimeError,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use types::NamespacedName;

use sealane_serve_api as serve_api;

/// A runtime whose programs are `echo`, `cat`, `count`, `false`, `flood` and `idle`. Port 7 of its Pods counts, port 80
/// speaks HTTP, all others refuse.
pub(crate) struct Pretence {
    pub(crate) conversations: Arc<AtomicUsize>,
}

/// One program or connection.
struct Conversation(Arc<AtomicUsize>);

impl Conversation {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl PodRuntime for Pretence {
    fn logs(
        &self,
        pod: NamespacedName,
        request: LogRequest,
    ) -> BoxFuture<'static, Result<LogStream, RuntimeError>> {
        Box::pin(async move {
            if request.previous {
                let text = format!(
                    "previous terminated container \"{}\" in pod \"{}\" not found",
                    request.container, pod.name
                );
                return Err(RuntimeError::NotReady(text));
            }
            let lines = ["one\n", "two\n", "three\n"];
            let skip =
                lines.len().saturating_sub(request.tail_lines.map_or(3, |n| usize::try_from(n).unwrap()));
            let stamp = if request.timestamps { "2026-01-01T00:00:00.000000000Z " } else { "" };
            let text: String = lines[skip..].iter().map(|line| format!("{stamp}{line}")).collect();
            let (mut writer, reader) = tokio::io::duplex(1024);
            tokio::spawn(async move {
                writer.write_all(text.as_bytes()).await.unwrap();
                if request.follow {
                    writer.write_all(b"followed\n").await.unwrap();
                }
            });
            Ok(LogStream { output: Box::new(reader) })
        })
    }

    /// All but one run.
    fn runs(&self, _pod: &NamespacedName, container: &str) -> Result<(), RuntimeError> {
        match container {
            "crashed" => Err(RuntimeError::NotReady("container \"crashed\" is not running".to_owned())),
            _ => Ok(()),
        }
    }

    fn exec(
        &self,
        _pod: NamespacedName,
        request: ExecRequest,
    ) -> BoxFuture<'static, Result<ExecSession, RuntimeError>> {
        let conversation = Conversation::begin(&self.conversations);
        Box::pin(async move {
            let (program, arguments) = request.command.split_first().unwrap();
            let arguments = arguments.join(" ");
            let (mut out, stdout) = tokio::io::duplex(1024);
            let (mut err, stderr) = tokio::io::duplex(1024);
            let (stdin, mut input) = tokio::io::duplex(1024);
            let exit: BoxFuture<'static, i32> = match program.as_str() {
                "echo" => Box::pin(async move {
                    out.write_all(format!("{arguments}\n").as_bytes()).await.unwrap();
                    0
                }),
                "cat" => Box::pin(async move {
                    tokio::io::copy(&mut input, &mut out).await.unwrap();
                    0
                }),
                "false" => Box::pin(async move {
                    err.write_all(b"it failed\n").await.unwrap();
                    3
                }),
                "count" => Box::pin(async move {
                    let mut all = Vec::new();
                    input.read_to_end(&mut all).await.unwrap();
                    out.write_all(format!("{}\n", all.len()).as_bytes()).await.unwrap();
                    0
                }),
                "flood" => Box::pin(async move {
                    while out.write_all(&[b'x'; 4096]).await.is_ok() {}
                    0
                }),
                "idle" => Box::pin(async move {
                    let _held = (input, out, err);
                    std::future::pending().await
                }),
                other => {
                    return Err(RuntimeError::Refused(format!(
                        "exec: \"{other}\": executable file not found in $PATH"
                    )));
                }
            };
            // As with a process, the end of the program does not depend on who waits for it.
            let running = tokio::spawn(exit);
            Ok(ExecSession {
                stdin: request.stdin.then(|| Box::new(stdin) as _),
                stdout: Box::new(stdout),
                stderr: Box::new(stderr),
                resize: None,
                exit: Box::pin(async move {
                    let _conversation = conversation;
                    running.await.unwrap()
                }),
            })
        })
    }

    /// The program of every container says what it reads back, after a greeting.
    fn attach(
        &self,
        pod: NamespacedName,
        request: AttachRequest,
    ) -> BoxFuture<'static, Result<ExecSession, RuntimeError>> {
        let conversation = Conversation::begin(&self.conversations);
        Box::pin(async move {
            let (mut out, stdout) = tokio::io::duplex(1024);
            let (stdin, mut input) = tokio::io::duplex(1024);
            let running = tokio::spawn(async move {
                let greeting = format!("joined {} of {}\n", request.container, pod.name);
                out.write_all(greeting.as_bytes()).await.unwrap();
                if request.stdin {
                    tokio::io::copy(&mut input, &mut out).await.unwrap();
                }
                0
            });
            Ok(ExecSession {
                stdin: request.stdin.then(|| Box::new(stdin) as _),
                stdout: Box::new(stdout),
                stderr: Box::new(tokio::io::empty()),
                resize: None,
                exit: Box::pin(async move {
                    let _conversation = conversation;
                    running.await.unwrap()
                }),
            })
        })
    }

    fn dial(&self, pod: NamespacedName, port: u16) -> BoxFuture<'static, Result<ByteStream, RuntimeError>> {
        let conversation = Conversation::begin(&self.conversations);
        Box::pin(async move {
            let (client, server) = tokio::io::duplex(1024);
            match port {
                7 => tokio::spawn(count(server, conversation)),
                80 => tokio::spawn(answer_http(server, pod, conversation)),
                _ => {
                    return Err(RuntimeError::Refused(format!(
                        "dial tcp4 127.0.0.1:{port}: connection refused"
                    )));
                }
            };
            Ok(Box::new(client) as ByteStream)
        })
    }

    /// Every address answers on port 8080, and in TLS on port 8443; what it answers depends on the path.
    fn reach(&self, address: SocketAddr) -> BoxFuture<'static, Result<ByteStream, RuntimeError>> {
        Box::pin(async move {
            let (client, server) = tokio::io::duplex(1024);
            match address.port() {
                8080 => drop(tokio::spawn(answer_by_path(server))),
                8443 => drop(tokio::spawn(answer_in_tls(server))),
                _ => return Err(RuntimeError::Refused(format!("dial tcp {address}: connection refused"))),
            }
            Ok(Box::new(client) as ByteStream)
        })
    }
}

/// Reads to the end of what the client sends, and only then says how much it was: both sides close separately.
async fn count(mut client: DuplexStream, _conversation: Conversation) {
    let length = tokio::io::copy(&mut client, &mut tokio::io::sink()).await.unwrap_or_default();
    let _ = client.write_all(format!("{length} bytes\n").as_bytes()).await;
}

/// Answers one request with its own head and closes.
async fn answer_http(mut client: DuplexStream, pod: NamespacedName, _conversation: Conversation) {
    let Some(head) = read_head(&mut client).await else { return };
    let body = format!("I am {pod}\n{}", head);
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let _ = client.write_all(answer.as_bytes()).await;
}

async fn read_head(client: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// The same with a certificate that nobody has signed.
async fn answer_in_tls(client: DuplexStream) {
    let made = rcgen::generate_simple_self_signed(["pod".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    // Whoever does not speak TLS is not answered.
    if let Ok(stream) = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(client).await {
        answer_by_path(stream).await;
    }
}

async fn answer_by_path(mut client: impl AsyncRead + AsyncWrite + Unpin) {
    let Some(head) = read_head(&mut client).await else { return };
    let length = |body: &str| format!("Content-Length: {}\r\n\r\n{body}", body.len());
    let answer = match head.split(' ').nth(1).unwrap() {
        "/moved" => format!("HTTP/1.1 302 Found\r\nLocation: /there?a=1\r\n{}", length("")),
        "/page" => {
            let page = "<a href=\"/there\">there</a>";
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n{}", length(page))
        }
        "/talk" => {
            let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
            client.write_all(switch.as_bytes()).await.unwrap();
            let (mut from, mut to) = tokio::io::split(client);
            let _ = tokio::io::copy(&mut from, &mut to).await;
            let _ = to.shutdown().await;
            return;
        }
        _ => format!("HTTP/1.1 418 I'm a teapot\r\nX-Kept: yes\r\n{}", length(&head)),
    };
    let _ = client.write_all(answer.as_bytes()).await;
}
