//! Many datagrams in one system call: `recvmmsg` and `sendmmsg`, in buffers that are made once.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

use socket2::{SockAddr, SockAddrStorage, socklen_t};

/// How many datagrams are taken at once.
pub(crate) const SLOTS: usize = 64;
/// Longer queries are cut, and refused for it: it is more than we tell clients we take. An odd number of cache lines, so that
/// the buffers do not displace each other.
const LONGEST_QUERY: usize = 21 * 64;

/// Room for the address of a client.
const ADDRESS_ROOM: socklen_t = size_of::<SockAddrStorage>() as socklen_t;

/// Queries taken from a socket, and their replies on the way back.
pub(super) struct Batch {
    slots: Box<[Slot]>,
    /// Each points into its slot, for good.
    receiving: Box<[libc::mmsghdr]>,
    sending: Box<[libc::mmsghdr]>,
    /// How many queries were taken.
    taken: usize,
}

struct Slot {
    query: [u8; LONGEST_QUERY],
    query_vector: libc::iovec,
    length: usize,
    client: SockAddrStorage,
    client_length: socklen_t,
    reply: Vec<u8>,
    reply_vector: libc::iovec,
}

impl Batch {
    /// Buffers for replies of this size; longer ones make them grow.
    pub(super) fn new(reply: usize) -> Self {
        let mut slots: Box<[Slot]> = (0..SLOTS).map(|_| Slot::new(reply)).collect();
        // SAFETY: all zeros is a valid header: null pointers of no length.
        let headers = || (0..SLOTS).map(|_| unsafe { std::mem::zeroed() }).collect();
        let (mut receiving, sending): (Box<[libc::mmsghdr]>, _) = (headers(), headers());
        for (slot, header) in slots.iter_mut().zip(&mut receiving) {
            slot.query_vector =
                libc::iovec { iov_base: slot.query.as_mut_ptr().cast(), iov_len: LONGEST_QUERY };
            point(header, &mut slot.query_vector, &mut slot.client, slot.client_length);
        }
        Self { slots, receiving, sending, taken: 0 }
    }

    /// Takes what waits in the socket, which does not block, and returns how many queries these are.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        // The kernel wrote the address's length over the room for it.
        for header in self.receiving.iter_mut().take(self.taken) {
            header.msg_hdr.msg_namelen = ADDRESS_ROOM;
        }
        self.taken = 0;
        let (headers, number) = (self.receiving.as_mut_ptr(), SLOTS as libc::c_uint);
        // SAFETY: every header points into its slot: a buffer and room for an address, of the lengths said, which nothing else
        // uses until the call is over.
        let taken = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), headers, number, libc::MSG_DONTWAIT, ptr::null_mut())
        };
        self.taken = usize::try_from(taken).map_err(|_| io::Error::last_os_error())?;
        for (slot, header) in self.slots.iter_mut().zip(&self.receiving).take(self.taken) {
            slot.length = header.msg_len as usize;
            slot.client_length = header.msg_hdr.msg_namelen;
            slot.reply.clear();
        }
        Ok(self.taken)
    }

    /// Whether more may wait than was taken.
    pub(super) fn is_full(&self) -> bool {
        self.taken == SLOTS
    }

    /// A query that was taken, and where its reply is written; an empty one is not sent.
    pub(super) fn query(&mut self, index: usize) -> (&[u8], &mut Vec<u8>) {
        let slot = &mut self.slots[index];
        (&slot.query[..slot.length.min(LONGEST_QUERY)], &mut slot.reply)
    }

    /// Who sent a query.
    pub(super) fn client(&self, index: usize) -> Option<SocketAddr> {
        let slot = &self.slots[index];
        // SAFETY: the kernel wrote an address of this length there.
        unsafe { SockAddr::new(ptr::read(&raw const slot.client), slot.client_length) }.as_socket()
    }

    /// Sends the replies. One that cannot be sent is lost, as datagrams may be; returns how many are.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> usize {
        let mut number = 0;
        for slot in self.slots.iter_mut().take(self.taken).filter(|slot| !slot.reply.is_empty()) {
            let (base, length) = (slot.reply.as_mut_ptr().cast(), slot.reply.len());
            slot.reply_vector = libc::iovec { iov_base: base, iov_len: length };
            let header = &mut self.sending[number];
            point(header, &mut slot.reply_vector, &mut slot.client, slot.client_length);
            number += 1;
        }
        let (mut done, mut lost) = (0, 0);
        while done < number {
            let (headers, left) = (&mut self.sending[done..number], number - done);
            // SAFETY: every header points at the reply and the address in one slot, of the lengths said.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    headers.as_mut_ptr(),
                    left as libc::c_uint,
                    libc::MSG_DONTWAIT,
                )
            };
            match usize::try_from(sent) {
                Ok(sent) => done += sent.max(1),
                // The error is the first message's.
                Err(_) => {
                    done += 1;
                    lost += 1;
                }
            }
        }
        lost
    }
}

impl Slot {
    fn new(reply: usize) -> Self {
        let nothing = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        Self {
            query: [0; LONGEST_QUERY],
            query_vector: nothing,
            length: 0,
            client: SockAddrStorage::zeroed(),
            client_length: ADDRESS_ROOM,
            reply: Vec::with_capacity(reply),
            reply_vector: nothing,
        }
    }
}

/// Points a header at a buffer and an address.
fn point(
    header: &mut libc::mmsghdr,
    vector: &mut libc::iovec,
    client: &mut SockAddrStorage,
    length: socklen_t,
) {
    header.msg_hdr.msg_name = ptr::from_mut(client).cast();
    header.msg_hdr.msg_namelen = length;
    header.msg_hdr.msg_iov = vector;
    header.msg_hdr.msg_iovlen = 1;
}
