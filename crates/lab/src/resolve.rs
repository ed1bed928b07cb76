//! Asks the host's resolvers on behalf of the lab, which has no way out of its own.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use types::ResolvConf;

use crate::LabError;

/// The largest DNS message (RFC 1035 section 4.2.2: a 16-bit length).
pub(crate) const MAX_MESSAGE: usize = 65_535;
/// Length of the number in front of each message between the two processes.
pub(crate) const NUMBER_BYTES: usize = 4;
/// How long one resolver may take; the default of resolv.conf(5) is 5 s, and we may have to ask three.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Length of a DNS header (RFC 1035 section 4.1.1).
const HEADER_BYTES: usize = 12;

/// The task that answers; it ends when this is dropped.
pub(crate) struct Resolving(JoinHandle<()>);

impl Drop for Resolving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Resolving {
    /// Answers what comes through this socket.
    pub(crate) fn start(socket: StdUnixDatagram) -> Result<Self, LabError> {
        let socket = UnixDatagram::from_std(socket)
            .map_err(|error| LabError::system("use the socket for DNS questions", error))?;
        Ok(Self(tokio::spawn(answer_all(Arc::new(socket)))))
    }
}

async fn answer_all(socket: Arc<UnixDatagram>) {
    let mut buffer = vec![0; NUMBER_BYTES + MAX_MESSAGE];
    while let Ok(length) = socket.recv(&mut buffer).await {
        if length < NUMBER_BYTES + HEADER_BYTES {
            continue;
        }
        let message = buffer[..length].to_vec();
        let socket = Arc::clone(&socket);
        tokio::spawn(async move {
            let (number, question) = message.split_at(NUMBER_BYTES);
            let answer = ask(question).await.unwrap_or_else(|| server_failure(question));
            // The lab may have ended; then nobody waits for the answer.
            let _ = socket.send(&[number, &answer].concat()).await;
        });
    }
}

/// The answer of the first resolver that gives one.
async fn ask(question: &[u8]) -> Option<Vec<u8>> {
    for resolver in host_resolvers() {
        let udp = timeout(ANSWER_LIMIT, ask_udp(question, resolver)).await;
        match udp {
            Ok(Ok(answer)) if !is_truncated(&answer) => return Some(answer),
            Ok(Ok(truncated)) => {
                let tcp = timeout(ANSWER_LIMIT, ask_tcp(question, resolver)).await;
                return Some(tcp.ok().and_then(Result::ok).unwrap_or(truncated));
            }
            _ => {}
        }
    }
    None
}

/// The nameservers of `/etc/resolv.conf`, read for each question: laptops change networks.
pub(crate) fn host_resolvers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    ResolvConf::parse(&text).nameservers.into_iter().map(|address| SocketAddr::new(address, 53)).collect()
}

async fn ask_udp(question: &[u8], resolver: SocketAddr) -> io::Result<Vec<u8>> {
    let any = if resolver.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(resolver).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if length >= HEADER_BYTES && buffer[..2] == question[..2] {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn ask_tcp(question: &[u8], resolver: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(resolver).await?;
    write_framed(&mut stream, question).await?;
    read_framed(&mut stream).await
}

/// Writes a message with its length in front (RFC 1035 section 4.2.2).
pub(crate) async fn write_framed(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await
}

/// Reads a message with its length in front.
pub(crate) async fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// TC, the second bit of the third byte from the right (RFC 1035 section 4.1.1).
fn is_truncated(answer: &[u8]) -> bool {
    answer[2] & 0x02 != 0
}

/// The question sent back as an answer with code 2, SERVFAIL (RFC 1035 section 4.1.1).
fn server_failure(question: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2] |= 0x80;
    answer[3] = 0x80 | 2;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_an_answer_to_the_same_question() {
        let question = [0xab, 0xcd, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1];
        let answer = server_failure(&question);
        assert_eq!(answer[..4], [0xab, 0xcd, 0x81, 0x82]);
        assert_eq!(answer[4..], question[4..]);
        assert!(!is_truncated(&answer));
    }
}
