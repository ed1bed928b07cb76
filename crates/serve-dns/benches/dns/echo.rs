//! What a datagram costs at least: it is taken and sent back with the system calls that ours uses, in the code that ours uses.

use std::net::UdpSocket;
use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::batch::Batch;

/// Sends back what comes, as a response.
pub(crate) fn main(port: &str) {
    let socket = UdpSocket::bind(("127.0.0.1", port.parse::<u16>().unwrap())).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut batch = Batch::new(1232);
    loop {
        let mut waiting = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut waiting, PollTimeout::NONE).unwrap();
        let Ok(taken) = batch.receive(&socket) else { continue };
        for index in 0..taken {
            let (query, reply) = batch.query(index);
            reply.extend_from_slice(query);
            if let Some(flags) = reply.get_mut(2) {
                *flags |= 0x80;
            }
        }
        batch.send(&socket);
    }
}
