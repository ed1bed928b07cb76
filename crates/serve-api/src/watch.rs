//! Watch streams: one JSON line per event, for as long as the client asked or the server runs.
//!
//! A stream holds a cursor into the store's log and one chunk of text; a client that reads slower than the log turns
//! over is told to list again.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use engine_store::{Cursor, EventKind, IncludeObject, Portion, Status, Target, WatchEvent};
use futures_util::stream::unfold;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::answer::{self, Answer};
use crate::negotiate::{Form, JSON};
use crate::present;
use crate::query::Query;
use crate::shared::Shared;
use crate::shell;

/// Handed over and made into text at a time: what a client that does not read costs, but for the one event that passes
/// it.
const CHUNK: Portion = Portion { events: 1024, bytes: 64 * 1024 };
/// What a line holds besides the object, about.
const LINE: usize = 32;
/// How often an idle stream says where it stands (apiserver `bookmarkFrequency`).
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long before its end a stream says so once more (apiserver cacher, "bookmark before timeout").
const LAST_BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// Life of a stream whose client names none: this and up to twice as long.
const DEFAULT_LIFETIME_SECONDS: u64 = 300;
/// Longest life a client may name.
const LONGEST_LIFETIME_SECONDS: u64 = 24 * 3600;

/// Begins a watch and answers with its stream.
pub(crate) async fn watch(
    shared: &Arc<Shared>,
    target: &Target,
    query: &Query,
    form: Form,
    closing: CancellationToken,
) -> Result<Answer, Status> {
    let options = query.watch_options();
    let lifetime = query
        .number("timeoutSeconds")?
        .filter(|seconds| *seconds > 0)
        .unwrap_or_else(|| DEFAULT_LIFETIME_SECONDS + shell::random() % DEFAULT_LIFETIME_SECONDS)
        .min(LONGEST_LIFETIME_SECONDS);
    let include = query.include_object()?;
    let cursor = match shared.read_at_revision(|store| store.watch(target, &options)).await {
        Ok(cursor) => cursor,
        // Clients relist on the event; on an HTTP error some of them repeat the same request for ever.
        Err(status) if status.code == 410 || status.code == 504 => {
            return Ok(answer::stream(JSON, futures_util::stream::iter([error_line(&status)])));
        }
        Err(status) => return Err(status),
    };
    let start = Instant::now();
    let end = start + Duration::from_secs(lifetime);
    let feed = Feed {
        changes: shared.signals.of(cursor.source()),
        shared: Arc::clone(shared),
        cursor,
        closing,
        printer: Printer { target: target.clone(), form, include, columns_sent: false },
        end,
        bookmark_at: options.allow_bookmarks.then(|| bookmark_time(start, end)).flatten(),
        failed: false,
    };
    Ok(answer::stream(JSON, unfold(feed, |mut feed| async move { Some((feed.chunk().await?, feed)) })))
}

/// When to send the next bookmark, if there is still one due before the end.
fn bookmark_time(now: Instant, end: Instant) -> Option<Instant> {
    let last = end - LAST_BOOKMARK_BEFORE_END;
    (now < last).then(|| last.min(now + BOOKMARK_EVERY))
}

/// A running watch.
struct Feed {
    shared: Arc<Shared>,
    cursor: Cursor,
    changes: watch::Receiver<()>,
    closing: CancellationToken,
    printer: Printer,
    end: Instant,
    bookmark_at: Option<Instant>,
    failed: bool,
}

