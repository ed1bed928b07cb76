//! Carries connections from the host's loopback to the first node's entries.

use std::net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::time::Duration;

use netns::Netns;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::LabError;

/// How long an answer to one DNS question may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;

/// Carries every TCP connection of `from` to `to`, opened inside a node or else from outside.
pub(crate) fn carry_tcp(
    from: StdTcpListener,
    to: SocketAddr,
    node: Option<Arc<Netns>>,
) -> Result<(), LabError> {
    from.set_nonblocking(true).map_err(|error| LabError::system("use a published socket", error))?;
    let listener =
        TcpListener::from_std(from).map_err(|error| LabError::system("use a published socket", error))?;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(carry_connection(client, to, node.clone()));
        }
    });
    Ok(())
}

async fn carry_connection(mut client: TcpStream, to: SocketAddr, node: Option<Arc<Netns>>) {
    let carried = async {
        let socket = socket_to(to, node.as_deref())?;
        let mut server = socket.connect(to).await?;
        tokio::io::copy_bidirectional(&mut client, &mut server).await
    };
    if let Err(error) = carried.await {
        tracing::debug!(%to, %error, "a published connection ended early");
    }
}

fn socket_to(to: SocketAddr, node: Option<&Netns>) -> std::io::Result<tokio::net::TcpSocket> {
    let make = || socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None);
    let socket = match node {
        Some(node) => netns::run_in(node, make).map_err(std::io::Error::other)??,
        None => make()?,
    };
    socket.set_nonblocking(true)?;
    Ok(tokio::net::TcpSocket::from_std_stream(socket.into()))
}

/// Carries every datagram of `from` to `to` and its answer back, asked inside `node`.
pub(crate) fn carry_udp(from: StdUdpSocket, to: SocketAddr, node: Arc<Netns>) -> Result<(), LabError> {
    from.set_nonblocking(true).map_err(|error| LabError::system("use a published socket", error))?;
    let socket =
        UdpSocket::from_std(from).map_err(|error| LabError::system("use a published socket", error))?;
    let socket = Arc::new(socket);
    tokio::spawn(async move {
        let mut buffer = vec![0; MAX_DATAGRAM];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            let (socket, node, question) =
                (Arc::clone(&socket), Arc::clone(&node), buffer[..length].to_vec());
            tokio::spawn(async move {
                if let Ok(Ok(answer)) = timeout(ANSWER_LIMIT, ask(&node, to, &question)).await {
                    let _ = socket.send_to(&answer, client).await;
                }
            });
        }
    });
    Ok(())
}

/// Sends one datagram from inside a namespace and waits for the answer.
pub(crate) async fn ask(node: &Netns, to: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let made = netns::run_in(node, || StdUdpSocket::bind(any));
    let socket = made.map_err(std::io::Error::other)??;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(socket)?;
    socket.connect(to).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; MAX_DATAGRAM];
    let length = socket.recv(&mut buffer).await?;
    buffer.truncate(length);
    Ok(buffer)
}
