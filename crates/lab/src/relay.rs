//! The lab's way to the host's resolvers: a DNS socket on the underlay in front of the process on the host.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::LabError;
use crate::resolve::{MAX_MESSAGE, NUMBER_BYTES, read_framed, write_framed};

/// How long the host may take for one question: three resolvers with two seconds each, and TCP.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);
/// Largest answer over UDP; the DNS flag day 2020 value, which every EDNS client takes.
const UDP_ANSWER_BYTES: usize = 1232;

/// Questions that wait for the host, by number.
struct Relay {
    socket: UnixDatagram,
    next: AtomicU32,
    waiting: Mutex<BTreeMap<u32, oneshot::Sender<Vec<u8>>>>,
}

/// Serves DNS at this address for as long as the lab lives.
pub(crate) async fn serve(socket: StdUnixDatagram, at: SocketAddr) -> Result<(), LabError> {
    let failed = |error| LabError::system(format!("serve DNS at {at}"), error);
    let socket = UnixDatagram::from_std(socket).map_err(failed)?;
    let udp = Arc::new(UdpSocket::bind(at).await.map_err(failed)?);
    let tcp = TcpListener::bind(at).await.map_err(failed)?;
    let relay = Arc::new(Relay { socket, next: AtomicU32::new(0), waiting: Mutex::new(BTreeMap::new()) });
    tokio::spawn(deliver(Arc::clone(&relay)));
    tokio::spawn(serve_udp(Arc::clone(&relay), udp));
    tokio::spawn(serve_tcp(relay, tcp));
    Ok(())
}

impl Relay {
    async fn ask(&self, question: &[u8]) -> Option<Vec<u8>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(number, sender);
        let sent = self.socket.send(&[&number.to_be_bytes()[..], question].concat()).await;
        let answer = match sent {
            Ok(_) => timeout(ANSWER_LIMIT, receiver).await.ok().and_then(Result::ok),
            Err(_) => None,
        };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        answer
    }
}

async fn deliver(relay: Arc<Relay>) {
    let mut buffer = vec![0; NUMBER_BYTES + MAX_MESSAGE];
    while let Ok(length) = relay.socket.recv(&mut buffer).await {
        let Some((number, answer)) = buffer[..length].split_first_chunk::<NUMBER_BYTES>() else { continue };
        let number = u32::from_be_bytes(*number);
        let waiting = relay.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        if let Some(sender) = waiting {
            // Whoever asked may have given up.
            let _ = sender.send(answer.to_vec());
        }
    }
}

async fn serve_udp(relay: Arc<Relay>, socket: Arc<UdpSocket>) {
    let mut buffer = vec![0; MAX_MESSAGE];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        let (relay, socket, question) = (Arc::clone(&relay), Arc::clone(&socket), buffer[..length].to_vec());
        tokio::spawn(async move {
            if let Some(answer) = relay.ask(&question).await {
                let _ = socket.send_to(&fitting(answer), client).await;
            }
        });
    }
}

async fn serve_tcp(relay: Arc<Relay>, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve_connection(Arc::clone(&relay), stream));
    }
}

async fn serve_connection(relay: Arc<Relay>, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let question = read_framed(&mut stream).await?;
        let Some(answer) = relay.ask(&question).await else { return Ok(()) };
        write_framed(&mut stream, &answer).await?;
    }
}

/// An answer too long for UDP loses its records and says so (TC, RFC 1035 section 4.1.1); the client then uses TCP.
fn fitting(mut answer: Vec<u8>) -> Vec<u8> {
    if answer.len() > UDP_ANSWER_BYTES && answer.len() >= 12 {
        answer.truncate(12);
        answer[2] |= 0x02;
        answer[4..12].fill(0);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_answers_are_cut_to_a_header_that_says_so() {
        let mut answer = vec![7; 2000];
        answer[2] = 0x81;
        let cut = fitting(answer);
        assert_eq!(cut, [7, 7, 0x83, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(fitting(vec![1; 100]), vec![1; 100]);
    }
}
