//! A raw socket on one link.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::net::if_::if_nametoindex;
use types::{LinkName, Mac};

use crate::Frame;

/// A packet socket that only sends.
pub(crate) struct FrameSocket {
    fd: OwnedFd,
    link: libc::c_int,
}

pub(crate) fn open(link: &LinkName) -> io::Result<FrameSocket> {
    let index = if_nametoindex(link.0.as_str())?;
    // Protocol 0: nothing is received.
    Ok(FrameSocket {
        fd: socket(libc::AF_PACKET, libc::SOCK_RAW)?,
        link: libc::c_int::try_from(index).expect("an index"),
    })
}

impl FrameSocket {
    pub(crate) fn send(&self, frame: &Frame) -> io::Result<()> {
        // SAFETY: a `sockaddr_ll` of zeros is a valid value of the type.
        let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        to.sll_family = libc::sa_family_t::try_from(libc::AF_PACKET).expect("AF_PACKET is 17");
        to.sll_protocol = frame.ether_type.to_be();
        to.sll_ifindex = self.link;
        to.sll_halen = 6;
        to.sll_addr[..6].copy_from_slice(&frame.destination.0);
        let length = libc::socklen_t::try_from(size_of_val(&to)).expect("20 bytes");
        // SAFETY: frame and address outlive the call, and their lengths are given with them.
        let sent = unsafe {
            libc::sendto(
                self.fd.as_raw_fd(),
                frame.bytes.as_ptr().cast(),
                frame.bytes.len(),
                0,
                (&raw const to).cast(),
                length,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

pub(crate) fn mac_of(link: &LinkName) -> io::Result<Mac> {
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM)?;
    // SAFETY: an `ifreq` of zeros is a valid value of the type.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    if link.0.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(link.0.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    // SAFETY: `SIOCGIFHWADDR` reads and writes one `ifreq`, which outlives the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so this is the member of the union that was written.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr };
    if address.sa_family != libc::ARPHRD_ETHER {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "it is not an Ethernet link"));
    }
    let bytes = std::array::from_fn(|index| address.sa_data[index].to_ne_bytes()[0]);
    Ok(Mac(bytes))
}

fn socket(family: libc::c_int, kind: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointer is passed.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) };
    // SAFETY: the descriptor was just made and belongs to nobody else.
    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(unsafe { OwnedFd::from_raw_fd(fd) }) }
}
