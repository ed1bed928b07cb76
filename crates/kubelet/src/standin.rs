//! Stand-ins: servers that answer in place of images, many in one process, each with its Pod's identity.
//!
//! Sockets are opened inside the Pod's network namespace and served by tasks of this process. On TCP, what looks like
//! HTTP is answered as HTTP (with WebSocket and gRPC echo), everything else comes back as it was sent; on UDP every datagram comes back.

mod answer;
mod websocket;

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use netns::Netns;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::{PortProto, Protocol};

pub(crate) use answer::Identity;
use answer::{Answers, Ends};

use crate::logs::RunLog;

/// Length of the queue of connections not yet accepted (`SOMAXCONN` of Linux since 5.4).
const BACKLOG: i32 = 4096;
/// The largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;
/// Pause between looks at a connection whose first bytes do not yet tell what it speaks.
const FIRST_BYTES_PAUSE: Duration = Duration::from_millis(5);

/// How long a connection that has said nothing yet is listened to once the stand-in is asked to end.
const SILENCE_LIMIT: Duration = Duration::from_millis(500);

/// A running stand-in; it ends when this is dropped.
pub(crate) struct StandIn {
    stopping: CancellationToken,
    work: Work,
}

/// Everything that one stand-in has to do.
#[derive(Clone)]
struct Work {
    answers: Arc<Answers>,
    tasks: TaskTracker,
    /// No more connections; those that are there end with their present request.
    ending: CancellationToken,
    /// Everything ends now.
    stopping: CancellationToken,
}

impl std::fmt::Debug for StandIn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StandIn").field("stopping", &self.stopping).finish_non_exhaustive()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

enum Bound {
    Tcp(std::net::TcpListener),
    Udp(std::net::UdpSocket),
}

impl StandIn {
    /// Opens the ports inside the Pod and answers on them.
    ///
    /// # Errors
    /// When a port is taken inside the Pod; the text names it.
    pub(crate) fn start(
        netns: &Netns,
        ports: &BTreeSet<PortProto>,
        identity: Identity,
        log: Arc<RunLog>,
    ) -> Result<Self, String> {
        let bound = netns::run_in(netns, || bind_all(ports)).map_err(|error| error.to_string())??;
        let stopping = CancellationToken::new();
        let work = Work {
            answers: Arc::new(Answers::new(identity, log)),
            tasks: TaskTracker::new(),
            ending: CancellationToken::new(),
            stopping: stopping.clone(),
        };
        for socket in bound {
            work.serve(socket).map_err(|error| error.to_string())?;
        }
        Ok(Self { stopping, work })
    }

    /// Completes when this is dropped.
    pub(crate) fn killed(&self) -> impl Future<Output = ()> + Send + use<> {
        self.stopping.clone().cancelled_owned()
    }

    /// Asks it to end as a good server does: it takes no more connections and answers the requests that it has. Completes
    /// when that is done.
    pub(crate) fn end(&self) -> impl Future<Output = ()> + Send + use<> {
        self.work.ending.cancel();
        self.work.tasks.close();
        let tasks = self.work.tasks.clone();
        async move { tasks.wait().await }
    }
}

fn bind_all(ports: &BTreeSet<PortProto>) -> Result<Vec<Bound>, String> {
    let mut bound = Vec::new();
    for port in ports {
        bound.push(
            bind(*port, Domain::IPV4).map_err(|error| format!("cannot listen on port {port}: {error}"))?,
        );
        // Where the kernel has no IPv6, clients cannot have it either.
        bound.extend(bind(*port, Domain::IPV6));
    }
    Ok(bound)
}

fn bind(port: PortProto, family: Domain) -> io::Result<Bound> {
    let kind = match port.protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
        Protocol::Sctp => return Err(io::Error::other("stand-ins do not speak SCTP")),
    };
    let socket = Socket::new(family, kind, None)?;
    let number = port.port.number();
    let at = if family == Domain::IPV6 {
        socket.set_only_v6(true)?;
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, number))
    } else {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, number))
    };
    socket.set_nonblocking(true)?;
    if kind == Type::STREAM {
        // As every server does, so that a restart is not held up by connections of the last run.
        socket.set_reuse_address(true)?;
        socket.bind(&at.into())?;
        socket.listen(BACKLOG)?;
        Ok(Bound::Tcp(socket.into()))
    } else {
        socket.bind(&at.into())?;
        Ok(Bound::Udp(socket.into()))
    }
}

impl Work {
    fn serve(&self, socket: Bound) -> io::Result<()> {
        match socket {
            Bound::Tcp(listener) => {
                let listener = TcpListener::from_std(listener)?;
                self.spawn(self.clone().accept(listener));
            }
            Bound::Udp(socket) => {
                let (socket, ending) = (UdpSocket::from_std(socket)?, self.ending.clone());
                self.spawn(async move {
                    ending.run_until_cancelled(echo_datagrams(socket)).await;
                });
            }
        }
        Ok(())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.tasks.spawn(async move {
            stopping.run_until_cancelled(task).await;
        });
    }

    async fn accept(self, listener: TcpListener) {
        while let Some(Ok((stream, peer))) = self.ending.run_until_cancelled(listener.accept()).await {
            self.spawn(self.clone().converse(stream, peer));
        }
        // Connections that the kernel has taken already belong to clients who expect an answer.
        while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
            self.spawn(self.clone().converse(stream, peer));
        }
    }

    async fn converse(self, stream: TcpStream, client: SocketAddr) {
        let Ok(own) = stream.local_addr() else { return };
        let ends = Ends { client, port: own.port() };
        // Small answers should leave at once.
        let _ = stream.set_nodelay(true);
        let heard = tokio::select! {
            heard = speaks_http(&stream) => heard,
            () = self.silence() => return,
        };
        match heard {
            Ok(true) => self.converse_in_http(stream, ends).await,
            Ok(false) => {
                self.answers.note(ends, "TCP echo");
                let (mut from, mut to) = stream.into_split();
                let echo = tokio::io::copy(&mut from, &mut to);
                let _ = self.ending.run_until_cancelled(echo).await;
            }
            Err(_) => {}
        }
    }

    /// Completes when a client that says nothing is listened to no longer.
    async fn silence(&self) {
        self.ending.cancelled().await;
        tokio::time::sleep(SILENCE_LIMIT).await;
    }

    async fn converse_in_http(&self, stream: TcpStream, ends: Ends) {
        let answers = Arc::clone(&self.answers);
        let service = service_fn(move |request| {
            let answers = Arc::clone(&answers);
            async move { Ok::<_, std::convert::Infallible>(answers.answer(request, ends).await) }
        });
        let builder = auto::Builder::new(TokioExecutor::new());
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            // A client that leaves early is no failure of ours.
            _ = connection.as_mut() => return,
            () = self.ending.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

async fn echo_datagrams(socket: UdpSocket) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        // An ICMP error about an earlier answer arrives here too; it concerns nobody else.
        if let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..length], peer).await;
        }
    }
}

/// Methods of RFC 9110 section 9 and RFC 5789, and the preface of HTTP/2 (RFC 9113 section 3.4).
const HTTP_STARTS: [&[u8]; 10] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
    b"PRI * HTTP/2",
];

async fn speaks_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; 16];
    loop {
        let length = stream.peek(&mut first).await?;
        let seen = &first[..length];
        if length == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        if HTTP_STARTS.iter().any(|start| seen.starts_with(start)) {
            return Ok(true);
        }
        if !HTTP_STARTS.iter().any(|start| start.starts_with(seen)) {
            return Ok(false);
        }
        tokio::time::sleep(FIRST_BYTES_PAUSE).await;
    }
}
