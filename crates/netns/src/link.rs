//! The one link that every namespace is born with.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::NetnsError;

/// Brings `lo` up in the namespace of the calling thread.
///
/// # Errors
/// When the kernel refuses.
pub fn bring_up_loopback() -> Result<(), NetnsError> {
    set_up().map_err(|error| NetnsError::step("bring up `lo`", error))
}

fn set_up() -> io::Result<()> {
    // SAFETY: no pointer is passed.
    let raw = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `raw` was just opened and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: an `ifreq` of zeros is a valid value of the type.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *to = libc::c_char::try_from(*from).expect("the name is ASCII");
    }
    // `IFF_RUNNING` is what the `ip` program reports; the kernel ignores it here.
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP).expect("IFF_UP is 1");
    // SAFETY: `SIOCSIFFLAGS` reads one `ifreq`, which outlives the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
