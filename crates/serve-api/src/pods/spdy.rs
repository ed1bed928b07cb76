//! Streams over SPDY/3.1, on the connection itself or tunnelled through a WebSocket.
//!
//! The protocol is decided in `engine_streams::spdy`; here are the two tasks that read and write.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use engine_streams::spdy::{Decoder, Encoder, Event, Frame, Headers, SpdyError, Step, StreamId, Streams};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::websocket::{self, TunnelSource, TunnelTarget};
use super::wire::{HEARTBEAT, Inlet, Input, Outlet, Output, QUEUE, Wire};

/// Most streams of one connection at once: 128 forwarded connections.
const MAX_STREAMS: usize = 256;
/// Bytes read at once.
const CHUNK: usize = 16 * 1024;
/// The number of our own pings; a server's are even.
const OUR_PING: u32 = 2;

/// A stream that a client has opened and nobody has answered yet.
pub(super) struct Opened {
    pub(super) id: u32,
    pub(super) headers: Headers,
    pub(super) inlet: Inlet,
    pub(super) outlet: Outlet,
}

/// A connection and the streams that clients open on it.
pub(super) struct Connection {
    wire: Wire,
    opened: mpsc::Receiver<Opened>,
    /// Kept for as long as streams may still be opened; the connection closes when the last of them is dropped.
    _queue: mpsc::Sender<(u32, Output)>,
}

impl Connection {
    /// The next stream that the client opens; nothing once it has left.
    pub(super) async fn next(&mut self) -> Option<Opened> {
        self.opened.recv().await
    }

    /// The connection without further streams.
    pub(super) fn into_wire(self) -> Wire {
        self.wire
    }
}

/// Where the client's bytes come from.
pub(super) enum Source {
    Plain(ReadHalf<TokioIo<Upgraded>>),
    Tunnel(TunnelSource),
}

/// Where ours go.
pub(super) enum Target {
    Plain(WriteHalf<TokioIo<Upgraded>>),
    Tunnel(TunnelTarget),
}

/// The connection itself.
pub(super) fn plain(upgraded: Upgraded) -> (Source, Target) {
    let (read, write) = tokio::io::split(TokioIo::new(upgraded));
    (Source::Plain(read), Target::Plain(write))
}

/// A tunnel through a WebSocket.
pub(super) async fn tunnelled(upgraded: Upgraded) -> (Source, Target) {
    let (source, target) = websocket::tunnel(upgraded).await;
    (Source::Tunnel(source), Target::Tunnel(target))
}

/// Speaks SPDY.
pub(super) fn connect((source, target): (Source, Target)) -> Connection {
    let table = Arc::new(Mutex::new(Table { streams: Streams::new(MAX_STREAMS), inlets: BTreeMap::new() }));
    let (announce, opened) = mpsc::channel(QUEUE);
    let (queue, queued) = mpsc::channel(QUEUE);
    let reader = Reader { table: Arc::clone(&table), announce, queue: queue.downgrade() };
    let reading = async move {
        if let Err(error) = reader.run(source).await {
            tracing::debug!(%error, "a SPDY connection ended early");
        }
    };
    Connection { wire: Wire::new(reading, write(target, table, queued)), opened, _queue: queue }
}

/// What both tasks know.
struct Table {
    streams: Streams,
    inlets: BTreeMap<StreamId, mpsc::Sender<Input>>,
}

