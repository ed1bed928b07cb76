//! SCTP through a Service, packet by packet: the kernel may track and translate it without having sockets for it.

use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use netns::world;
use plan::{Frontend, FrontendAddress, FrontendScope, SourceAddress};
use socket2::{Domain, Protocol, Socket, Type};
use types::IpFamily;

use crate::fixture::{From, Lab, PORT, expose, load, port};

/// Its number as an IP protocol (RFC 9260, section 3).
const SCTP: u8 = 132;
/// Where the Service listens, and where the client sends from.
const SERVICE_PORT: u16 = 5060;
const CLIENT_PORT: u16 = 40_000;
/// How long something may take that must happen.
const PATIENCE: Duration = Duration::from_secs(5);

fn first_packet_arrives(lab: &Lab) {
    let at = &lab.at;
    let mut plan = lab.plan();
    let to_second = lab.forward(&[2], SourceAddress::KeptForPods);
    expose(
        &mut plan,
        (FrontendScope::ClusterIp, Some(at.cluster_ip), SERVICE_PORT),
        to_second.clone(),
        to_second,
    );
    let address = FrontendAddress::Vip(at.cluster_ip);
    let of = |protocol| Frontend { address, protocol, port: port(SERVICE_PORT) };
    let rule = plan.services.frontends[&of(types::Protocol::Tcp)].clone();
    plan.services.frontends.insert(of(types::Protocol::Sctp), rule);
    load(&mut lab.nft(), &plan);
    let tracks = || Path::new("/proc/sys/net/netfilter/nf_conntrack_sctp_timeout_established").exists();
    if !lab.in_node(tracks) {
        println!("sealane-skip: SCTP arrives at its backend: this kernel does not track SCTP");
        return;
    }
    let client = lab.within(From::Pod(1), || raw(at.pods[0]));
    let backend = lab.within(From::Pod(2), || raw(at.pods[1]));
    let sent = init(CLIENT_PORT, SERVICE_PORT);
    client.send_to(&sent, &SocketAddr::new(at.cluster_ip, 0).into()).unwrap();
    let (arrived, from) = receive(&backend);
    assert_eq!(from, at.pods[0], "a Pod keeps its address");
    assert_eq!(arrived, init(CLIENT_PORT, PORT), "only the port differs, and the checksum counts it");
    // What is answered comes from whom the client asked.
    let answer = init_ack(PORT, CLIENT_PORT);
    backend.send_to(&answer, &SocketAddr::new(at.pods[0], 0).into()).unwrap();
    let (arrived, from) = receive(&client);
    assert_eq!((arrived, from), (init_ack(SERVICE_PORT, CLIENT_PORT), at.cluster_ip));
}

#[test]
fn sctp_to_a_service_arrives_at_its_backend() {
    world::test(|| first_packet_arrives(&Lab::new(IpFamily::V4)));
}

#[test]
fn sctp_to_a_service_arrives_at_its_backend_over_ipv6() {
    world::test(|| first_packet_arrives(&Lab::new(IpFamily::V6)));
}

/// A socket that sends and hears SCTP packets as they are.
fn raw(own: IpAddr) -> Socket {
    let domain = if own.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let protocol = Protocol::from(i32::from(SCTP));
    let socket = Socket::new(domain, Type::from(libc::SOCK_RAW), Some(protocol)).unwrap();
    socket.bind(&SocketAddr::new(own, 0).into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// The next SCTP packet, and whom it is from.
fn receive(socket: &Socket) -> (Vec<u8>, IpAddr) {
    let start = Instant::now();
    let mut buffer = [MaybeUninit::<u8>::uninit(); 2048];
    loop {
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            // SAFETY: the kernel has written that many bytes.
            let bytes: Vec<u8> = buffer[..len].iter().map(|byte| unsafe { byte.assume_init() }).collect();
            let from = from.as_socket().unwrap().ip();
            // Of IPv4, a raw socket hears the header, too (ip(7), raw(7)).
            let header = if from.is_ipv4() { usize::from(bytes[0] & 0xf) * 4 } else { 0 };
            return (bytes[header..].to_vec(), from);
        }
        assert!(start.elapsed() < PATIENCE, "nothing arrives");
        thread::yield_now();
    }
}

/// What opens an association: the one packet without a verification tag (RFC 9260, sections 3.3.2 and 8.5.1).
fn init(from: u16, to: u16) -> Vec<u8> {
    packet((from, to), 0, 1)
}

/// The answer, under the tag that the client chose (section 3.3.3). Without a state cookie it is not one to a peer, but
/// whoever only looks at connections reads no parameters.
fn init_ack(from: u16, to: u16) -> Vec<u8> {
    packet((from, to), TAG, 2)
}

/// The tag that either side chooses.
const TAG: u32 = 0x5ea1_a2e5;

/// A packet with one chunk of the form of INIT and INIT ACK: flags, length, tag, window, streams, first number.
fn packet((from, to): (u16, u16), tag: u32, chunk: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(from.to_be_bytes());
    bytes.extend(to.to_be_bytes());
    bytes.extend(tag.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend([chunk, 0, 0, 20]);
    bytes.extend(TAG.to_be_bytes());
    bytes.extend(65_536_u32.to_be_bytes());
    bytes.extend([0, 1, 0, 1]);
    bytes.extend(1_u32.to_be_bytes());
    // The sum goes out with its lowest byte first (RFC 9260, appendix A).
    let sum = crc32c(&bytes).to_le_bytes();
    bytes[8..12].copy_from_slice(&sum);
    bytes
}

/// The checksum of RFC 9260, appendix A: CRC32c, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 })
    });
    !sum
}

#[test]
fn the_checksum_is_crc32c() {
    // The check value that catalogues of such sums name CRC-32/ISCSI by.
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}
