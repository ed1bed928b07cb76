//! Servers that say who they are, where they were reached, and which address they saw; TCP and UDP.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread::{self, JoinHandle};

use netns::{Netns, run_in};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use types::Protocol;

use crate::judge::Place;

/// A server's socket, made in its namespace, and who answers there.
pub(crate) struct Socket {
    greeting: String,
    kind: Kind,
}

enum Kind {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

/// Opens sockets in a namespace.
pub(crate) fn open(netns: &Netns, place: &Place, at: &BTreeSet<(Protocol, SocketAddr)>) -> Vec<Socket> {
    let open_one = |(protocol, address): &(Protocol, SocketAddr)| {
        let kind = match protocol {
            Protocol::Tcp => {
                let listener =
                    TcpListener::bind(address).unwrap_or_else(|error| panic!("{place} {address}: {error}"));
                listener.set_nonblocking(true).unwrap();
                Kind::Tcp(listener)
            }
            Protocol::Udp => {
                let socket =
                    UdpSocket::bind(address).unwrap_or_else(|error| panic!("{place} {address}: {error}"));
                socket.set_nonblocking(true).unwrap();
                Kind::Udp(socket)
            }
            Protocol::Sctp => return None,
        };
        Some(Socket { greeting: format!("{place}|{address}"), kind })
    };
    run_in(netns, || at.iter().filter_map(open_one).collect()).unwrap()
}

/// A thread that serves sockets until it is dropped.
#[derive(Default)]
pub(crate) struct Servers {
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Servers {
    /// Starts the thread.
    pub(crate) fn start(sockets: Vec<Socket>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                sockets.into_iter().for_each(serve);
                // The sender only goes away; it never sends.
                let _ = stopped.await;
            });
        });
        Self { running: Some((stop, thread)) }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            thread.join().unwrap();
        }
    }
}

fn serve(socket: Socket) {
    let greeting = socket.greeting;
    match socket.kind {
        Kind::Tcp(listener) => {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            tokio::spawn(async move {
                while let Ok((mut stream, client)) = listener.accept().await {
                    // A client that left is no error of the server.
                    let _ = stream.write_all(format!("{greeting}|{}", client.ip()).as_bytes()).await;
                }
            });
        }
        Kind::Udp(socket) => {
            let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
            tokio::spawn(async move {
                let mut buffer = [0; 16];
                loop {
                    // An error is one of an earlier answer: its client has gone.
                    let Ok((_, client)) = socket.recv_from(&mut buffer).await else { continue };
                    let _ = socket.send_to(format!("{greeting}|{}", client.ip()).as_bytes(), client).await;
                }
            });
        }
    }
}
