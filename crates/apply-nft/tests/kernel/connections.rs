//! TCP connections through a Service that stand while everything changes, and packets that belong to none.

use std::io::{Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use netns::world;
use plan::{Backend, FrontendScope, NodePlan, Outcome, SourceAddress};
use socket2::{Domain, Protocol, Socket, Type};
use types::IpFamily;

use crate::fixture::{From, Lab, expose, load, port};

/// Where Pods send back what they get.
const ECHO: u16 = 9000;
/// How long something may take that must happen.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection, and both of its ends.
struct Standing {
    client: TcpStream,
    server: TcpStream,
}

impl Standing {
    /// Opens one to the Service, which must lead to this Pod.
    fn open(lab: &Lab, from: From, pod: usize) -> Self {
        let here = (lab.at.pods[pod - 1], ECHO);
        let listener = lab.within(From::Pod(pod), || TcpListener::bind(here).unwrap());
        let to = SocketAddr::new(lab.at.cluster_ip, 80);
        let client = lab.within(from, || TcpStream::connect_timeout(&to, PATIENCE).unwrap());
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { client, server }
    }

    /// Says something each way.
    fn talk(&self, when: &str) {
        for (mut from, mut to) in [(&self.client, &self.server), (&self.server, &self.client)] {
            from.write_all(b"still there?").unwrap();
            let mut heard = [0; 12];
            to.read_exact(&mut heard).unwrap_or_else(|error| panic!("{when}: {error}"));
        }
    }
}

/// A plan with one Service, of these Pods; refused, where there are none.
fn echo(lab: &Lab, pods: &[usize]) -> NodePlan {
    let mut plan = lab.plan();
    let backend = |pod: &usize| Backend { address: lab.at.pods[pod - 1], port: port(ECHO) };
    let all = match pods {
        [] => Outcome::Reject,
        pods => Outcome::Forward {
            backends: pods.iter().map(backend).collect(),
            source: SourceAddress::KeptForPods,
        },
    };
    expose(&mut plan, (FrontendScope::ClusterIp, Some(lab.at.cluster_ip), 80), all.clone(), all);
    plan
}

/// SD22: an endpoint leaves the slices when its Pod begins to end; its connections stand until the Pod has ended.
fn stands(lab: &Lab) {
    let mut table = lab.nft();
    load(&mut table, &echo(lab, &[2]));
    let connections: Vec<Standing> = [From::Pod(1), From::Node, From::Outside]
        .into_iter()
        .map(|from| Standing::open(lab, from, 2))
        .collect();
    let talk = |when: &str| connections.iter().for_each(|connection| connection.talk(when));
    talk("at first");
    load(&mut table, &echo(lab, &[3]));
    talk("another endpoint has taken over");
    Standing::open(lab, From::Pod(1), 3).talk("new connections go there");
    load(&mut table, &echo(lab, &[]));
    talk("the Service has no endpoint");
    load(&mut table, &lab.plan());
    talk("there is no such Service");
    // An agent that starts anew finds all that as it should be.
    load(&mut lab.nft(), &lab.plan());
    talk("the agent was restarted");
    for Standing { mut client, server } in connections {
        drop(server);
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "the Pod has ended, and its end is heard");
    }
}

#[test]
fn tcp_connections_stand_until_their_pod_ends() {
    world::test(|| stands(&Lab::new(IpFamily::V4)));
}

#[test]
fn tcp_connections_stand_until_their_pod_ends_over_ipv6() {
    world::test(|| stands(&Lab::new(IpFamily::V6)));
}

