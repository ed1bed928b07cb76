//! Events about objects: repeated ones raise a count instead of filling the store.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use types::ObjectRef;

use crate::{Error, Target, Writer};

/// Repetitions within this many seconds of the last write are counted, and written with the next.
const QUIET_SECONDS: i64 = 5;
/// Notes not repeated for this many seconds are forgotten here; kube-apiserver keeps Events for one hour
/// (`--event-ttl`).
const FORGET_SECONDS: i64 = 3600;

/// The object an Event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// `apiVersion`.
    pub api_version: String,
    /// Kind, namespace and name.
    pub object: ObjectRef,
    /// `metadata.uid`; `kubectl describe` shows only Events that carry it.
    pub uid: String,
}

/// `type` of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// `Normal`.
    Normal,
    /// `Warning`.
    Warning,
}

/// What an Event says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventNote {
    /// The object.
    pub subject: Subject,
    /// Normal or Warning.
    pub kind: EventKind,
    /// One CamelCase word.
    pub reason: String,
    /// For a person.
    pub message: String,
    /// Which program, such as `kubelet` or `sealane`.
    pub component: String,
    /// The node it happened on, when it happened on one.
    pub host: Option<String>,
}

/// Writes Events, and remembers which it wrote.
pub struct Events {
    writer: Writer,
    book: Mutex<Book>,
}

impl Events {
    /// Writes through this writer.
    #[must_use]
    pub fn new(writer: Writer) -> Self {
        Self { writer, book: Mutex::default() }
    }

    /// Writes an Event, or raises the count of the one that says the same.
    ///
    /// # Errors
    /// Every [`Error`] of the write; the note is counted with the next one then.
    pub async fn note(&self, note: &EventNote) -> Result<(), Error> {
        self.note_at(note, Timestamp::now()).await
    }

    async fn note_at(&self, note: &EventNote, now: Timestamp) -> Result<(), Error> {
        let Some(entry) = self.book.lock().await.count(note, now) else { return Ok(()) };
        let target = Target::namespaced("v1", "Event", namespace(note), &name(note));
        let made = if entry.written == 0 {
            self.writer.create_ours(&event(note, &entry)).await
        } else {
            self.writer.merge_patch(&target, &bump(entry.count, now)).await
        };
        let count = match made {
            Ok(_) => entry.count,
            // A process before this one wrote it: go on counting from there.
            Err(Error::AlreadyExists { .. }) => {
                let stored =
                    self.writer.merge_patch(&target, &json!({ "lastTimestamp": seconds(now) })).await?;
                let before = stored.get("count").and_then(Value::as_u64).unwrap_or(1);
                self.writer.merge_patch(&target, &bump(before + entry.count, now)).await?;
                before + entry.count
            }
            // The server forgot it: start again.
            Err(Error::NotFound { .. }) if entry.written > 0 => {
                let fresh = Entry { first: now, last: now, count: 1, written: 0 };
                self.writer.create_ours(&event(note, &fresh)).await?;
                1
            }
            Err(error) => return Err(error),
        };
        self.book.lock().await.wrote(note, count);
        Ok(())
    }
}

/// How often each note was seen and how much of that the server knows.
#[derive(Debug, Default)]
struct Book {
    entries: BTreeMap<EventNote, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    first: Timestamp,
    last: Timestamp,
    count: u64,
    /// The count last written; 0 when nothing was.
    written: u64,
}

impl Book {
    /// Counts a note; the entry to write, or none when it is too soon to write again.
    fn count(&mut self, note: &EventNote, now: Timestamp) -> Option<Entry> {
        self.entries.retain(|_, entry| seconds_between(entry.last, now) < FORGET_SECONDS);
        let entry =
            self.entries.entry(note.clone()).or_insert(Entry { first: now, last: now, count: 0, written: 0 });
        entry.count += 1;
        let is_quiet = entry.written > 0 && seconds_between(entry.last, now) < QUIET_SECONDS;
        if is_quiet {
            return None;
        }
        entry.last = now;
        Some(entry.clone())
    }

    fn wrote(&mut self, note: &EventNote, count: u64) {
        if let Some(entry) = self.entries.get_mut(note) {
            entry.count = entry.count.max(count);
            entry.written = count;
        }
    }
}

