//! The other side of the traffic: one port swallows streams, two send back what comes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

pub(crate) const SINK_PORT: u16 = 7001;
pub(crate) const ECHO_PORT: u16 = 7002;
pub(crate) const DATAGRAM_PORT: u16 = 7003;
const CHUNK: usize = 256 * 1024;

/// Serves until the process ends: datagrams at each of these addresses, else at any; only so is an answer's source the
/// address that was asked.
pub(crate) fn serve(addresses: &[&str]) -> ! {
    pin(1);
    let sink = TcpListener::bind((Ipv4Addr::UNSPECIFIED, SINK_PORT)).unwrap();
    let echo = TcpListener::bind((Ipv4Addr::UNSPECIFIED, ECHO_PORT)).unwrap();
    for address in if addresses.is_empty() { &["0.0.0.0"] } else { addresses } {
        let address: Ipv4Addr = address.parse().unwrap();
        let datagrams = UdpSocket::bind((address, DATAGRAM_PORT)).unwrap();
        std::thread::spawn(move || answer(&datagrams));
    }
    std::thread::spawn(move || {
        for stream in sink.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || swallow(stream));
        }
    });
    // One after the other: a thread for each connection would be most of what is measured.
    for stream in echo.incoming() {
        send_back(stream.unwrap());
    }
    unreachable!("listening never ends by itself")
}

/// Keeps this process on one processor, the client's or the server's, where there are two.
pub(crate) fn pin(processor: usize) {
    if std::thread::available_parallelism().is_ok_and(|count| count.get() > 1) {
        let mut set = CpuSet::new();
        set.set(processor).unwrap();
        sched_setaffinity(Pid::from_raw(0), &set).unwrap();
    }
}

fn swallow(mut stream: TcpStream) {
    let (mut chunk, mut total) = (vec![0; CHUNK], 0_u64);
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => total += count as u64,
            Err(_) => return,
        }
    }
    // The client may have ended early.
    let _ = stream.write_all(&total.to_be_bytes());
}

fn answer(datagrams: &UdpSocket) -> ! {
    let mut bytes = [0; 64];
    loop {
        let (count, from) = datagrams.recv_from(&mut bytes).unwrap();
        // A client that is gone needs no answer.
        let _ = datagrams.send_to(&bytes[..count], from);
    }
}

fn send_back(mut stream: TcpStream) {
    // A client that is done resets its connection.
    let _ = stream.set_nodelay(true);
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
}