/// SD13: what a Pod sends that fits in no connection does not reach the client from the Pod's own address, which the
/// client knows nothing of and would answer with a reset (kubernetes#74839).
fn stray_packets(lab: &Lab) {
    let mut table = lab.nft();
    let plan = echo(lab, &[2]);
    load(&mut table, &plan);
    let connection = Standing::open(lab, From::Pod(1), 2);
    let watcher = lab.within(From::Pod(1), || raw(lab.at.pods[0]));
    let strays_that_arrive = |connection: &Standing| {
        let client = connection.client.local_addr().unwrap();
        lab.within(From::Pod(2), || send_strays(SocketAddr::new(lab.at.pods[1], ECHO), client));
        // What is sent later arrives later.
        connection.talk("strays do not harm it");
        heard(&watcher).into_iter().filter(|from| *from == lab.at.pods[1]).count()
    };
    assert_eq!(strays_that_arrive(&connection), 0, "with all rules");
    // Without the rules that drop them they do arrive, so that the above says something.
    let mut without = ruleset::render(&plan);
    without.chains.get_mut("invalid").unwrap().rules.clear();
    assert_eq!(table.converge(&without).failures, []);
    let client = connection.client.local_addr().unwrap();
    lab.within(From::Pod(2), || send_strays(SocketAddr::new(lab.at.pods[1], ECHO), client));
    let (start, mut arrived) = (Instant::now(), false);
    while !arrived && start.elapsed() < PATIENCE {
        arrived = heard(&watcher).contains(&lab.at.pods[1]);
        thread::yield_now();
    }
    assert!(arrived, "without the chain `invalid`, strays arrive");
}

#[test]
fn stray_packets_of_a_pod_do_not_reset_its_clients() {
    world::test(|| stray_packets(&Lab::new(IpFamily::V4)));
}

#[test]
fn stray_packets_of_a_pod_do_not_reset_its_clients_over_ipv6() {
    world::test(|| stray_packets(&Lab::new(IpFamily::V6)));
}

/// A socket that hears every TCP packet for this address, or sends some.
fn raw(own: IpAddr) -> Socket {
    let domain = Domain::for_address(SocketAddr::new(own, 0));
    let socket = Socket::new(domain, Type::from(libc::SOCK_RAW), Some(Protocol::TCP)).unwrap();
    socket.bind(&SocketAddr::new(own, 0).into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Sends segments with data from everywhere in the space of sequence and acknowledgement numbers: whatever those of
/// the connection are, most are outside its windows.
fn send_strays(from: SocketAddr, to: SocketAddr) {
    let socket = raw(from.ip());
    for sequence in [1_u32, 0x4000_0001, 0x8000_0001, 0xc000_0001] {
        for acknowledged in [1_u32, 0x8000_0001] {
            let segment = segment(from, to, sequence, acknowledged);
            socket.send_to(&segment, &SocketAddr::new(to.ip(), 0).into()).unwrap();
        }
    }
}

/// A TCP segment with the flags PSH and ACK and five bytes (RFC 9293, section 3.1). For the checksum, the pseudo-headers of
/// both families come to the same, as its zeros count nothing (RFC 8200, section 8.1).
fn segment(from: SocketAddr, to: SocketAddr, sequence: u32, acknowledged: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(from.port().to_be_bytes());
    bytes.extend(to.port().to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(acknowledged.to_be_bytes());
    bytes.extend([5 << 4, 0x18, 0x10, 0, 0, 0, 0, 0]);
    bytes.extend(b"stray");
    let mut summed = Vec::new();
    for address in [from.ip(), to.ip()] {
        match address {
            IpAddr::V4(address) => summed.extend(address.octets()),
            IpAddr::V6(address) => summed.extend(address.octets()),
        }
    }
    summed.extend([0, 6]);
    summed.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
    summed.extend(&bytes);
    let checksum = checksum(&summed).to_be_bytes();
    bytes[16..18].copy_from_slice(&checksum);
    bytes
}

/// The sum of RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()
}

/// The sources of the packets heard so far.
fn heard(socket: &Socket) -> Vec<IpAddr> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 2048];
    let packets = std::iter::from_fn(|| socket.recv_from(&mut buffer).ok());
    packets.map(|(_, from)| from.as_socket().unwrap().ip()).collect()
}
