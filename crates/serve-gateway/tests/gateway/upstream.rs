//! Backends that fail, are slow, stream, or change the protocol.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::world::{DEADLINE, HOST, get, mk_backend, mk_dead_backend, mk_plan, send, start};

/// A backend that treats each connection as this function does.
async fn mk_raw_backend<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_dead_backend_is_passed_over() {
    let backends = [mk_dead_backend().await, mk_dead_backend().await, mk_backend("web").await];
    let (_gateway, address) = start(&mk_plan(&backends).await, |_| ());
    for _ in 0..20 {
        let request = Request::builder().method("POST").uri("/").header("host", HOST);
        let reply = send(address, request.body(Full::new(Bytes::from_static(b"once"))).unwrap()).await;
        assert_eq!(reply.status, 200);
        assert!(reply.body.ends_with("\n\nonce"), "the body is whole: {}", reply.body);
    }
}

#[tokio::test]
async fn without_a_living_backend_there_is_502() {
    let backends = [mk_dead_backend().await, mk_dead_backend().await];
    let (_gateway, address) = start(&mk_plan(&backends).await, |_| ());
    let reply = get(address, HOST, "/").await;
    assert_eq!(reply.status, 502);
    assert!(reply.body.contains("502 Bad Gateway"));
}

#[tokio::test]
async fn a_backend_that_hangs_up_is_502() {
    let backend = mk_raw_backend(|mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    let (_gateway, address) = start(&mk_plan(&[backend]).await, |_| ());
    assert_eq!(get(address, HOST, "/").await.status, 502);
}

#[tokio::test]
async fn a_silent_backend_is_504() {
    let backend = mk_raw_backend(|mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let (_gateway, address) = start(&mk_plan(&[backend]).await, |config| {
        config.read_timeout = Duration::from_millis(100);
    });
    assert_eq!(get(address, HOST, "/").await.status, 504);
}

type Parts = tokio::sync::mpsc::Receiver<Bytes>;

/// A body whose parts come from a channel.
fn mk_stream(parts: Parts) -> impl hyper::body::Body<Data = Bytes, Error = std::io::Error> {
    StreamBody::new(Channel(parts))
}

struct Channel(Parts);

impl futures_util::Stream for Channel {
    type Item = Result<Frame<Bytes>, std::io::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|part| part.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Bodies flow both ways at once: the backend answers each part of the upload before the next one is sent, and the
/// whole takes longer than a backend may be silent.
#[tokio::test]
async fn bodies_stream_both_ways() {
    let backend = mk_raw_backend(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        let mut buffer = [0; 64];
        loop {
            let length = stream.read(&mut buffer).await.unwrap();
            if buffer[..length].ends_with(b"0\r\n\r\n") {
                break;
            }
            stream.write_all(&buffer[..length]).await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    })
    .await;
    let (_gateway, address) = start(&mk_plan(&[backend]).await, |_| ());
    let (sender, parts) = tokio::sync::mpsc::channel(1);
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().method("POST").uri("/").header("host", HOST).body(mk_stream(parts));
    let response = timeout(DEADLINE, client.send_request(request.unwrap())).await.unwrap().unwrap();
    let mut body = response.into_body();
    for part in ["one", "two", "three"] {
        sender.send(Bytes::from_static(part.as_bytes())).await.unwrap();
        let frame = timeout(DEADLINE, body.frame()).await.unwrap().unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), part);
    }
    drop(sender);
    assert!(timeout(DEADLINE, body.frame()).await.unwrap().is_none());
}

/// A slow upload keeps a silent backend from counting as dead.
#[tokio::test]
async fn a_slow_upload_is_not_a_silent_backend() {
    let backend = mk_backend("web").await;
    let (_gateway, address) = start(&mk_plan(&[backend]).await, |config| {
        config.read_timeout = Duration::from_millis(400);
    });
    let (sender, parts) = tokio::sync::mpsc::channel(1);
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        for _ in 0..10 {
            ticks.tick().await;
            sender.send(Bytes::from_static(b"x")).await.unwrap();
        }
    });
    let request = Request::builder().method("POST").uri("/").header("host", HOST).body(mk_stream(parts));
    let response = timeout(DEADLINE, client.send_request(request.unwrap())).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.ends_with(b"\n\nxxxxxxxxxx"));
}

#[tokio::test]
async fn websocket_passes_through() {
    let (told, head) = oneshot::channel();
    let told = std::sync::Mutex::new(Some(told));
    let backend = mk_raw_backend(move |mut stream| {
        let told = told.lock().unwrap().take();
        async move {
            let head = read_head(&mut stream).await;
            told.unwrap().send(head).unwrap();
            let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                          Sec-WebSocket-Accept: abc\r\n\r\n";
            stream.write_all(switch.as_bytes()).await.unwrap();
            let mut buffer = [0; 64];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..length]).await.unwrap();
            }
        }
    })
    .await;
    let (_gateway, address) = start(&mk_plan(&[backend]).await, |_| ());
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /chat HTTP/1.1\r\nHost: {HOST}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: xyz\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = timeout(DEADLINE, read_head(&mut stream)).await.unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert!(
        answer.contains("upgrade: websocket") && answer.contains("sec-websocket-accept: abc"),
        "{answer}"
    );
    let head = head.await.unwrap().to_lowercase();
    assert!(head.contains("connection: upgrade\r\n") && head.contains("sec-websocket-key: xyz"), "{head}");
    for message in ["ping", "pong"] {
        stream.write_all(message.as_bytes()).await.unwrap();
        let mut buffer = [0; 4];
        timeout(DEADLINE, stream.read_exact(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(buffer, message.as_bytes());
    }
}

#[tokio::test]
async fn a_backend_that_changes_the_protocol_unasked_is_502() {
    let backend = mk_raw_backend(|mut stream| async move {
        read_head(&mut stream).await;
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
        stream.write_all(switch).await.unwrap();
    })
    .await;
    let (_gateway, address) = start(&mk_plan(&[backend]).await, |_| ());
    assert_eq!(get(address, HOST, "/").await.status, 502);
}
