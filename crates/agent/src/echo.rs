//! ICMP echo with packets of an exact size that nobody may fragment: one raw socket for each address family.
//!
//! The kernel of every node answers, so the other side needs no agent. `IP_PMTUDISC_PROBE` sets DF and ignores what the
//! kernel believes of the path: what it has learnt there, and the MTU of a route that we have lowered, would hide the
//! truth (ip(7), ipv6(7)).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use engine_path::Echo;
use tokio::io::unix::AsyncFd;
use types::IpFamily;

/// Longest header before the payload: an IPv4 header without options, 20 bytes, or none with IPv6; ICMP takes 8.
const ICMP_HEADER: usize = 8;
/// RFC 792 and RFC 4443.
const ECHO_REQUEST: (u8, u8) = (8, 128);
const ECHO_REPLY: (u8, u8) = (0, 129);
/// In front of the token, so that nobody else's echo is taken for ours.
const MARK: [u8; 8] = *b"sealane\0";

/// Sends and receives echoes of one family.
pub(crate) struct EchoSocket {
    socket: AsyncFd<OwnedFd>,
    family: IpFamily,
    identifier: u16,
}

impl EchoSocket {
    /// Opens a raw socket in the network namespace of the calling thread.
    pub(crate) fn open(family: IpFamily) -> io::Result<Self> {
        let (domain, protocol) = match family {
            IpFamily::V4 => (libc::AF_INET, libc::IPPROTO_ICMP),
            IpFamily::V6 => (libc::AF_INET6, libc::IPPROTO_ICMPV6),
        };
        // SAFETY: no pointer is passed.
        let raw = unsafe {
            libc::socket(domain, libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, protocol)
        };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `raw` was just opened and belongs to nobody else.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        let (level, name, value) = match family {
            IpFamily::V4 => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
            IpFamily::V6 => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE),
        };
        set_option(&socket, level, name, &value)?;
        // All but echo replies is dropped in the kernel; a bit that is set blocks (raw(7), RFC 3542 section 3.2).
        match family {
            IpFamily::V4 => set_option(&socket, SOL_RAW, ICMP_FILTER, &!(1_u32 << ECHO_REPLY.0))?,
            IpFamily::V6 => {
                let mut filter = [u32::MAX; 8];
                filter[usize::from(ECHO_REPLY.1 >> 5)] &= !(1 << (ECHO_REPLY.1 & 31));
                set_option(&socket, libc::IPPROTO_ICMPV6, ICMP6_FILTER, &filter)?;
            }
        }
        // SAFETY: the descriptor is open and owned by the value that is registered.
        let socket = unsafe { AsyncFd::register(socket)? };
        let identifier = u16::try_from(std::process::id() & 0xffff).expect("16 bits");
        Ok(Self { socket, family, identifier })
    }

    /// Sends one; an error means that the packet cannot even leave this node.
    pub(crate) fn send(&self, echo: &Echo) -> io::Result<()> {
        let packet = request(self.family, self.identifier, echo);
        let (address, len) = sockaddr(echo.address);
        // SAFETY: packet and address outlive the call, and their lengths are right.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                0,
                (&raw const address).cast(),
                len,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits for an answer to one of ours; its token.
    pub(crate) async fn receive(&self) -> io::Result<u32> {
        // The head is enough: a longer packet is cut.
        let mut buffer = [0_u8; 128];
        loop {
            let mut ready = self.socket.readable().await?;
            // SAFETY: the buffer outlives the call and is as long as said.
            let len =
                unsafe { libc::recv(self.socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
            match usize::try_from(len) {
                Ok(len) => {
                    if let Some(token) = reply(self.family, self.identifier, &buffer[..len]) {
                        return Ok(token);
                    }
                }
                Err(_) => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error => return Err(error),
                },
            }
        }
    }
}

/// `linux/icmp.h`; raw(7).
const SOL_RAW: libc::c_int = 255;
const ICMP_FILTER: libc::c_int = 1;
/// `linux/icmpv6.h`, `ICMPV6_FILTER`.
const ICMP6_FILTER: libc::c_int = 1;

fn set_option<T>(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<T>()).expect("options are small");
    // SAFETY: the value outlives the call and is as long as said.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const *value).cast(), len) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn sockaddr(address: IpAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: zeros are a valid value of this type.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let len = match address {
        IpAddr::V4(address) => {
            // SAFETY: a storage has room for any socket address and is aligned for it.
            let to = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in>() };
            to.sin_family = libc::sa_family_t::try_from(libc::AF_INET).expect("a small number");
            to.sin_addr.s_addr = u32::from_ne_bytes(address.octets());
            size_of::<libc::sockaddr_in>()
        }
        IpAddr::V6(address) => {
            // SAFETY: as above.
            let to = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in6>() };
            to.sin6_family = libc::sa_family_t::try_from(libc::AF_INET6).expect("a small number");
            to.sin6_addr.s6_addr = address.octets();
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, libc::socklen_t::try_from(len).expect("addresses are small"))
}

