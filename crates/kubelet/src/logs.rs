//! A container's output: one file per run, a line with its time and its source for each line written.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serve_api::{LogRequest, LogSource, LogStream, RuntimeError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

/// The longest piece that counts as one line, as in the container runtimes.
const MAX_LINE_BYTES: usize = 16 * 1024;
/// What stands between the time of a line and its text, and says where it was written.
const OUT_MARK: &[u8] = b" o ";
/// The same for standard error.
const ERR_MARK: &[u8] = b" e ";
/// Bytes buffered towards a client that follows.
const FOLLOW_BUFFER_BYTES: usize = 64 * 1024;

/// The output of one run: lines of `TIME o TEXT` or `TIME e TEXT`.
#[derive(Debug)]
pub struct RunLog {
    path: PathBuf,
    file: Mutex<File>,
    progress: watch::Sender<Progress>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    bytes: u64,
    is_closed: bool,
}

impl RunLog {
    /// Starts an empty log.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), progress: watch::Sender::default() })
    }

    /// Appends one line.
    pub fn line(&self, source: LogSource, text: &[u8]) {
        // With all nine digits, as the kubelet writes them, so that lines of several containers can be sorted as text.
        let mut line = format!("{:.9}", Timestamp::now()).into_bytes();
        line.extend_from_slice(if source == LogSource::Stderr { ERR_MARK } else { OUT_MARK });
        line.extend_from_slice(text);
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk loses output; the program itself must go on.
        if file.write_all(&line).is_ok() {
            self.progress.send_modify(|progress| progress.bytes += line.len() as u64);
        }
    }

    /// Nothing more will come.
    pub fn close(&self) {
        self.progress.send_modify(|progress| progress.is_closed = true);
    }

    /// Waits for the end.
    pub async fn closed(&self) {
        // The sender is ours, so the channel stays open.
        let _ = self.progress.subscribe().wait_for(|progress| progress.is_closed).await;
    }

    /// The output that a request asks for.
    ///
    /// # Errors
    /// When the request is malformed or the file cannot be read.
    pub fn stream(self: &Arc<Self>, request: LogRequest) -> Result<LogStream, RuntimeError> {
        let since = since(&request, Timestamp::now())?;
        let known = self.progress.borrow().bytes;
        let (lines, read) = self
            .lines(0, known)
            .map_err(|error| RuntimeError::Failed(format!("cannot read the log: {error}")))?;
        let mut lines: Vec<Vec<u8>> = lines
            .into_iter()
            .filter(|line| since.is_none_or(|since| written_at(line) >= Some(since)))
            .filter(|line| is_from(line, request.source))
            .collect();
        if let Some(count) = request.tail_lines {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            lines.drain(..lines.len().saturating_sub(count));
        }
        let text: Vec<u8> = lines.iter().flat_map(|line| shown(line, request.timestamps)).collect();
        let limit = request.limit_bytes.unwrap_or(u64::MAX);
        if !request.follow {
            return Ok(LogStream { output: Box::new(AsyncReadExt::take(io::Cursor::new(text), limit)) });
        }
        let (client, server) = tokio::io::duplex(FOLLOW_BUFFER_BYTES);
        tokio::spawn(Arc::clone(self).follow(text, read, request, server));
        Ok(LogStream { output: Box::new(client.take(limit)) })
    }

    /// Whole lines in a range of bytes, and where the last of them ends.
    fn lines(&self, from: u64, to: u64) -> io::Result<(Vec<Vec<u8>>, u64)> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(from))?;
        let mut reader = BufReader::new(file.take(to - from));
        let (mut lines, mut at) = (Vec::new(), from);
        loop {
            let mut line = Vec::new();
            let length = reader.read_until(b'\n', &mut line)?;
            if length == 0 {
                return Ok((lines, at));
            }
            at += length as u64;
            lines.push(line);
        }
    }

    async fn follow(
        self: Arc<Self>,
        first: Vec<u8>,
        mut read: u64,
        request: LogRequest,
        mut to: tokio::io::DuplexStream,
    ) {
        let mut progress = self.progress.subscribe();
        if to.write_all(&first).await.is_err() {
            return;
        }
        loop {
            let now = *progress.borrow_and_update();
            let Ok((lines, at)) = self.lines(read, now.bytes) else { return };
            read = at;
            for line in lines.iter().filter(|line| is_from(line, request.source)) {
                if to.write_all(&shown(line, request.timestamps)).await.is_err() {
                    return;
                }
            }
            if now.is_closed {
                return;
            }
            tokio::select! {
                changed = progress.changed() => if changed.is_err() { return },
                // The client has left.
                () = gone(&mut to) => return,
            }
        }
    }
}

