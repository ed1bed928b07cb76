//! The sockets on the host's loopback, opened before the lab enters its own namespaces.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use serde::{Deserialize, Serialize};

use crate::LabError;
use crate::settings::{PortWish, PortWishes};

/// Sockets on the host's loopback.
#[derive(Debug)]
pub(crate) struct HostSockets {
    /// The API.
    pub(crate) api: TcpListener,
    /// HTTP entry.
    pub(crate) http: TcpListener,
    /// HTTPS entry.
    pub(crate) https: TcpListener,
    /// DNS over UDP.
    pub(crate) dns_udp: UdpSocket,
    /// DNS over TCP, at the same port.
    pub(crate) dns_tcp: TcpListener,
}

/// The same sockets as numbers, for a child process that inherits them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SocketNumbers {
    api: RawFd,
    http: RawFd,
    https: RawFd,
    dns_udp: RawFd,
    dns_tcp: RawFd,
}

/// Ports tried until one is free for UDP and TCP alike.
const DNS_TRIES: usize = 16;

impl HostSockets {
    /// Opens them all.
    ///
    /// # Errors
    /// When a port that was asked for exactly is taken.
    pub(crate) fn open(wishes: &PortWishes) -> Result<Self, LabError> {
        let (dns_udp, dns_tcp) = open(wishes.dns, "--dns-port", dns_pair)?;
        Ok(Self {
            api: open(wishes.api, "--api-port", listen)?,
            http: open(wishes.http, "--http-port", listen)?,
            https: open(wishes.https, "--https-port", listen)?,
            dns_udp,
            dns_tcp,
        })
    }

    /// The numbers under which a child inherits them.
    #[must_use]
    pub(crate) fn numbers(&self) -> SocketNumbers {
        SocketNumbers {
            api: self.api.as_raw_fd(),
            http: self.http.as_raw_fd(),
            https: self.https.as_raw_fd(),
            dns_udp: self.dns_udp.as_raw_fd(),
            dns_tcp: self.dns_tcp.as_raw_fd(),
        }
    }
}

impl SocketNumbers {
    /// All of them.
    #[must_use]
    pub(crate) fn all(&self) -> [RawFd; 5] {
        [self.api, self.http, self.https, self.dns_udp, self.dns_tcp]
    }

    /// Takes the inherited sockets.
    ///
    /// # Safety
    /// The numbers must be those that the parent passed on, and be taken only once.
    #[must_use]
    pub(crate) unsafe fn into_sockets(self) -> HostSockets {
        // SAFETY: the caller vouches for every number.
        unsafe {
            HostSockets {
                api: inherited(self.api).into(),
                http: inherited(self.http).into(),
                https: inherited(self.https).into(),
                dns_udp: inherited(self.dns_udp).into(),
                dns_tcp: inherited(self.dns_tcp).into(),
            }
        }
    }
}

/// Takes one inherited descriptor and keeps it from going on to further children.
///
/// # Safety
/// The number must be an open descriptor that nobody else owns.
pub(crate) unsafe fn inherited(number: RawFd) -> OwnedFd {
    // SAFETY: the caller vouches for the number.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    let flags = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC);
    nix::fcntl::fcntl(&fd, flags).expect("an open descriptor takes FD_CLOEXEC");
    fd
}

fn open<T>(wish: PortWish, flag: &'static str, bind: impl Fn(u16) -> io::Result<T>) -> Result<T, LabError> {
    let (port, result) = match wish {
        PortWish::Exactly(port) => (port, bind(port)),
        PortWish::Preferably(port) => (port, bind(port).or_else(|_| bind(0))),
    };
    result.map_err(|source| LabError::PortTaken { port, flag, source })
}

fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

fn dns_pair(port: u16) -> io::Result<(UdpSocket, TcpListener)> {
    let tries = if port == 0 { DNS_TRIES } else { 1 };
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..tries {
        let udp = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        match listen(udp.local_addr()?.port()) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_an_error_only_when_asked_for_exactly() {
        let holder = listen(0).unwrap();
        let port = holder.local_addr().unwrap().port();
        let any = PortWish::Exactly(0);
        let mut wishes = PortWishes { api: PortWish::Preferably(port), http: any, https: any, dns: any };
        let sockets = HostSockets::open(&wishes).unwrap();
        assert_ne!(sockets.api.local_addr().unwrap().port(), port);
        let dns = sockets.dns_udp.local_addr().unwrap();
        assert_eq!(sockets.dns_tcp.local_addr().unwrap(), dns);
        wishes.api = PortWish::Exactly(port);
        let error = HostSockets::open(&wishes).unwrap_err().to_string();
        assert!(
            error.contains(&format!("port {port} on 127.0.0.1 is taken; choose another with --api-port"))
        );
    }
}
