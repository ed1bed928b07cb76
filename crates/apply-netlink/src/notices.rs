//! Being told that links or addresses changed, without what.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::NetlinkError;

/// Groups of `linux/rtnetlink.h`: `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR`.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;

/// A socket that becomes readable when a link or an address of its network namespace changes; it never blocks.
pub struct Notices(Socket);

impl Notices {
    /// Listens in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When the kernel refuses a socket.
    pub fn open() -> Result<Self, NetlinkError> {
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(NetlinkError::Socket)?;
        socket.bind(&SocketAddr::new(0, GROUPS)).map_err(NetlinkError::Socket)?;
        socket.set_non_blocking(true).map_err(NetlinkError::Socket)?;
        Ok(Self(socket))
    }

    /// Takes everything that waits: whoever hears a notice looks for himself.
    pub fn forget(&self) {
        let mut buffer = Vec::with_capacity(64 * 1024);
        loop {
            buffer.clear();
            match self.0.recv(&mut buffer, 0) {
                // Notices were dropped because nobody took them; those behind them are still to be taken.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

impl AsFd for Notices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Notices {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