/// An echo request that makes a packet of the wanted size with its IP header.
fn request(family: IpFamily, identifier: u16, echo: &Echo) -> Vec<u8> {
    let ip_header = if family == IpFamily::V4 { 20 } else { 40 };
    let size = usize::try_from(echo.size).expect("packets have at most 64 KiB").saturating_sub(ip_header);
    let mut packet = vec![0; size.max(ICMP_HEADER + MARK.len() + 4)];
    packet[0] = if family == IpFamily::V4 { ECHO_REQUEST.0 } else { ECHO_REQUEST.1 };
    packet[4..6].copy_from_slice(&identifier.to_be_bytes());
    packet[8..16].copy_from_slice(&MARK);
    packet[16..20].copy_from_slice(&echo.token.to_be_bytes());
    // With IPv6 the kernel fills it in, since it covers the addresses (RFC 3542, section 3.1).
    if family == IpFamily::V4 {
        let sum = checksum(&packet).to_be_bytes();
        packet[2..4].copy_from_slice(&sum);
    }
    packet
}

/// The token of an answer to one of our requests.
fn reply(family: IpFamily, identifier: u16, packet: &[u8]) -> Option<u32> {
    let (icmp, kind) = match family {
        IpFamily::V4 => {
            let header = usize::from(packet.first()? & 0x0f) * 4;
            (packet.get(header..)?, ECHO_REPLY.0)
        }
        IpFamily::V6 => (packet, ECHO_REPLY.1),
    };
    let is_ours =
        *icmp.first()? == kind && icmp.get(4..6)? == identifier.to_be_bytes() && icmp.get(8..16)? == MARK;
    let token = icmp.get(16..20)?.try_into().ok()?;
    is_ours.then(|| u32::from_be_bytes(token))
}

/// RFC 1071.
fn checksum(packet: &[u8]) -> u16 {
    let words =
        packet.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded to 16 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: Echo = Echo { address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), size: 1450, token: 77 };

    #[test]
    fn a_request_has_the_wanted_size_with_its_ip_header() {
        assert_eq!(request(IpFamily::V4, 5, &ECHO).len(), 1430);
        assert_eq!(request(IpFamily::V6, 5, &ECHO).len(), 1410);
        assert_eq!(
            checksum(&request(IpFamily::V4, 5, &ECHO)),
            0,
            "the sum over all of it, its own field too"
        );
    }

    #[test]
    fn the_kernel_answers_full_size_packets_of_both_families() {
        netns::world::test(|| {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
                let v4 = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
                for address in [v4, IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)] {
                    let Ok(socket) = EchoSocket::open(IpFamily::of(address)) else {
                        println!("sealane-skip: echo to {address}: the kernel has no such family");
                        continue;
                    };
                    for (token, size) in [(1, 1450), (2, 65_535), (3, 1280)] {
                        socket.send(&Echo { address, size, token }).expect("sent");
                        let answer =
                            tokio::time::timeout(std::time::Duration::from_secs(20), socket.receive());
                        assert_eq!(answer.await.expect("in time").expect("received"), token);
                    }
                    let too_large = Echo { address, size: 65_536 + 1000, token: 4 };
                    assert!(socket.send(&too_large).is_err(), "it does not leave in pieces");
                }
            });
        });
    }

    #[test]
    fn only_an_answer_to_our_own_request_counts() {
        let mut packet = request(IpFamily::V6, 5, &ECHO);
        assert_eq!(reply(IpFamily::V6, 5, &packet), None, "a request is no answer");
        packet[0] = ECHO_REPLY.1;
        assert_eq!(reply(IpFamily::V6, 5, &packet), Some(77));
        assert_eq!(reply(IpFamily::V6, 6, &packet), None, "another process's");
        let mut with_header = vec![0x45; 20];
        packet[0] = ECHO_REPLY.0;
        with_header.extend(&packet);
        assert_eq!(reply(IpFamily::V4, 5, &with_header), Some(77));
        for len in 0..40 {
            assert_eq!(reply(IpFamily::V4, 5, &with_header[..len]), None, "{len} bytes");
        }
    }
}