fn locked(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Reader {
    table: Arc<Mutex<Table>>,
    announce: mpsc::Sender<Opened>,
    queue: mpsc::WeakSender<(u32, Output)>,
}

impl Reader {
    async fn run(self, mut source: Source) -> Result<(), SpdyError> {
        let mut decoder = Decoder::default();
        while let Some(bytes) = source.next().await {
            for piece in bytes.chunks(CHUNK) {
                decoder.feed(piece);
                while let Some(frame) = decoder.next_frame()? {
                    let steps = locked(&self.table).streams.take(frame);
                    for step in steps {
                        self.take(step).await;
                    }
                }
            }
        }
        Ok(())
    }

    async fn take(&self, step: Step) {
        match step {
            Step::Tell(Event::Opened { stream, headers }) => self.opened(stream, headers).await,
            Step::Tell(Event::Data { stream, bytes }) => self.pass(stream, Input::Bytes(bytes)).await,
            Step::Tell(Event::Finished(stream)) => self.pass(stream, Input::Finished).await,
            Step::Tell(Event::Reset(stream)) => {
                locked(&self.table).inlets.remove(&stream);
            }
            Step::Answer(Frame::Ping(number)) => self.answer(0, Output::Pong(number)).await,
            Step::Answer(Frame::Reset { stream, code }) => self.answer(stream.0, Output::Reset(code)).await,
            Step::Answer(_) => {}
        }
    }

    async fn opened(&self, stream: StreamId, headers: Headers) {
        let Some(queue) = self.queue.upgrade() else { return };
        let (sender, inlet) = mpsc::channel(QUEUE);
        locked(&self.table).inlets.insert(stream, sender);
        let outlet = Outlet::new(stream.0, queue);
        // Nobody takes streams any more when the conversation is about to end.
        let _ = self.announce.send(Opened { id: stream.0, headers, inlet, outlet }).await;
    }

    async fn pass(&self, stream: StreamId, input: Input) {
        let sender = locked(&self.table).inlets.get(&stream).cloned();
        if let Some(sender) = sender {
            // Whoever used the stream may no longer be interested in its input.
            let _ = sender.send(input).await;
        }
    }

    async fn answer(&self, stream: u32, output: Output) {
        if let Some(queue) = self.queue.upgrade() {
            let _ = queue.send((stream, output)).await;
        }
    }
}

async fn write(
    mut target: Target,
    table: Arc<Mutex<Table>>,
    mut queue: mpsc::Receiver<(u32, Output)>,
) -> io::Result<()> {
    let mut encoder = Encoder::default();
    let mut bytes = BytesMut::new();
    loop {
        let frame = match timeout(HEARTBEAT, queue.recv()).await {
            Err(_) => Some(Frame::Ping(OUR_PING)),
            Ok(None) => return target.close().await,
            Ok(Some((stream, output))) => locked(&table).frame(StreamId(stream), output),
        };
        if let Some(frame) = frame {
            encoder.encode(&frame, &mut bytes);
            target.send(bytes.split().freeze()).await?;
        }
    }
}

impl Table {
    /// The frame for an output; none for a stream that the client no longer listens to.
    fn frame(&mut self, stream: StreamId, output: Output) -> Option<Frame> {
        let frame = match output {
            Output::Pong(number) => return Some(Frame::Ping(number)),
            Output::Reset(code) => {
                self.streams.we_reset(stream);
                self.inlets.remove(&stream);
                return Some(Frame::Reset { stream, code });
            }
            _ if !self.streams.we_may_send(stream) => return None,
            Output::Accepted => Frame::SynReply { stream, headers: Headers::default(), fin: false },
            Output::Bytes(bytes) => Frame::Data { stream, bytes, fin: false },
            Output::Finished => {
                self.streams.we_finished(stream);
                Frame::Data { stream, bytes: Bytes::new(), fin: true }
            }
        };
        if !self.streams.is_open(stream) {
            self.inlets.remove(&stream);
        }
        Some(frame)
    }
}

impl Source {
    async fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::Tunnel(tunnel) => tunnel.next().await,
            Self::Plain(read) => {
                let mut bytes = BytesMut::with_capacity(CHUNK);
                let length = read.read_buf(&mut bytes).await.ok()?;
                (length > 0).then(|| bytes.freeze())
            }
        }
    }
}

impl Target {
    async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        match self {
            Self::Tunnel(tunnel) => tunnel.send(bytes).await,
            Self::Plain(write) => {
                write.write_all(&bytes).await?;
                write.flush().await
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        match self {
            Self::Tunnel(tunnel) => tunnel.close().await,
            Self::Plain(write) => write.shutdown().await,
        }
    }
}