impl Feed {
    /// The next lines; none at the end of the stream.
    async fn chunk(&mut self) -> Option<Bytes> {
        loop {
            if self.failed || self.closing.is_cancelled() || Instant::now() >= self.end {
                return None;
            }
            self.changes.borrow_and_update();
            let (next, is_over) = {
                let store = self.shared.store();
                (store.next(&mut self.cursor, CHUNK), store.is_over(&self.cursor))
            };
            match next {
                // The kind is gone: the client finds that out when it lists again.
                Ok(events) if events.is_empty() && is_over => return None,
                Ok(events) if events.is_empty() => {}
                Ok(events) => return Some(self.printer.lines(&self.shared, &events)),
                Err(status) => {
                    self.failed = true;
                    return Some(error_line(&status));
                }
            }
            if self.bookmark_at.is_some_and(|time| time <= Instant::now()) {
                self.bookmark_at = bookmark_time(Instant::now(), self.end);
                let bookmark = self.shared.store().bookmark(&self.cursor);
                return Some(self.printer.lines(&self.shared, &[bookmark]));
            }
            tokio::select! {
                () = self.closing.cancelled() => return None,
                () = sleep_until(self.end) => return None,
                // Read once more first: the bookmark tells of the present, and other kinds wake nobody here.
                () = sleep_until(self.bookmark_at.unwrap_or(self.end)) => {}
                changed = self.changes.changed() => changed.ok()?,
            }
        }
    }
}

/// Writes events in the form the client asked for.
struct Printer {
    target: Target,
    form: Form,
    include: IncludeObject,
    columns_sent: bool,
}

impl Printer {
    /// The lines of events.
    fn lines(&mut self, shared: &Shared, events: &[WatchEvent]) -> Bytes {
        let size = |event: &WatchEvent| event.object.text().iter().map(|piece| piece.len()).sum::<usize>();
        let mut lines = BytesMut::with_capacity(events.iter().map(|event| size(event) + LINE).sum());
        for event in events {
            let kind = event.kind.as_str();
            match self.form {
                Form::Table => line(&mut lines, kind, &[&self.table(shared, event).to_string()]),
                Form::Metadata => {
                    line(&mut lines, kind, &present::partial_metadata(event.object.metadata()));
                }
                Form::Objects | Form::AggregatedDiscovery => line(&mut lines, kind, &event.object.text()),
            }
        }
        lines.freeze()
    }

    /// A table of one row, or of none for a bookmark; only the first one names the columns.
    fn table(&mut self, shared: &Shared, event: &WatchEvent) -> Value {
        let rows = match event.kind {
            EventKind::Bookmark => &[][..],
            _ => std::slice::from_ref(&event.object),
        };
        let metadata = present::list_metadata_of(&event.object);
        let mut table = present::table(&shared.store(), &self.target, rows, metadata, self.include);
        if std::mem::replace(&mut self.columns_sent, true) {
            table["columnDefinitions"] = Value::Null;
        }
        table
    }
}

fn error_line(status: &Status) -> Bytes {
    let mut lines = BytesMut::new();
    line(&mut lines, "ERROR", &[&status.to_value().to_string()]);
    lines.freeze()
}

/// One event; the object comes as pieces of its JSON text.
fn line(lines: &mut BytesMut, kind: &str, object: &[&str]) {
    lines.put_slice(b"{\"type\":\"");
    lines.put_slice(kind.as_bytes());
    lines.put_slice(b"\",\"object\":");
    object.iter().for_each(|piece| lines.put_slice(piece.as_bytes()));
    lines.put_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bookmarks_come_each_minute_and_before_the_end() {
        let now = Instant::now();
        let seconds = Duration::from_secs;
        assert_eq!(bookmark_time(now, now + seconds(300)), Some(now + seconds(60)));
        assert_eq!(bookmark_time(now, now + seconds(30)), Some(now + seconds(28)));
        assert_eq!(bookmark_time(now, now + seconds(1)), None);
        assert_eq!(bookmark_time(now + seconds(28), now + seconds(30)), None);
    }

    #[test]
    fn one_event_is_one_line() {
        let mut lines = BytesMut::new();
        line(&mut lines, "ADDED", &["{\"a\":", "\"x\\ny\"}"]);
        assert_eq!(&lines[..], b"{\"type\":\"ADDED\",\"object\":{\"a\":\"x\\ny\"}}\n");
    }
}
