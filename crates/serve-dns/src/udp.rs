//! Queries in datagrams: a few threads that block, each with a socket of its own for every address.
//!
//! The kernel spreads clients over the sockets of an address (`SO_REUSEPORT`). A thread answers at once what can be, and
//! leaves to the asynchronous side what upstream servers have to be asked.

mod batch;
mod worker;

use std::io::{self, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::Handle;

use crate::shared::Shared;
use worker::{Mailbox, Worker};

/// Room for bursts of queries while the thread is busy.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Room for the replies to a batch.
const SEND_BUFFER: usize = 1 << 20;

/// The threads.
#[derive(Debug)]
pub(crate) struct Workers(Vec<Handhold>);

/// A thread, from outside.
#[derive(Debug)]
struct Handhold {
    mailbox: Arc<Mailbox>,
    wake: UnixStream,
    thread: JoinHandle<()>,
}

impl Workers {
    /// Starts as many threads as the configuration and the machine allow. To be called within a tokio runtime.
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let number = shared.config.udp_threads.min(processors).max(1);
        (0..number).map(|index| Handhold::start(index, shared)).collect::<io::Result<_>>().map(Self)
    }

    /// Sockets of one address, one for each thread.
    pub(crate) fn open(&self, address: SocketAddr) -> io::Result<Vec<Arc<UdpSocket>>> {
        let first = open(address, false)?;
        let mut sockets = vec![Arc::new(UdpSocket::from(first))];
        for _ in 1..self.0.len() {
            sockets.push(Arc::new(open(address, true)?.into()));
        }
        Ok(sockets)
    }

    /// From now on these are served, each list by its addresses' sockets as [`Self::open`] returned them, and no others.
    pub(crate) fn serve<'s>(&self, addresses: impl Iterator<Item = &'s [Arc<UdpSocket>]> + Clone) {
        for (index, thread) in self.0.iter().enumerate() {
            let own = addresses.clone().filter_map(|sockets| sockets.get(index)).map(Arc::clone).collect();
            *thread.mailbox.sockets.lock().unwrap_or_else(PoisonError::into_inner) = own;
            thread.tell();
        }
    }

    /// Ends the threads, each once it has answered what waits in its sockets.
    pub(crate) fn end(self) -> Vec<JoinHandle<()>> {
        self.0.into_iter().map(Handhold::end).collect()
    }
}

impl Handhold {
    fn start(index: usize, shared: &Arc<Shared>) -> io::Result<Self> {
        let mailbox = Arc::new(Mailbox::default());
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let (shared, its_mailbox, runtime) = (Arc::clone(shared), Arc::clone(&mailbox), Handle::current());
        let run = move || Worker::new(shared, its_mailbox, woken, runtime).run();
        let thread = std::thread::Builder::new().name(format!("dns-{index}")).spawn(run)?;
        Ok(Self { mailbox, wake, thread })
    }

    fn tell(&self) {
        // When there is no room for another byte, the thread has not yet read the earlier ones, and will.
        (&self.wake).write_all(&[1]).ok();
    }

    fn end(self) -> JoinHandle<()> {
        self.mailbox.is_ending.store(true, Ordering::Release);
        self.tell();
        self.thread
    }
}

/// A socket that does not block. The first of an address fails where any other is, also one of another process of ours;
/// further ones share with it.
fn open(address: SocketAddr, is_further: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // The kernel gives what it allows.
    socket.set_recv_buffer_size(RECEIVE_BUFFER).ok();
    socket.set_send_buffer_size(SEND_BUFFER).ok();
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if is_further {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    if !is_further {
        socket.set_reuse_port(true)?;
    }
    Ok(socket)
}