fn since(request: &LogRequest, now: Timestamp) -> Result<Option<Timestamp>, RuntimeError> {
    if let Some(seconds) = request.since_seconds {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX / 2);
        return Ok(Some(now.saturating_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN)));
    }
    match &request.since_time {
        None => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|error| RuntimeError::Refused(format!("sinceTime `{text}` is not a time: {error}"))),
    }
}

fn written_at(line: &[u8]) -> Option<Timestamp> {
    let end = line.iter().position(|byte| *byte == b' ')?;
    std::str::from_utf8(&line[..end]).ok()?.parse().ok()
}

/// What follows the time of a line.
fn marked(line: &[u8]) -> &[u8] {
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    &line[end..]
}

fn is_from(line: &[u8], source: LogSource) -> bool {
    match source {
        LogSource::All => true,
        LogSource::Stdout => marked(line).starts_with(OUT_MARK),
        LogSource::Stderr => marked(line).starts_with(ERR_MARK),
    }
}

/// A line as clients see it.
fn shown(line: &[u8], timestamps: bool) -> Vec<u8> {
    let marked = marked(line);
    let text = marked.get(OUT_MARK.len()..).unwrap_or_default();
    if !timestamps {
        return text.to_vec();
    }
    [&line[..line.len() - marked.len()], b" ", text].concat()
}

/// Completes when the other end of a pipe is closed; what it says is of no interest.
async fn gone(pipe: &mut tokio::io::DuplexStream) {
    let mut byte = [0];
    while let Ok(1..) = pipe.read(&mut byte).await {}
}

/// Makes lines of what a program writes on one of its outputs.
#[derive(Debug)]
pub(crate) struct Lines {
    log: Arc<RunLog>,
    source: LogSource,
    held: Vec<u8>,
}

impl Lines {
    /// Nothing written yet.
    #[must_use]
    pub(crate) fn new(log: Arc<RunLog>, source: LogSource) -> Self {
        Self { log, source, held: Vec::new() }
    }

    /// Takes in what was written.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        let last = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            self.held.extend_from_slice(piece);
            self.log.line(self.source, &self.held);
            self.held.clear();
        }
        self.held.extend_from_slice(last);
        if self.held.len() > MAX_LINE_BYTES {
            self.finish();
        }
    }

    /// Writes out a last line that has no end.
    pub(crate) fn finish(&mut self) {
        if !self.held.is_empty() {
            self.log.line(self.source, &self.held);
            self.held.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_log(name: &str) -> (Arc<RunLog>, PathBuf) {
        let path = std::env::temp_dir().join(format!("sealane-log-{}-{name}", std::process::id()));
        (Arc::new(RunLog::create(&path).unwrap()), path)
    }

    async fn read(log: &Arc<RunLog>, request: LogRequest) -> String {
        let mut text = String::new();
        log.stream(request).unwrap().output.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn lines_come_back_whole_in_part_and_with_times() {
        let (log, path) = mk_log("parts");
        let mut lines = Lines::new(Arc::clone(&log), LogSource::Stdout);
        lines.push(b"one\nt");
        lines.push(b"wo\nthree");
        lines.finish();
        assert_eq!(read(&log, LogRequest::default()).await, "one\ntwo\nthree\n");
        assert_eq!(read(&log, LogRequest { tail_lines: Some(1), ..LogRequest::default() }).await, "three\n");
        assert_eq!(read(&log, LogRequest { limit_bytes: Some(5), ..LogRequest::default() }).await, "one\nt");
        let stamped = read(&log, LogRequest { timestamps: true, ..LogRequest::default() }).await;
        assert!(written_at(stamped.lines().next().unwrap().as_bytes()).is_some(), "{stamped}");
        let later = LogRequest { since_time: Some("2999-01-01T00:00:00Z".into()), ..LogRequest::default() };
        assert_eq!(read(&log, later).await, "");
        let wrong = LogRequest { since_time: Some("yesterday".into()), ..LogRequest::default() };
        assert!(log.stream(wrong).is_err());
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn following_ends_with_the_run() {
        let (log, path) = mk_log("follow");
        log.line(LogSource::Stdout, b"before");
        let mut stream = log.stream(LogRequest { follow: true, ..LogRequest::default() }).unwrap();
        log.line(LogSource::Stderr, b"after");
        log.close();
        let mut text = String::new();
        stream.output.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "before\nafter\n");
        let only = |source| LogRequest { source, ..LogRequest::default() };
        assert_eq!(read(&log, only(LogSource::Stdout)).await, "before\n");
        assert_eq!(read(&log, only(LogSource::Stderr)).await, "after\n");
        std::fs::remove_file(path).unwrap();
    }
}
