//! What is sent, and what is counted.

use std::fmt;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::str::FromStr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::serve::{DATAGRAM_PORT, ECHO_PORT, SINK_PORT, pin};

/// Bytes of one write; the kernel cuts them to segments.
const CHUNK: usize = 256 * 1024;
/// Connections made before the clock runs.
const WARM_UP: usize = 50;
/// Questions of [`Load::FirstPacket`]: few, as connection tracking remembers each for half a minute.
const QUESTIONS: usize = 1000;
/// When an answer to a datagram is lost.
const LOST: Duration = Duration::from_secs(5);
/// Source ports of those questions, one after the other, so that none is one that connection tracking knows.
const SOURCE_PORTS: std::ops::Range<u16> = 10_000..60_000;

/// One kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Load {
    /// That many TCP streams at once; Gbit/s at the receiver.
    Stream(usize),
    /// One byte there and back on one connection; the median in microseconds.
    RoundTrip,
    /// Connect, one byte there and back, close; connections per second.
    Connect,
    /// One datagram there and back, from a source port that was not used before; the median in microseconds.
    FirstPacket,
}

impl Load {
    pub(crate) fn run(self, address: IpAddr, seconds: u64) -> f64 {
        let period = Duration::from_secs(seconds);
        pin(0);
        match self {
            Self::Stream(count) => stream(SocketAddr::new(address, SINK_PORT), count, period),
            Self::RoundTrip => round_trip(SocketAddr::new(address, ECHO_PORT), period),
            Self::Connect => connect(SocketAddr::new(address, ECHO_PORT), period),
            Self::FirstPacket => first_packet(SocketAddr::new(address, DATAGRAM_PORT), period),
        }
    }

    /// Whether a smaller figure is the better one.
    pub(crate) fn is_time(self) -> bool {
        matches!(self, Self::RoundTrip | Self::FirstPacket)
    }
}

fn stream(to: SocketAddr, count: usize, period: Duration) -> f64 {
    let senders: Vec<_> = (0..count).map(|_| std::thread::spawn(move || send(to, period))).collect();
    senders.into_iter().map(|sender| sender.join().unwrap()).sum()
}

/// Sends until the time is up; Gbit/s of what arrived by the time the receiver said so.
fn send(to: SocketAddr, period: Duration) -> f64 {
    let mut stream = TcpStream::connect(to).unwrap();
    let chunk = vec![0_u8; CHUNK];
    let start = Instant::now();
    while start.elapsed() < period {
        stream.write_all(&chunk).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let mut arrived = [0; 8];
    stream.read_exact(&mut arrived).unwrap();
    let elapsed = start.elapsed();
    u64::from_be_bytes(arrived) as f64 * 8.0 / elapsed.as_secs_f64() / 1e9
}

fn round_trip(to: SocketAddr, period: Duration) -> f64 {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < period {
        let sent = Instant::now();
        ask(&mut stream);
        times.push(sent.elapsed());
    }
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn connect(to: SocketAddr, period: Duration) -> f64 {
    let once = || {
        let mut stream = TcpStream::connect(to).unwrap();
        ask(&mut stream);
        // A reset: else the ports of all connections of a second would wait for a minute.
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        let size = u32::try_from(size_of::<libc::linger>()).unwrap();
        // SAFETY: the value outlives the call and its size is as said.
        let done = unsafe {
            let value = (&raw const linger).cast();
            libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, size)
        };
        assert_eq!(done, 0);
    };
    (0..WARM_UP).for_each(|_| once());
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < period {
        once();
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

fn first_packet(to: SocketAddr, period: Duration) -> f64 {
    static NEXT: AtomicU16 = AtomicU16::new(SOURCE_PORTS.start);
    let (start, mut times) = (Instant::now(), Vec::new());
    while times.len() < QUESTIONS && start.elapsed() < period {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if port + 1 >= SOURCE_PORTS.end {
            NEXT.store(SOURCE_PORTS.start, Ordering::Relaxed);
        }
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(LOST)).unwrap();
        let sent = Instant::now();
        socket.send(&[0]).unwrap();
        socket.recv(&mut [0]).unwrap();
        times.push(sent.elapsed());
    }
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn ask(stream: &mut TcpStream) {
    let mut byte = [0];
    stream.write_all(&byte).unwrap();
    stream.read_exact(&mut byte).unwrap();
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(count) => write!(f, "stream-{count}"),
            Self::RoundTrip => f.write_str("round-trip"),
            Self::Connect => f.write_str("connect"),
            Self::FirstPacket => f.write_str("first-packet"),
        }
    }
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('-') {
            Some(("stream", count)) => count.parse().map(Self::Stream).map_err(|error| format!("{error}")),
            Some(("round", "trip")) => Ok(Self::RoundTrip),
            Some(("first", "packet")) => Ok(Self::FirstPacket),
            _ if text == "connect" => Ok(Self::Connect),
            _ => Err(format!("no load {text}")),
        }
    }
}
