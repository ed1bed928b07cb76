//! The sockets of a server: opened and closed as addresses come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use plan::{Failure, Report};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::shared::Shared;
use crate::tcp;
use crate::udp::Workers;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// The open sockets, and the threads that serve those for datagrams once there are any.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    open: BTreeMap<SocketAddr, Open>,
    workers: Option<Workers>,
}

/// What is open at one address.
#[derive(Debug)]
struct Open {
    /// One for each thread.
    datagrams: Vec<Arc<UdpSocket>>,
    connections: JoinHandle<()>,
}

/// What goes on for a moment after [`Sockets::close`].
pub(crate) struct Closing {
    threads: Vec<std::thread::JoinHandle<()>>,
    connections: Vec<JoinHandle<()>>,
}

impl Sockets {
    /// Opens what is missing and closes what is no longer wanted; other sockets are not touched.
    pub(crate) fn converge(&mut self, wanted: &BTreeSet<SocketAddr>, shared: &Arc<Shared>) -> Report {
        let mut report = Report::default();
        for (_, open) in self.open.extract_if(.., |address, _| !wanted.contains(address)) {
            open.connections.abort();
            report.written += 1;
        }
        for address in wanted.iter().filter(|address| !self.open.contains_key(address)).collect::<Vec<_>>() {
            match self.open_one(*address, shared) {
                Ok(()) => report.written += 1,
                Err(error) => report
                    .failures
                    .push(Failure { what: format!("DNS socket {address}"), why: error.to_string() }),
            }
        }
        if let (Some(workers), 1..) = (&self.workers, report.written) {
            workers.serve(self.open.values().map(|open| open.datagrams.as_slice()));
        }
        report
    }

    /// The addresses that are served.
    pub(crate) fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.open.keys().copied().collect()
    }

    /// All sockets of an address, or none.
    fn open_one(&mut self, address: SocketAddr, shared: &Arc<Shared>) -> io::Result<()> {
        let workers = match self.workers.take() {
            Some(workers) => workers,
            None => Workers::start(shared)?,
        };
        let datagrams = self.workers.insert(workers).open(address)?;
        let connections = tokio::spawn(tcp::serve(open_tcp(address)?, Arc::clone(shared)));
        self.open.insert(address, Open { datagrams, connections });
        Ok(())
    }

    /// Takes no more queries; what already waits in sockets is answered.
    pub(crate) fn close(&mut self) -> Closing {
        let threads = self.workers.take().map(Workers::end).unwrap_or_default();
        let open = std::mem::take(&mut self.open);
        let connections = open.into_values().map(|open| {
            open.connections.abort();
            open.connections
        });
        Closing { threads, connections: connections.collect() }
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.close();
    }
}

impl Closing {
    /// Waits until the sockets are closed, but for those of queries that are under way.
    pub(crate) async fn done(self) {
        for task in self.connections {
            // The task was aborted: its end is all there is to know.
            task.await.ok();
        }
        let join = || self.threads.into_iter().for_each(|thread| drop(thread.join()));
        tokio::task::spawn_blocking(join).await.ok();
    }
}

fn open_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Old connections that linger in TIME_WAIT do not keep a restarted server out.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}
