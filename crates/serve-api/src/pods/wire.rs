//! Streams between a client and a Pod, whichever way they are carried: what comes in, what goes out, and the end.
//!
//! Every queue here is short: who does not take what is sent to him holds up the sender, and memory stays bounded.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use engine_streams::spdy::ResetCode;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Pieces that may wait on one stream.
pub(super) const QUEUE: usize = 4;
/// A client is asked for a sign of life after so much silence of ours, so that one that has left is noticed even
/// while what it sent waits to be taken (apimachinery's own clients use the same period).
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long a client may take to close its side.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// What comes on a stream.
#[derive(Debug)]
pub(super) enum Input {
    /// Bytes.
    Bytes(Bytes),
    /// The client is done with it.
    Finished,
}

/// What comes on one stream. It ends when the client ended the stream in both directions, or left.
pub(super) type Inlet = mpsc::Receiver<Input>;

/// What goes out on a stream.
#[derive(Debug)]
pub(super) enum Output {
    /// The stream is taken.
    Accepted,
    /// Bytes.
    Bytes(Bytes),
    /// We are done with it.
    Finished,
    /// It is over in both directions.
    Reset(ResetCode),
    /// A sign of life that the client asked for.
    Pong(u32),
}

/// Where one stream's output goes.
#[derive(Debug)]
pub(super) struct Outlet {
    stream: u32,
    queue: mpsc::Sender<(u32, Output)>,
}

impl Outlet {
    pub(super) fn new(stream: u32, queue: mpsc::Sender<(u32, Output)>) -> Self {
        Self { stream, queue }
    }

    pub(super) async fn send(&self, bytes: Bytes) -> io::Result<()> {
        self.put(Output::Bytes(bytes)).await
    }

    /// Nothing more will be sent. A client that has left does not need to know.
    pub(super) async fn finish(self) {
        let _ = self.put(Output::Finished).await;
    }

    /// Says a last word.
    pub(super) async fn conclude(self, text: String) {
        if self.send(text.into()).await.is_ok() {
            self.finish().await;
        }
    }

    pub(super) async fn accept(&self) -> io::Result<()> {
        self.put(Output::Accepted).await
    }

    /// Ends the stream in both directions.
    pub(super) async fn reset(self, code: ResetCode) {
        let _ = self.put(Output::Reset(code)).await;
    }

    async fn put(&self, output: Output) -> io::Result<()> {
        self.queue.send((self.stream, output)).await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

/// A connection that carries streams.
pub(super) struct Wire {
    /// Cancelled when the client has left.
    pub(super) gone: CancellationToken,
    reading: JoinHandle<()>,
    writing: JoinHandle<()>,
}

impl Wire {
    /// A connection with its two tasks; the first to end says that the client has left.
    pub(super) fn new(
        reading: impl Future<Output = ()> + Send + 'static,
        writing: impl Future<Output = io::Result<()>> + Send + 'static,
    ) -> Self {
        let gone = CancellationToken::new();
        let (read_end, write_end) = (gone.clone(), gone.clone());
        Self {
            gone,
            reading: tokio::spawn(async move {
                reading.await;
                read_end.cancel();
            }),
            writing: tokio::spawn(async move {
                if let Err(error) = writing.await {
                    tracing::debug!(%error, "a client left in the middle of a stream");
                    write_end.cancel();
                }
            }),
        }
    }

    /// Closes the connection once everything is sent; all outlets must have been dropped. What the client still
    /// sends is read and dropped: closing a connection with unread data would reset it, and the client might lose
    /// the end of the conversation.
    pub(super) async fn close(mut self) {
        let _ = timeout(CLOSE_PATIENCE, &mut self.writing).await;
        let _ = timeout(CLOSE_PATIENCE, &mut self.reading).await;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.reading.abort();
        self.writing.abort();
    }
}
