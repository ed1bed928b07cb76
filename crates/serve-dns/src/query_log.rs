//! The query log: its lines are written by a thread of their own, so that no answer waits for whoever reads them.
//!
//! How many lines may wait is bounded. A query that finds no room is counted, and the log tells how many these were. Which
//! queries are to be written is decided in `engine-dns`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use engine_dns::QueryRecord;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How many lines may wait: with the longest names, about two megabytes.
const MOST_WAITING: usize = 4096;
/// While lines find no room, the log tells so at most once in this time.
const TELL_PAUSE: Duration = Duration::from_secs(1);

/// Takes queries to the log.
#[derive(Debug, Default)]
pub(crate) struct QueryLog {
    /// The thread starts with the first query that is to be written.
    lines: OnceLock<SyncSender<Line>>,
    counts: Arc<LogCounts>,
}

/// What has become of queries that were to be written.
#[derive(Debug, Default)]
pub(crate) struct LogCounts {
    pub(crate) written: AtomicU64,
    pub(crate) lost: AtomicU64,
}

/// What waits to be written.
#[derive(Debug)]
enum Line {
    Query(QueryRecord),
    /// Everything before this is written when the other side is told.
    End(oneshot::Sender<()>),
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry<'r> {
    Query(&'r QueryRecord),
    /// So many queries found no room since the last such entry.
    Lost(u64),
}

impl QueryLog {
    pub(crate) fn counts(&self) -> &LogCounts {
        &self.counts
    }

    /// Has a query written, if there is room.
    pub(crate) fn write(&self, record: QueryRecord) {
        self.write_with(record, print);
    }

    fn write_with(&self, record: QueryRecord, print: impl FnMut(Entry<'_>) + Send + 'static) {
        let lines = self.lines.get_or_init(|| start(Arc::clone(&self.counts), print));
        if lines.try_send(Line::Query(record)).is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all that has come so far is written, but no longer than this.
    pub(crate) async fn flush(&self, limit: Duration) {
        let Some(lines) = self.lines.get() else { return };
        let (end, reached) = oneshot::channel();
        // Without room for one more, nobody reads the log, and there is nothing to wait for.
        if lines.try_send(Line::End(end)).is_ok() {
            timeout(limit, reached).await.map(drop).ok();
        }
    }
}

fn start(counts: Arc<LogCounts>, print: impl FnMut(Entry<'_>) + Send + 'static) -> SyncSender<Line> {
    let (sender, lines) = sync_channel(MOST_WAITING);
    let thread = std::thread::Builder::new().name("dns-query-log".to_owned());
    if let Err(error) = thread.spawn(move || run(&lines, &counts, print)) {
        tracing::error!(%error, "no thread for the DNS query log: it has no lines");
    }
    sender
}

/// Writes until nobody is left who could send.
fn run(lines: &Receiver<Line>, counts: &LogCounts, mut print: impl FnMut(Entry<'_>)) {
    let (mut told, mut told_at) = (0, None::<Instant>);
    loop {
        let lost = counts.lost.load(Ordering::Relaxed);
        if lost > told && told_at.is_none_or(|at| at.elapsed() >= TELL_PAUSE) {
            print(Entry::Lost(lost - told));
            (told, told_at) = (lost, Some(Instant::now()));
        }
        // What is not told yet is told even if no query comes any more.
        let line = match lost > told {
            true => lines.recv_timeout(TELL_PAUSE),
            false => lines.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match line {
            Ok(Line::Query(record)) => {
                print(Entry::Query(&record));
                counts.written.fetch_add(1, Ordering::Relaxed);
            }
            // Who waits for it may have given up.
            Ok(Line::End(end)) => {
                end.send(()).ok();
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn print(entry: Entry<'_>) {
    match entry {
        Entry::Query(QueryRecord { client, name, kind, rcode, size, one_in }) => {
            let one_in = (one_in.get() > 1).then_some(one_in.get());
            tracing::info!(target: "sealane::dns", ?client, %name, %kind, ?rcode, size, one_in, "DNS query");
        }
        Entry::Lost(lost) => {
            tracing::warn!(target: "sealane::dns", lost, "DNS queries found no room in the log; `sample` makes it smaller");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use engine_dns::{Name, RecordType};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(60);

    fn record(number: usize) -> QueryRecord {
        QueryRecord {
            client: None,
            name: Name::parse("www.example.com").unwrap(),
            kind: RecordType::A,
            rcode: Some(0),
            size: number,
            one_in: NonZeroU32::MIN,
        }
    }

    /// What was printed, in words.
    type Printed = Arc<Mutex<Vec<String>>>;

    fn note(printed: &Printed, entry: Entry<'_>) {
        printed.lock().unwrap().push(match entry {
            Entry::Query(record) => record.size.to_string(),
            Entry::Lost(lost) => format!("lost {lost}"),
        });
    }

    #[tokio::test]
    async fn a_log_that_nobody_reads_holds_up_nobody_and_tells_what_it_lost() {
        let (log, printed) = (QueryLog::default(), Printed::default());
        // The writer stays in its first line until it is let go.
        let (inside, is_inside) = channel();
        let (go, gate) = channel::<()>();
        let writer = {
            let printed = Arc::clone(&printed);
            move |entry: Entry<'_>| {
                if printed.lock().unwrap().is_empty() {
                    inside.send(()).unwrap();
                    gate.recv_timeout(DEADLINE).unwrap();
                }
                note(&printed, entry);
            }
        };
        log.write_with(record(0), writer);
        is_inside.recv_timeout(DEADLINE).unwrap();
        for number in 1..=MOST_WAITING + 10 {
            log.write(record(number));
        }
        assert_eq!(log.counts().lost.load(Ordering::Relaxed), 10);
        // There is no room to say that everything is to be written, so nobody waits for it.
        log.flush(DEADLINE).await;
        assert_eq!(log.counts().written.load(Ordering::Relaxed), 0);
        go.send(()).unwrap();
        let end = Instant::now() + DEADLINE;
        while log.counts().written.load(Ordering::Relaxed) < MOST_WAITING as u64 + 1 {
            assert!(Instant::now() < end, "lines are written once somebody reads them");
            std::thread::yield_now();
        }
        let printed = printed.lock().unwrap();
        assert_eq!(printed[..3], ["0", "lost 10", "1"]);
        assert_eq!(printed.len(), MOST_WAITING + 2);
    }

    #[tokio::test]
    async fn what_has_come_is_written_before_the_end() {
        let (log, printed) = (QueryLog::default(), Printed::default());
        for number in 0..100 {
            let printed = Arc::clone(&printed);
            log.write_with(record(number), move |entry| note(&printed, entry));
        }
        log.flush(DEADLINE).await;
        let expected = (0..100).map(|number| number.to_string()).collect::<Vec<_>>();
        assert_eq!(*printed.lock().unwrap(), expected);
        assert_eq!(log.counts().written.load(Ordering::Relaxed), 100);
    }
}
