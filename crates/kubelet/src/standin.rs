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

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use netns::Netns;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_util::sync::CancellationToken;
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

/// A running stand-in; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct StandIn {
    stopping: CancellationToken,
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
        let answers = Arc::new(Answers::new(identity, log));
        for socket in bound {
            spawn(socket, Arc::clone(&answers), stopping.clone()).map_err(|error| error.to_string())?;
        }
        Ok(Self { stopping })
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

fn spawn(socket: Bound, answers: Arc<Answers>, stopping: CancellationToken) -> io::Result<()> {
    match socket {
        Bound::Tcp(listener) => {
            let listener = TcpListener::from_std(listener)?;
            tokio::spawn(async move {
                while let Some(Ok((stream, peer))) = stopping.run_until_cancelled(listener.accept()).await {
                    let connection = serve(stream, peer, Arc::clone(&answers));
                    let stopping = stopping.clone();
                    tokio::spawn(async move { stopping.run_until_cancelled(connection).await });
                }
            });
        }
        Bound::Udp(socket) => {
            let socket = UdpSocket::from_std(socket)?;
            tokio::spawn(async move { stopping.run_until_cancelled(echo_datagrams(socket)).await });
        }
    }
    Ok(())
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

async fn serve(stream: TcpStream, client: SocketAddr, answers: Arc<Answers>) {
    let Ok(own) = stream.local_addr() else { return };
    let ends = Ends { client, port: own.port() };
    // Small answers should leave at once.
    let _ = stream.set_nodelay(true);
    match speaks_http(&stream).await {
        Ok(true) => {
            let service = service_fn(move |request| {
                let answers = Arc::clone(&answers);
                async move { Ok::<_, std::convert::Infallible>(answers.answer(request, ends).await) }
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            // A client that leaves early is no failure of ours.
            let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        }
        Ok(false) => {
            answers.note(ends, "TCP echo");
            let (mut from, mut to) = stream.into_split();
            let _ = tokio::io::copy(&mut from, &mut to).await;
        }
        Err(_) => {}
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
