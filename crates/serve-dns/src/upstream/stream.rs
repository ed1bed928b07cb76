//! A connection to an upstream server, over TCP or TLS, on which many queries are under way at once (RFC 7766 section
//! 6.2.1.1, RFC 7858).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine_dns::{Server, is_reply_to, with_id};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use crate::asking::Asking;
use crate::draw::Draw;
use crate::upstream::server::AskError;
use crate::upstream::trust::Trust;

/// So many queries are under way on one connection at most; more wait.
const MOST_UNDER_WAY: usize = 256;
/// A query is a packet of a few hundred bytes: a peer that does not take it in this time takes nothing.
const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// A connection, to ask on.
#[derive(Clone, Debug)]
pub(crate) struct Line(mpsc::Sender<Call>);

#[derive(Debug)]
struct Call {
    query: Vec<u8>,
    reply: oneshot::Sender<Vec<u8>>,
}

impl Line {
    pub(crate) fn is_open(&self) -> bool {
        !self.0.is_closed()
    }

    /// Asks, under an ID that no other query on the connection has.
    pub(crate) async fn exchange(&self, query: &[u8]) -> Result<Vec<u8>, AskError> {
        let (reply, answered) = oneshot::channel();
        let call = Call { query: query.to_vec(), reply };
        self.0.send(call).await.map_err(|_| AskError::Closed)?;
        answered.await.map_err(|_| AskError::Closed)
    }
}

/// Connects to a server. The connection ends when nobody has asked on it for so long.
pub(crate) async fn open(
    server: &Server,
    trust: &Arc<Trust>,
    idle: Duration,
    asking: &Arc<Asking>,
) -> Result<Line, AskError> {
    let stream = TcpStream::connect(server.address).await?;
    // Queries are small and somebody waits for each.
    stream.set_nodelay(true)?;
    let (sender, calls) = mpsc::channel(MOST_UNDER_WAY);
    match &server.tls {
        None => {
            asking.runtime.spawn(run(stream, calls, idle, Arc::clone(asking)));
        }
        Some(name) => {
            let name = ServerName::try_from(name.clone()).map_err(|_| AskError::ServerName(name.clone()))?;
            let connector = TlsConnector::from(trust.client().await?);
            let stream = connector.connect(name, stream).await?;
            asking.runtime.spawn(run(stream, calls, idle, Arc::clone(asking)));
        }
    }
    Ok(Line(sender))
}

/// Carries queries and replies until either side stops or nobody has asked for a while.
async fn run<S: AsyncRead + AsyncWrite>(
    stream: S,
    mut calls: mpsc::Receiver<Call>,
    idle: Duration,
    asking: Arc<Asking>,
) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut waiting: BTreeMap<u16, Call> = BTreeMap::new();
    let mut received = Vec::new();
    let mut idle_from = Instant::now();
    // Somebody has opened it to ask, and may come later than an end that is near.
    let mut is_used = false;
    loop {
        tokio::select! {
            call = calls.recv(), if waiting.len() < MOST_UNDER_WAY => {
                let Some(mut call) = call else { return };
                is_used = true;
                let id = free_id(&asking.draw, &waiting);
                call.query = with_id(&call.query, id);
                let sent = timeout(WRITE_LIMIT, write(&mut writer, &call.query)).await;
                waiting.insert(id, call);
                if !matches!(sent, Ok(Ok(()))) {
                    return;
                }
            }
            read = reader.read_buf(&mut received) => {
                if !matches!(read, Ok(1..)) {
                    return;
                }
                while let Some(message) = take_message(&mut received) {
                    deliver(message, &mut waiting);
                }
            }
            () = sleep_until(idle_from + idle), if is_used && waiting.is_empty() => return,
        }
        // Who has given up no longer holds the line.
        waiting.retain(|_, call| !call.reply.is_closed());
        idle_from = Instant::now();
    }
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), query: &[u8]) -> std::io::Result<()> {
    writer.write_all(&framed(query)).await?;
    writer.flush().await
}

fn free_id(draw: &Draw, waiting: &BTreeMap<u16, Call>) -> u16 {
    // At most one in 256 is taken.
    loop {
        let id = draw.next_id();
        if !waiting.contains_key(&id) {
            return id;
        }
    }
}

/// The first whole message of what was received.
fn take_message(received: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes([*received.first()?, *received.get(1)?]));
    if received.len() < length + 2 {
        return None;
    }
    let message = received.drain(..length + 2).skip(2).collect();
    Some(message)
}

fn deliver(message: Vec<u8>, waiting: &mut BTreeMap<u16, Call>) {
    let [high, low, ..] = message[..] else { return };
    let id = u16::from_be_bytes([high, low]);
    if let Some(call) = waiting.remove(&id) {
        if is_reply_to(&call.query, &message) {
            // Who asked may have given up.
            call.reply.send(message).ok();
        } else {
            waiting.insert(id, call);
        }
    }
}

/// A message with its length before it, as TCP carries it (RFC 1035 section 4.2.2).
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut bytes = Vec::with_capacity(message.len() + 2);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&message[..usize::from(length)]);
    bytes
}
