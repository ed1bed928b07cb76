//! Watches: cursors into the log, each with its own filter.

use std::sync::Arc;

use serde_json::json;

use crate::collection::{Collection, Place};
use crate::key::Key;
use crate::list::{list_options_error, parse_revision};
use crate::log::Change;
use crate::pinned::Pinned;
use crate::registry::KindId;
use crate::request::{Target, WatchOptions};
use crate::selectors::Selectors;
use crate::store::{Store, shown_as};
use crate::stored::{Head, Shown, Stored};
use engine_kinds::object::set_metadata;
use engine_kinds::{Kind, Status};

/// What a watch event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The object is new, or newly selected.
    Added,
    /// The object changed.
    Modified,
    /// The object is gone, or no longer selected.
    Deleted,
    /// Only the revision moved on.
    Bookmark,
}

impl EventKind {
    /// As written in a watch stream.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
            Self::Bookmark => "BOOKMARK",
        }
    }
}

/// One event of a watch.
#[derive(Clone, Debug)]
pub struct WatchEvent {
    /// What happened.
    pub kind: EventKind,
    /// The object after it happened; for deletions its last selected state.
    pub object: Shown,
}

/// How much a watch takes at a time, so that a client that does not read on costs no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// Events.
    pub events: usize,
    /// Bytes of their objects; the last event may pass it.
    pub bytes: usize,
}

/// What was taken so far.
struct Taken {
    events: Vec<WatchEvent>,
    /// What may follow.
    left: Portion,
}

impl Taken {
    fn push(&mut self, event: WatchEvent) {
        let size: usize = event.object.text().iter().map(|piece| piece.len()).sum();
        self.left.events = self.left.events.saturating_sub(1);
        self.left.bytes = self.left.bytes.saturating_sub(size);
        self.events.push(event);
    }

    fn is_full(&self) -> bool {
        self.left.events == 0 || self.left.bytes == 0
    }
}

/// A watch's place in the log.
pub struct Cursor {
    id: KindId,
    kind: Arc<Kind>,
    stored: KindId,
    namespace: Option<String>,
    name: Option<String>,
    selectors: Selectors,
    head: Head,
    /// What is due before anything from the log.
    initial: Option<Initial>,
    /// The last revision read from the log.
    position: u64,
}

/// The objects there were at the beginning, as far as they have not been handed out.
struct Initial {
    pinned: Arc<Pinned>,
    place: Place,
    /// Whether a bookmark says where they end.
    bookmark: bool,
}

impl Cursor {
    /// What kind of objects the watch shows.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Where it reads from: [`Store::take_changed`] names it when there is something new.
    #[must_use]
    pub fn source(&self) -> KindId {
        self.stored
    }

    /// The revision up to which everything was handed out, once [`Store::next`] has returned nothing.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.position
    }

    fn covers(&self, key: &Key) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| namespace == key.namespace())
            && self.name.as_ref().is_none_or(|name| name == key.name())
    }

    /// What a change means to this watch, if anything.
    fn event(&self, change: &Change) -> Option<WatchEvent> {
        if !self.covers(&change.key) {
            return None;
        }
        let was = change.before.as_ref().filter(|before| self.selectors.matches(before));
        let is = !change.deleted && self.selectors.matches(&change.after);
        let (kind, object) = match (was, is) {
            (None, false) => return None,
            (None, true) => (EventKind::Added, change.after.clone()),
            (Some(_), true) => (EventKind::Modified, change.after.clone()),
            (Some(_), false) if change.deleted => (EventKind::Deleted, change.after.clone()),
            (Some(before), false) => {
                let mut last = before.untyped();
                set_metadata(&mut last, "resourceVersion", Some(change.revision.to_string().into()));
                (EventKind::Deleted, Stored::new(&last))
            }
        };
        Some(WatchEvent { kind, object: shown_as(&self.kind, &self.head, &object) })
    }

    /// Takes of the objects there were at the beginning; none when they were taken away.
    fn take_initial(&mut self, taken: &mut Taken) -> Option<()> {
        let Some(mut initial) = self.initial.take() else { return Some(()) };
        let pinned = Arc::clone(&initial.pinned);
        let finished = pinned.read(|objects| {
            while !taken.is_full() {
                let Some((key, object)) = objects.next(&mut initial.place) else { return true };
                if self.is_past(key) {
                    return true;
                }
                if self.covers(key) && self.selectors.matches(object) {
                    let object = shown_as(&self.kind, &self.head, object);
                    taken.push(WatchEvent { kind: EventKind::Added, object });
                }
            }
            false
        })?;
        if !finished {
            self.initial = Some(initial);
        } else if initial.bookmark {
            taken.push(bookmark_at(&self.kind, self.position, true));
        }
        Some(())
    }

    /// Whether neither this key nor any after it is covered.
    fn is_past(&self, key: &Key) -> bool {
        self.namespace.as_ref().is_some_and(|namespace| key.namespace() > namespace.as_str())
    }
}

