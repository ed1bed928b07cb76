//! Watches: cursors into the log, each with its own filter.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::list::{list_options_error, parse_revision, view_of};
use crate::log::Change;
use crate::registry::KindId;
use crate::request::{Target, WatchOptions};
use crate::selectors::Selectors;
use crate::store::Store;
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
    pub object: Arc<Value>,
}

/// A watch's place in the log.
pub struct Cursor {
    kind: Arc<Kind>,
    stored: KindId,
    namespace: Option<String>,
    name: Option<String>,
    selectors: Selectors,
    /// Events due before anything from the log.
    due: VecDeque<WatchEvent>,
    /// The last revision read from the log.
    position: u64,
}

impl Cursor {
    /// What kind of objects the watch shows.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The revision up to which everything was handed out, once [`Store::next`] has returned nothing.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.position
    }

    fn covers(&self, change: &Change) -> bool {
        change.kind == self.stored
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == change.key.namespace)
            && self.name.as_ref().is_none_or(|name| *name == change.key.name)
    }

    /// What a change means to this watch, if anything.
    fn event(&self, change: &Change) -> Option<WatchEvent> {
        if !self.covers(change) {
            return None;
        }
        let was = change.before.as_ref().filter(|before| self.selectors.matches(before));
        let is = !change.deleted && self.selectors.matches(&change.after);
        let (kind, object) = match (was, is) {
            (None, false) => return None,
            (None, true) => (EventKind::Added, Arc::clone(&change.after)),
            (Some(_), true) => (EventKind::Modified, Arc::clone(&change.after)),
            (Some(_), false) if change.deleted => (EventKind::Deleted, Arc::clone(&change.after)),
            (Some(before), false) => {
                let mut last = Value::clone(before);
                set_metadata(&mut last, "resourceVersion", Some(change.revision.to_string().into()));
                (EventKind::Deleted, Arc::new(last))
            }
        };
        Some(WatchEvent { kind, object: view_of(&self.kind, &object) })
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
            stored: self.registry().stored(id),
            kind,
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            selectors,
            due: VecDeque::new(),
            position,
        };
        self.check_not_expired(&cursor)?;
        if snapshot {
            cursor.due = self.initial_events(&cursor, target);
        }
        if options.send_initial_events == Some(true) && options.allow_bookmarks {
            let bookmark = bookmark_at(&cursor.kind, position, true);
            cursor.due.push_back(bookmark);
        }
        Ok(cursor)
    }

    /// The next events of a watch, at most `max`; none when nothing is new.
    ///
    /// # Errors
    /// 410 when the watch fell behind the log.
    pub fn next(&self, cursor: &mut Cursor, max: usize) -> Result<Vec<WatchEvent>, Status> {
        let mut events: Vec<WatchEvent> = cursor.due.drain(..max.min(cursor.due.len())).collect();
        if !cursor.due.is_empty() {
            return Ok(events);
        }
        self.check_not_expired(cursor)?;
        for change in self.log().after(cursor.position) {
            if events.len() >= max {
                break;
            }
            cursor.position = change.revision;
            events.extend(cursor.event(change));
        }
        Ok(events)
    }

    /// A bookmark for where a watch stands; ask for it when [`Store::next`] has nothing more.
    #[must_use]
    pub fn bookmark(&self, cursor: &Cursor) -> WatchEvent {
        bookmark_at(&cursor.kind, cursor.revision(), false)
    }

    fn check_not_expired(&self, cursor: &Cursor) -> Result<(), Status> {
        if cursor.position < self.log().floor() {
            let floor = self.log().floor();
            return Err(Status::expired(format!("too old resource version: {} ({floor})", cursor.position)));
        }
        Ok(())
    }

    fn initial_events(&self, cursor: &Cursor, target: &Target) -> VecDeque<WatchEvent> {
        self.scan(cursor.stored, target, None)
            .filter(|(key, object)| {
                cursor.name.as_ref().is_none_or(|name| *name == key.name) && cursor.selectors.matches(object)
            })
            .map(|(_, object)| WatchEvent { kind: EventKind::Added, object: view_of(&cursor.kind, object) })
            .collect()
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
    WatchEvent { kind: EventKind::Bookmark, object: Arc::new(object) }
}
