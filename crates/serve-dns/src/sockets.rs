//! The sockets of a server: opened and closed as addresses come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use plan::{Failure, Report};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

use crate::shared::Shared;
use crate::{tcp, udp};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// Room for bursts of queries while the task is busy.
const RECEIVE_BUFFER: usize = 1 << 20;

/// The open sockets, two for each address.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    tasks: BTreeMap<SocketAddr, [JoinHandle<()>; 2]>,
}

impl Sockets {
    /// Opens what is missing and closes what is no longer wanted; other sockets are not touched.
    pub(crate) fn converge(&mut self, wanted: &BTreeSet<SocketAddr>, shared: &Arc<Shared>) -> Report {
        let mut report = Report::default();
        let superfluous = self.tasks.extract_if(.., |address, _| !wanted.contains(address));
        for (_, tasks) in superfluous {
            abort(&tasks);
            report.written += 1;
        }
        for address in wanted {
            if self.tasks.contains_key(address) {
                continue;
            }
            match open(*address, shared) {
                Ok(tasks) => {
                    self.tasks.insert(*address, tasks);
                    report.written += 1;
                }
                Err(error) => report
                    .failures
                    .push(Failure { what: format!("DNS socket {address}"), why: error.to_string() }),
            }
        }
        report
    }

    /// The addresses that are served.
    pub(crate) fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.tasks.keys().copied().collect()
    }

    /// Closes all, and returns the tasks to wait for.
    pub(crate) fn close(&mut self) -> Vec<JoinHandle<()>> {
        let tasks = std::mem::take(&mut self.tasks);
        tasks.values().for_each(abort);
        tasks.into_values().flatten().collect()
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.close();
    }
}

fn abort(tasks: &[JoinHandle<()>; 2]) {
    tasks.iter().for_each(JoinHandle::abort);
}

/// Both sockets, or neither.
fn open(address: SocketAddr, shared: &Arc<Shared>) -> std::io::Result<[JoinHandle<()>; 2]> {
    let datagrams = open_udp(address)?;
    let listener = open_tcp(address)?;
    Ok([
        tokio::spawn(udp::serve(datagrams, Arc::clone(shared))),
        tokio::spawn(tcp::serve(listener, Arc::clone(shared))),
    ])
}

fn open_udp(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // The kernel gives what it allows.
    socket.set_recv_buffer_size(RECEIVE_BUFFER).ok();
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

fn open_tcp(address: SocketAddr) -> std::io::Result<TcpListener> {
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