impl Store {
    /// Begins a watch.
    ///
    /// # Errors
    /// 404 for an unknown resource, 400 and 422 for bad options, 410 for a revision that is gone, 504 for one that
    /// is not there yet. The last two belong into the stream, as an `ERROR` event after HTTP 200.
    pub fn watch(&self, target: &Target, options: &WatchOptions) -> Result<Cursor, Status> {
        let id = self.registry().of_target(target)?;
        let kind = Arc::clone(self.registry().kind(id));
        let selectors =
            Selectors::parse(&kind, options.label_selector.as_deref(), options.field_selector.as_deref())?;
        check_options(options)?;
        let asked = match options.resource_version.as_deref() {
            None | Some("" | "0") => None,
            Some(text) => Some(parse_revision(text)?),
        };
        if let Some(revision) = asked.filter(|revision| *revision > self.revision()) {
            return Err(Status::too_large_revision(revision, self.revision()));
        }
        let snapshot = options.send_initial_events == Some(true)
            || (asked.is_none() && options.send_initial_events.is_none());
        let position = if snapshot { self.revision() } else { asked.unwrap_or(self.revision()) };
        let mut cursor = Cursor {
            id,
            stored: self.registry().stored(id),
            head: Head::of(&kind),
            kind,
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            selectors,
            initial: None,
            position,
        };
        self.check_not_expired(&cursor)?;
        if snapshot {
            let bookmark = options.send_initial_events == Some(true) && options.allow_bookmarks;
            cursor.initial = Some(self.initial(&cursor, bookmark));
        }
        Ok(cursor)
    }

    /// The next events of a watch, as many as a portion has room for; none when nothing is new.
    ///
    /// # Errors
    /// 410 when the watch fell behind the log.
    pub fn next(&self, cursor: &mut Cursor, portion: Portion) -> Result<Vec<WatchEvent>, Status> {
        // Also while the initial objects are being handed out: whoever takes them too slowly cannot go on from them.
        self.check_not_expired(cursor)?;
        let mut taken = Taken { events: Vec::new(), left: portion };
        cursor.take_initial(&mut taken).ok_or_else(|| self.expired(cursor))?;
        if cursor.initial.is_some() {
            return Ok(taken.events);
        }
        for change in self.log().after(cursor.stored, cursor.position) {
            if taken.is_full() {
                return Ok(taken.events);
            }
            cursor.position = change.revision;
            if let Some(event) = cursor.event(change) {
                taken.push(event);
            }
        }
        cursor.position = self.revision();
        Ok(taken.events)
    }

    /// Whether the kind of a watch is gone, or its definition has changed, so that nothing will follow what
    /// [`Store::next`] has left (upstream: a changed `spec` tears the storage of a custom kind down, watches included).
    #[must_use]
    pub fn is_over(&self, cursor: &Cursor) -> bool {
        !self.registry().is_unchanged(cursor.id, &cursor.kind)
    }

    /// A bookmark for where a watch stands; ask for it when [`Store::next`] has nothing more.
    #[must_use]
    pub fn bookmark(&self, cursor: &Cursor) -> WatchEvent {
        bookmark_at(&cursor.kind, cursor.revision(), false)
    }

    fn check_not_expired(&self, cursor: &Cursor) -> Result<(), Status> {
        if cursor.position < self.log().floor(cursor.stored) { Err(self.expired(cursor)) } else { Ok(()) }
    }

    fn expired(&self, cursor: &Cursor) -> Status {
        let floor = self.log().floor(cursor.stored);
        Status::expired(format!("too old resource version: {} ({floor})", cursor.position))
    }

    fn initial(&self, cursor: &Cursor, bookmark: bool) -> Initial {
        let objects = self.objects(cursor.stored);
        let place = match &cursor.namespace {
            None => Collection::<Stored>::start(),
            Some(namespace) => objects.place_of(&Key::new(namespace, "")),
        };
        Initial { pinned: self.pins().pin(cursor.stored, self.revision(), objects), place, bookmark }
    }
}

/// The rules for `sendInitialEvents` (upstream: `ValidateListOptions`).
fn check_options(options: &WatchOptions) -> Result<(), Status> {
    let rule = options.resource_version_match.as_deref().unwrap_or_default();
    match options.send_initial_events {
        Some(_) if rule.is_empty() => Err(list_options_error(
            "resourceVersionMatch",
            "sendInitialEvents is forbidden unless resourceVersionMatch is set",
        )),
        Some(_) if rule != "NotOlderThan" => Err(list_options_error(
            "resourceVersionMatch",
            "Unsupported value: sendInitialEvents needs \"NotOlderThan\"",
        )),
        None if !rule.is_empty() => Err(list_options_error(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )),
        _ => Ok(()),
    }
}

fn bookmark_at(kind: &Kind, revision: u64, end_of_initial_events: bool) -> WatchEvent {
    let mut object = json!({
        "kind": kind.kind,
        "apiVersion": kind.api_version(),
        "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null},
    });
    if end_of_initial_events {
        object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    WatchEvent { kind: EventKind::Bookmark, object: Shown::of_value(&object) }
}