fn seconds_between(earlier: Timestamp, later: Timestamp) -> i64 {
    later.as_second() - earlier.as_second()
}

/// Events of cluster-scoped objects live in `default`, as kubectl expects.
fn namespace(note: &EventNote) -> &str {
    note.subject.object.namespace.as_deref().unwrap_or("default")
}

/// A name made from the note alone, so that a restarted process finds its own Event again.
fn name(note: &EventNote) -> String {
    let Subject { api_version, object, uid } = &note.subject;
    let parts = [api_version, &object.kind, uid, &note.reason, &note.message, &note.component];
    let hash = types::fnv_hash(parts.iter().flat_map(|part| part.bytes().chain([0])));
    format!("{}.{hash:016x}", object.name)
}

fn event(note: &EventNote, entry: &Entry) -> Value {
    let Subject { api_version, object, uid } = &note.subject;
    let mut source = json!({ "component": note.component });
    if let Some(host) = &note.host {
        source["host"] = json!(host);
    }
    let mut involved =
        json!({ "apiVersion": api_version, "kind": object.kind, "name": object.name, "uid": uid });
    if let Some(namespace) = &object.namespace {
        involved["namespace"] = json!(namespace);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": name(note), "namespace": namespace(note) },
        "involvedObject": involved,
        "reason": note.reason,
        "message": note.message,
        "type": match note.kind { EventKind::Normal => "Normal", EventKind::Warning => "Warning" },
        "source": source,
        "reportingComponent": note.component,
        "reportingInstance": note.host.as_deref().unwrap_or_default(),
        "firstTimestamp": seconds(entry.first),
        "lastTimestamp": seconds(entry.last),
        "count": entry.count,
    })
}

fn bump(count: u64, now: Timestamp) -> Value {
    json!({ "count": count, "lastTimestamp": seconds(now) })
}

/// `metav1.Time` has whole seconds.
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_note(message: &str) -> EventNote {
        let object = ObjectRef { kind: "Pod".into(), namespace: Some("shop".into()), name: "web-1".into() };
        EventNote {
            subject: Subject { api_version: "v1".into(), object, uid: "u-1".into() },
            kind: EventKind::Warning,
            reason: "Unhealthy".into(),
            message: message.into(),
            component: "kubelet".into(),
            host: Some("node-a".into()),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).expect("in range")
    }

    #[test]
    fn repeated_notes_are_one_event_with_a_count() {
        let mut book = Book::default();
        let note = mk_note("probe failed");
        assert_eq!(book.count(&note, at(0)).map(|entry| entry.count), Some(1));
        book.wrote(&note, 1);
        assert_eq!(book.count(&note, at(1)), None);
        assert_eq!(book.count(&note, at(2)), None);
        let entry = book.count(&note, at(10)).expect("due");
        assert_eq!((entry.count, entry.written, entry.first), (4, 1, at(0)));
        assert_eq!(book.count(&mk_note("another text"), at(10)).map(|entry| entry.count), Some(1));
    }

    #[test]
    fn a_failed_write_is_tried_with_the_next_note() {
        let mut book = Book::default();
        let note = mk_note("probe failed");
        assert!(book.count(&note, at(0)).is_some());
        assert_eq!(book.count(&note, at(1)).map(|entry| (entry.count, entry.written)), Some((2, 0)));
    }

    #[test]
    fn old_notes_are_forgotten() {
        let mut book = Book::default();
        assert!(book.count(&mk_note("one"), at(0)).is_some());
        assert!(book.count(&mk_note("two"), at(4000)).is_some());
        assert_eq!(book.entries.len(), 1);
    }

    #[test]
    fn an_event_says_what_kubectl_shows() {
        let entry = Entry { first: at(0), last: at(60), count: 3, written: 0 };
        let made = event(&mk_note("probe failed"), &entry);
        assert_eq!(made["metadata"]["namespace"], "shop");
        assert_eq!(made["involvedObject"]["uid"], "u-1");
        assert_eq!(made["lastTimestamp"], "2023-11-14T22:14:20Z");
        assert_eq!((made["type"].as_str(), made["count"].as_u64()), (Some("Warning"), Some(3)));
        assert_eq!(name(&mk_note("probe failed")), name(&mk_note("probe failed")));
        assert_ne!(name(&mk_note("probe failed")), name(&mk_note("another text")));
    }
}
