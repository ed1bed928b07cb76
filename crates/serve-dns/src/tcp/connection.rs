//! One connection: queries as they come, responses as they are ready, in whatever order (RFC 7766 section 6.2.1.1).
//!
//! While it is idle it holds no buffer. What it holds otherwise is bounded: one message in the making, a limited number of
//! queries that upstream servers are asked about, and no more responses than the client takes.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use engine_dns::Transport;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use crate::shared::{Served, Shared};
use crate::statistics::Source;

/// Room for what is read at once: several queries.
const READ: usize = 4096;
/// How many queries of one connection may wait for upstream servers at once; further ones are not read.
const MAX_PIPELINED: usize = 64;
/// Responses are sent when there are so many bytes of them, before further queries are looked at.
const MAX_OUTPUT: usize = 1 << 16;

/// A connection and what has come and not gone.
pub(super) struct Connection {
    stream: TcpStream,
    client: IpAddr,
    shared: Arc<Shared>,
    /// What was read and is no whole message yet, or not looked at yet.
    input: Vec<u8>,
    /// Responses with their lengths.
    output: Vec<u8>,
    /// Queries under way.
    pending: JoinSet<Vec<u8>>,
    /// Notified when this connection has to make room.
    leave: Arc<Notify>,
    /// True once the server stops.
    closing: watch::Receiver<bool>,
    /// The client reads on and writes on until then, or it is too slow.
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
}

/// What happens on a connection.
enum Event {
    /// The response to a query that was under way.
    Response(Vec<u8>),
    /// There is something to read.
    Readable,
    /// It is time to see whether the client is too slow.
    Time,
}

/// Why a connection ends.
enum End {
    /// The client has closed it, is too slow, or sends what is no query; or there is no room for it.
    Now,
    /// The server stops, or the client sends no more: what is under way is answered.
    Gently,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, client: IpAddr, shared: Arc<Shared>) -> Self {
        let deadline = Instant::now() + shared.config.idle_timeout;
        let (input, output, pending) = (Vec::new(), Vec::new(), JoinSet::new());
        let timer = Box::pin(sleep_until(deadline));
        let (leave, closing) = (Arc::new(Notify::new()), shared.closing.subscribe());
        Self { stream, client, shared, input, output, pending, leave, closing, deadline, timer }
    }

    /// Answers queries until the client stops, is idle for too long, or the server stops.
    pub(super) async fn serve(mut self) {
        // Responses need not wait for each other in the kernel.
        self.stream.set_nodelay(true).ok();
        loop {
            match self.step().await {
                Ok(()) => {}
                Err(End::Now) => return,
                Err(End::Gently) => return self.finish().await,
            }
        }
    }

    /// Waits for one thing to happen, and does what follows from it.
    async fn step(&mut self) -> Result<(), End> {
        match self.event().await? {
            Event::Response(response) => self.queue(&response),
            Event::Readable => self.read()?,
            // The time is set anew only now, as it is looked at seldom and moves often.
            Event::Time if Instant::now() < self.deadline => self.timer.as_mut().reset(self.deadline),
            Event::Time => return Err(End::Now),
        }
        loop {
            let has_more = self.look()?;
            self.write().await?;
            if !has_more {
                return Ok(());
            }
        }
    }

    /// Waits for one thing to happen. With no query under way, the connection is idle meanwhile.
    async fn event(&mut self) -> Result<Event, End> {
        let is_idle = self.pending.is_empty();
        let _entry = is_idle.then(|| self.shared.idle.enter(&self.leave));
        let is_closing = async { self.closing.wait_for(|is_closing| *is_closing).await.map(drop) };
        tokio::select! {
            biased;
            _ = is_closing => Err(End::Gently),
            Some(response) = self.pending.join_next() => Ok(Event::Response(response.unwrap_or_default())),
            ready = self.stream.readable(), if self.pending.len() < MAX_PIPELINED => match ready {
                Ok(()) => Ok(Event::Readable),
                Err(_) => Err(End::Now),
            },
            () = self.leave.notified() => Err(End::Now),
            () = &mut self.timer, if is_idle => Ok(Event::Time),
        }
    }

    /// Reads what there is.
    fn read(&mut self) -> Result<(), End> {
        self.input.reserve(READ);
        match self.stream.try_read_buf(&mut self.input) {
            // The client may have closed its side alone.
            Ok(0) => Err(End::Gently),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err(End::Now),
        }
    }

    /// Looks at whole messages; whether some are left for later.
    fn look(&mut self) -> Result<bool, End> {
        let (mut at, mut out, mut has_more) = (0, Vec::new(), false);
        while let Some((message, end)) = next_message(&self.input, at) {
            if self.output.len() >= MAX_OUTPUT || self.pending.len() >= MAX_PIPELINED {
                has_more = self.output.len() >= MAX_OUTPUT;
                break;
            }
            let limits = self.shared.limits((Transport::Tcp, self.client), self.shared.draw.next());
            let start = Instant::now();
            let source = match self.shared.serve_connection(message, limits, &mut out) {
                Served::FromZone => Some(Source::Zone),
                Served::Respond => Some(Source::Cache),
                Served::Silence => return Err(End::Now),
                Served::Later(pending) => {
                    let shared = Arc::clone(&self.shared);
                    self.pending.spawn(async move {
                        let mut out = Vec::new();
                        shared.complete(pending, &mut out).await;
                        out
                    });
                    None
                }
            };
            if let Some(source) = source {
                put(&mut self.output, &out);
                self.shared.counters.count(limits, source, &out);
                self.shared.counters.observe(start.elapsed(), 1);
            }
            at = end;
            self.deadline = Instant::now() + self.shared.config.idle_timeout;
        }
        self.input.drain(..at);
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        Ok(has_more)
    }

    fn queue(&mut self, response: &[u8]) {
        put(&mut self.output, response);
        self.deadline = Instant::now() + self.shared.config.idle_timeout;
    }

    /// Sends all responses that are ready. A client that does not take them in time is cut off, and one that is not done with
    /// them is as good as idle.
    async fn write(&mut self) -> Result<(), End> {
        if self.output.is_empty() {
            return Ok(());
        }
        let sent = match self.stream.try_write(&self.output) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return Err(End::Now),
        };
        let output = std::mem::take(&mut self.output);
        if sent == output.len() {
            return Ok(());
        }
        let _entry = self.shared.idle.enter(&self.leave);
        let deadline = Instant::now() + self.shared.config.idle_timeout;
        tokio::select! {
            () = self.leave.notified() => Err(End::Now),
            done = timeout_at(deadline, self.stream.write_all(&output[sent..])) => match done {
                Ok(Ok(())) => Ok(()),
                _ => Err(End::Now),
            },
        }
    }

    /// Answers what is under way.
    async fn finish(mut self) {
        loop {
            // Some may have been left for later.
            if self.look().is_err() || self.write().await.is_err() {
                return;
            }
            match self.pending.join_next().await {
                Some(response) => self.queue(&response.unwrap_or_default()),
                None => return,
            }
        }
    }
}

/// The whole message that begins there, without its length, and where it ends.
fn next_message(input: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let (length, rest) = input.get(at..)?.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes(*length));
    Some((rest.get(..length)?, at + 2 + length))
}

/// A message with its length before it, as TCP carries it (RFC 1035 section 4.2.2).
fn put(output: &mut Vec<u8>, message: &[u8]) {
    let Ok(length) = u16::try_from(message.len()) else { return };
    if length > 0 {
        output.extend_from_slice(&length.to_be_bytes());
        output.extend_from_slice(message);
    }
}
