//! Streams over a WebSocket: as numbered channels, or as a tunnel for the bytes of another protocol.

use std::io;

use bytes::Bytes;
use engine_streams::channel::{self, Version};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::wire::{HEARTBEAT, Inlet, Input, Outlet, Output, QUEUE, Wire};

/// Largest message taken from a client.
const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

type Socket = WebSocketStream<TokioIo<Upgraded>>;
type Receiving = SplitStream<Socket>;
type Sending = SplitSink<Socket, Message>;

/// A connection whose streams are channels.
pub(super) struct Channels {
    pub(super) wire: Wire,
    inlets: Vec<Option<Inlet>>,
    queue: mpsc::Sender<(u32, Output)>,
}

impl Channels {
    /// What the client sends on a channel, which must be one of those opened; it can be taken once.
    pub(super) fn inlet(&mut self, channel: u8) -> Option<Inlet> {
        self.inlets.get_mut(usize::from(channel))?.take()
    }

    /// Where output of a channel goes.
    pub(super) fn outlet(&self, channel: u8) -> Outlet {
        Outlet::new(channel.into(), self.queue.clone())
    }

    /// The connection itself; from here on it closes when the last outlet is dropped.
    pub(super) fn into_wire(self) -> Wire {
        self.wire
    }
}

/// Speaks channels on a connection; the client may send on these.
pub(super) async fn channels(upgraded: Upgraded, version: Version, incoming: &[u8]) -> Channels {
    let (sending, receiving) = socket(upgraded).await.split();
    let size = incoming.iter().max().map_or(0, |highest| usize::from(*highest) + 1);
    let (mut senders, mut inlets) = (Vec::new(), Vec::new());
    for channel in 0..size {
        let is_open = u8::try_from(channel).is_ok_and(|channel| incoming.contains(&channel));
        let (sender, inlet) = mpsc::channel(QUEUE);
        senders.push(is_open.then_some(sender));
        inlets.push(is_open.then_some(inlet));
    }
    let (queue, queued) = mpsc::channel(QUEUE);
    let wire = Wire::new(read_channels(receiving, version, senders), write_channels(sending, queued));
    Channels { wire, inlets, queue }
}

async fn socket(upgraded: Upgraded) -> Socket {
    let limits =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_LIMIT)).max_frame_size(Some(MESSAGE_LIMIT));
    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(limits)).await
}

/// The next message's content; nothing when the client has left.
async fn next(receiving: &mut Receiving) -> Option<Bytes> {
    loop {
        match receiving.next().await?.ok()? {
            Message::Binary(data) => return Some(data),
            Message::Text(text) => return Some(Bytes::from(text)),
            Message::Close(_) => return None,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

async fn read_channels(
    mut receiving: Receiving,
    version: Version,
    senders: Vec<Option<mpsc::Sender<Input>>>,
) {
    while let Some(message) = next(&mut receiving).await {
        let (number, input) = match channel::parse(version, message) {
            Some(channel::Message::Bytes { channel, bytes }) if !bytes.is_empty() => {
                (channel, Input::Bytes(bytes))
            }
            Some(channel::Message::Close(channel)) => (channel, Input::Finished),
            _ => continue,
        };
        if let Some(Some(sender)) = senders.get(usize::from(number)) {
            // Nobody may be interested any more.
            let _ = sender.send(input).await;
        }
    }
}

async fn write_channels(mut sending: Sending, mut queue: mpsc::Receiver<(u32, Output)>) -> io::Result<()> {
    loop {
        let message = match timeout(HEARTBEAT, queue.recv()).await {
            Err(_) => Some(Message::Ping(Bytes::new())),
            Ok(None) => return close(&mut sending).await,
            Ok(Some((stream, output))) => {
                let number = u8::try_from(stream).unwrap_or(u8::MAX);
                match output {
                    Output::Bytes(bytes) => Some(Message::Binary(channel::render(number, &bytes))),
                    // A client may close a channel; the kubelet never does, and kubectl complains of it.
                    Output::Finished | Output::Accepted | Output::Reset(_) | Output::Pong(_) => None,
                }
            }
        };
        if let Some(message) = message {
            sending.send(message).await.map_err(io::Error::other)?;
        }
    }
}

async fn close(sending: &mut Sending) -> io::Result<()> {
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    sending.send(Message::Close(Some(frame))).await.map_err(io::Error::other)
}

/// The client's bytes out of a tunnel.
pub(super) struct TunnelSource(Receiving);

/// Our bytes into a tunnel.
pub(super) struct TunnelTarget(Sending);

/// Carries the bytes of another protocol in binary messages.
pub(super) async fn tunnel(upgraded: Upgraded) -> (TunnelSource, TunnelTarget) {
    let (sending, receiving) = socket(upgraded).await.split();
    (TunnelSource(receiving), TunnelTarget(sending))
}

impl TunnelSource {
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        next(&mut self.0).await
    }
}

impl TunnelTarget {
    pub(super) async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        self.0.send(Message::Binary(bytes)).await.map_err(io::Error::other)
    }

    pub(super) async fn close(&mut self) -> io::Result<()> {
        close(&mut self.0).await
    }
}
