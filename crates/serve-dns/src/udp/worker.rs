//! One thread that answers datagrams of all sockets given to it.

use std::io::{self, ErrorKind, Read as _};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use engine_dns::{Limits, Lookup, Transport};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::runtime::Handle;

use super::batch::{Batch, SLOTS};
use crate::draw::Quick;
use crate::ready::Ready;
use crate::shared::{Pending, Served, Shared};
use crate::statistics::{Source, Tally};

/// What a thread is told from outside.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    pub(super) sockets: Mutex<Vec<Arc<UdpSocket>>>,
    /// Once all that waits is answered, the thread ends.
    pub(super) is_ending: AtomicBool,
}

/// A thread's own things; nothing of them is shared, so nothing is waited for.
pub(super) struct Worker {
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    /// Readable when the mailbox has changed.
    wake: UnixStream,
    /// Where upstream servers are asked.
    runtime: Handle,
    batch: Batch,
    ready: Ready,
    draw: Quick,
    /// What the answers to the batch's queries are looked up by.
    lookups: [Option<Lookup>; SLOTS],
    tally: Tally,
}

/// A socket, and the address that is asked there: who is counted is of its family.
struct Own(Arc<UdpSocket>, Option<IpAddr>);

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, mailbox: Arc<Mailbox>, wake: UnixStream, runtime: Handle) -> Self {
        let draw = Quick::new(shared.draw.next());
        let ready = Ready::new(shared.config.prepared_bytes, shared.draw.next());
        let batch = Batch::new(usize::from(shared.config.udp_payload));
        let (lookups, tally) = ([None; SLOTS], Tally::default());
        Self { shared, mailbox, wake, runtime, batch, ready, draw, lookups, tally }
    }

    /// Answers until the mailbox says that it is over.
    pub(super) fn run(&mut self) {
        loop {
            let sockets = self.mailbox.sockets.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let sockets: Vec<Own> = sockets.into_iter().map(Own::of).collect();
            if self.mailbox.is_ending.load(Ordering::Acquire) {
                return sockets.iter().for_each(|socket| self.drain(socket));
            }
            if let Err(error) = self.serve_until_woken(&sockets) {
                tracing::error!(%error, "a thread of the DNS server cannot wait for queries");
                std::thread::sleep(self.shared.config.accept_pause);
            }
        }
    }

    fn serve_until_woken(&mut self, sockets: &[Own]) -> io::Result<()> {
        // A second descriptor, as the first is read while this is waited on.
        let wake = self.wake.try_clone()?;
        let mut waiting = vec![PollFd::new(wake.as_fd(), PollFlags::POLLIN)];
        waiting.extend(sockets.iter().map(|own| PollFd::new(own.0.as_fd(), PollFlags::POLLIN)));
        loop {
            match poll(&mut waiting, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                result => result?,
            };
            for (socket, waited) in sockets.iter().zip(&waiting[1..]) {
                if waited.any() == Some(true) {
                    self.serve(socket);
                }
            }
            if waiting[0].any() == Some(true) {
                // One byte or several: the mailbox is read as a whole. At the end of the stream, its flag is set.
                return self.wake.read(&mut [0; 64]).map(drop);
            }
        }
    }

    /// Answers all that waits in a socket that is about to be closed.
    fn drain(&mut self, socket: &Own) {
        self.serve(socket);
        while self.batch.is_full() {
            self.serve(socket);
        }
    }

    /// Answers one batch of queries.
    fn serve(&mut self, Own(socket, address): &Own) {
        match self.batch.receive(socket) {
            Ok(taken) => {
                self.ready.mind_publication(&self.shared);
                let start = Instant::now();
                self.look_up(taken);
                let served = (0..taken).filter(|index| self.serve_one(*index, socket)).count();
                self.shared.counters.observe(start.elapsed(), served);
                self.shared.counters.take(&mut self.tally, Transport::Udp, *address);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            // An error belongs to an earlier datagram (its ICMP error), never to the socket.
            Err(error) => return tracing::debug!(%error, "could not receive DNS queries"),
        }
        let lost = self.batch.send(socket);
        if lost > 0 {
            tracing::debug!(lost, "could not send DNS responses");
        }
    }

    /// Reads the batch's queries and brings near what they ask for.
    fn look_up(&mut self, taken: usize) {
        let udp_payload = self.shared.config.udp_payload;
        let limits = Limits { transport: Transport::Udp, client: None, udp_payload, draw: 0 };
        let lookups = &mut self.lookups[..taken];
        for (index, lookup) in lookups.iter_mut().enumerate() {
            *lookup = self.ready.read(self.batch.query(index).0, limits);
        }
        self.ready.fetch(lookups);
    }

    /// Answers a query, if that can be done at once.
    fn serve_one(&mut self, index: usize, socket: &Arc<UdpSocket>) -> bool {
        let draw = self.draw.next();
        let (query, reply) = self.batch.query(index);
        if let Some(lookup) = &self.lookups[index]
            && self.ready.respond(lookup, query, draw, reply)
        {
            self.tally.count(reply);
            return true;
        }
        let Some(client) = self.batch.client(index) else { return false };
        let limits = self.shared.limits((Transport::Udp, client.ip()), draw);
        let (query, reply) = self.batch.query(index);
        let source = match self.shared.serve(query, limits, reply) {
            Served::FromZone => {
                self.ready.learn(query, limits, reply);
                Source::Zone
            }
            Served::Respond => Source::Cache,
            Served::Silence => {
                reply.clear();
                return false;
            }
            Served::Later(pending) => {
                // The half of a response may stand there.
                reply.clear();
                let (socket, shared) = (Arc::clone(socket), Arc::clone(&self.shared));
                self.runtime.spawn(complete(socket, shared, pending, client));
                return false;
            }
        };
        self.shared.counters.count(limits, source, reply);
        true
    }
}

impl Own {
    fn of(socket: Arc<UdpSocket>) -> Self {
        let address = socket.local_addr().ok().map(|address| address.ip());
        Self(socket, address)
    }
}

/// Asks others, and replies from the address that was asked.
async fn complete(socket: Arc<UdpSocket>, shared: Arc<Shared>, pending: Pending, client: SocketAddr) {
    let mut out = Vec::new();
    shared.complete(pending, &mut out).await;
    if let Err(error) = socket.send_to(&out, client) {
        tracing::debug!(%client, %error, "could not send a DNS response");
    }
}
