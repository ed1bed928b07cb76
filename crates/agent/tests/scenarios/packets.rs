//! Clients: connections made at once, and what their sockets hear.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use netns::{Netns, run_in};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::timeout;
use types::Protocol;

/// How long a UDP client waits before it asks again: a refusal is lost when many were sent to it just before.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// How a connection went.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// Who answered, at which of its sockets, and the address it saw.
    Reached { place: String, end: SocketAddr, seen: IpAddr },
    /// A TCP reset or an ICMP error.
    Refused,
    /// Nothing.
    Silence,
    /// Something else.
    Other(String),
}

/// Connections that a client makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws {
    /// The client's address; the kernel chooses when it is `None`.
    pub(crate) source: Option<IpAddr>,
    pub(crate) destination: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) number: usize,
    /// How long each waits.
    pub(crate) patience: Duration,
}

impl Draws {
    /// Makes the connections, all at once.
    pub(crate) fn run(self, netns: &Netns) -> Vec<Answer> {
        run_in(netns, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(join_all((0..self.number).map(|_| self.connect())))
        })
        .unwrap()
    }

    async fn connect(self) -> Answer {
        let told = match self.protocol {
            Protocol::Udp => timeout(self.patience, self.udp()).await,
            _ => timeout(self.patience, self.tcp()).await,
        };
        match told {
            Err(_) => Answer::Silence,
            Ok(Ok(text)) => parse(&text).unwrap_or(Answer::Other(text)),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Answer::Refused,
            Ok(Err(error)) => Answer::Other(error.to_string()),
        }
    }

    fn own_end(self) -> SocketAddr {
        let any: IpAddr = if self.destination.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        SocketAddr::new(self.source.unwrap_or(any), 0)
    }

    async fn tcp(self) -> io::Result<String> {
        let socket = if self.destination.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if self.source.is_some() {
            socket.bind(self.own_end())?;
        }
        let mut text = String::new();
        socket.connect(self.destination).await?.read_to_string(&mut text).await?;
        Ok(text)
    }

    async fn udp(self) -> io::Result<String> {
        let socket = UdpSocket::bind(self.own_end()).await?;
        socket.connect(self.destination).await?;
        let mut buffer = [0; 256];
        loop {
            match socket.send(b"?").await {
                // The node's own rules stop it; a refusal is heard below, a drop is not.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                sent => drop(sent?),
            }
            if let Ok(received) = timeout(ASK_AGAIN, socket.recv(&mut buffer)).await {
                return Ok(String::from_utf8_lossy(&buffer[..received?]).into_owned());
            }
        }
    }
}

fn parse(text: &str) -> Option<Answer> {
    let mut parts = text.split('|');
    let place = parts.next()?.to_owned();
    Some(Answer::Reached { place, end: parts.next()?.parse().ok()?, seen: parts.next()?.parse().ok()? })
}
