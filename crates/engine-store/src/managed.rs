//! `metadata.managedFields`: who set which field, kept up to date on every write.

use engine_schema::{Difference, FieldSet, Type, compare};
use serde_json::{Value, json};

use crate::write::Request;
use engine_kinds::object::{list, set_metadata, text, time_text};

/// Update entries kept before the oldest are merged (upstream: `DefaultMaxUpdateManagers`).
const MAX_UPDATERS: usize = 10;
/// Manager of the merged entries.
const ANCIENT: &str = "ancient-changes";

/// Metadata nobody owns (upstream: `stripMetaManager`).
const UNOWNED: &[&[&str]] = &[
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:resourceVersion"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:deletionTimestamp"],
    &["f:metadata", "f:deletionGracePeriodSeconds"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:managedFields"],
];

/// How a manager wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Apply,
    Update,
}

/// One entry of `managedFields`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) manager: String,
    pub(crate) operation: Operation,
    pub(crate) api_version: String,
    pub(crate) subresource: Option<String>,
    pub(crate) time: String,
    pub(crate) fields: FieldSet,
}

/// What a write does to managed fields.
pub(crate) enum Writer {
    /// Whatever changed belongs to the writer.
    Update,
    /// The entries are settled, the writer's own among them.
    Apply(Vec<Entry>),
}

/// Who writes, and when.
pub(crate) struct Context {
    pub(crate) manager: String,
    pub(crate) api_version: String,
    pub(crate) subresource: Option<String>,
    pub(crate) time: String,
    pub(crate) ty: Type,
}

impl Context {
    pub(crate) fn new(request: &Request<'_>, now: jiff::Timestamp, subresource: Option<&str>) -> Self {
        let manager = request.options.field_manager.as_str();
        Self {
            manager: if manager.is_empty() { "unknown".to_owned() } else { manager.to_owned() },
            api_version: request.kind().api_version(),
            subresource: subresource.map(str::to_owned),
            time: time_text(now),
            ty: request.stored_kind().ty(),
        }
    }

    /// Whether an entry is the writer's own of that operation.
    pub(crate) fn owns(&self, entry: &Entry, operation: Operation) -> bool {
        entry.operation == operation
            && entry.manager == self.manager
            && entry.subresource == self.subresource
            && (operation == Operation::Apply || entry.api_version == self.api_version)
    }

    /// The same for an entry of an update that is not read yet.
    fn owns_stored(&self, entry: &Value) -> bool {
        text(entry, "/operation") == "Update"
            && text(entry, "/manager") == self.manager
            && entry.get("subresource").and_then(Value::as_str) == self.subresource.as_deref()
            && text(entry, "/apiVersion") == self.api_version
    }

    /// An empty entry of the writer.
    pub(crate) fn entry(&self, operation: Operation, fields: FieldSet) -> Entry {
        Entry {
            manager: self.manager.clone(),
            operation,
            api_version: self.api_version.clone(),
            subresource: self.subresource.clone(),
            time: self.time.clone(),
            fields,
        }
    }
}

impl Entry {
    fn parse(entry: &Value) -> Option<Self> {
        let operation = match text(entry, "/operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        Some(Self {
            manager: text(entry, "/manager").to_owned(),
            operation,
            api_version: text(entry, "/apiVersion").to_owned(),
            subresource: entry.get("subresource").and_then(Value::as_str).map(str::to_owned),
            time: text(entry, "/time").to_owned(),
            fields: FieldSet::parse(entry.get("fieldsV1").unwrap_or(&Value::Null)),
        })
    }

    fn into_value(self) -> Value {
        let operation = match self.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        let mut value = json!({
            "manager": self.manager,
            "operation": operation,
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.into_value(),
        });
        if !self.time.is_empty() {
            value["time"] = self.time.into();
        }
        if let Some(subresource) = self.subresource {
            value["subresource"] = subresource.into();
        }
        value
    }
}

/// The entries of an object.
pub(crate) fn entries(object: &Value) -> Vec<Entry> {
    list(object, "/metadata/managedFields").iter().filter_map(Entry::parse).collect()
}

/// Takes fields nobody owns out of a set.
pub(crate) fn strip(set: &mut FieldSet) {
    for path in UNOWNED {
        set.remove(path);
    }
    if let Some(metadata) = set.children.get_mut("f:metadata") {
        metadata.member = false;
    }
    // A set that holds nothing of metadata must not mention it.
    set.subtract(&FieldSet::default());
}

/// Brings the managed fields of `new` up to date.
pub(crate) fn record(old: Option<&Value>, new: &mut Value, context: &Context, writer: Writer) {
    let entries = match writer {
        Writer::Apply(entries) => entries,
        Writer::Update => {
            let mut difference = compare(old, Some(new), &context.ty);
            strip(&mut difference.changed);
            strip(&mut difference.removed);
            if let Some(same) = old.filter(|old| stay(old, new, &difference, context)) {
                return copy_entries(same, new);
            }
            after_update(old, new, difference, context)
        }
    };
    store_entries(new, entries);
}

/// Whether an update leaves all entries as they are: what it changed was the writer's own before. Asked without reading
/// the entries, as most writes are like that.
fn stay(old: &Value, new: &Value, difference: &Difference, context: &Context) -> bool {
    let stored = list(old, "/metadata/managedFields");
    let sent = list(new, "/metadata/managedFields");
    if context.subresource.is_none() && !sent.is_empty() && sent != stored {
        return false;
    }
    let mut is_owned = difference.changed.is_empty();
    stored.iter().all(|entry| {
        let fields = entry.get("fieldsV1").unwrap_or(&Value::Null);
        let is_own = context.owns_stored(entry);
        is_owned |= is_own;
        let stays = if is_own {
            difference.changed.is_within(fields)
        } else {
            !difference.changed.is_touched_by(fields)
        };
        stays && !difference.removed.is_touched_by(fields)
    }) && is_owned
}

fn copy_entries(old: &Value, new: &mut Value) {
    set_metadata(new, "managedFields", old.pointer("/metadata/managedFields").cloned());
}

fn after_update(old: Option<&Value>, new: &Value, difference: Difference, context: &Context) -> Vec<Entry> {
    let mut entries = base_entries(old, new, context);
    if difference.changed.is_empty() && difference.removed.is_empty() {
        return entries;
    }
    for entry in &mut entries {
        if !context.owns(entry, Operation::Update) {
            entry.fields.subtract(&difference.changed);
        }
        entry.fields.subtract(&difference.removed);
    }
    if !difference.changed.is_empty() {
        match entries.iter_mut().find(|entry| context.owns(entry, Operation::Update)) {
            Some(entry) => {
                let before = entry.fields.clone();
                entry.fields.union(&difference.changed);
                if entry.fields != before {
                    entry.time.clone_from(&context.time);
                }
            }
            None => entries.push(context.entry(Operation::Update, difference.changed)),
        }
    }
    merge_ancient(&mut entries);
    entries
}

/// The entries a write starts from: those the client sent, if it sent any, else the stored ones.
fn base_entries(old: Option<&Value>, new: &Value, context: &Context) -> Vec<Entry> {
    let stored = || old.map(entries).unwrap_or_default();
    let sent = list(new, "/metadata/managedFields");
    if sent.is_empty() || context.subresource.is_some() {
        return stored();
    }
    if let [only] = sent
        && only.as_object().is_some_and(serde_json::Map::is_empty)
    {
        return Vec::new();
    }
    let parsed = entries(new);
    if parsed.len() == sent.len() { parsed } else { stored() }
}

/// Merges the oldest Update entries when there are too many.
fn merge_ancient(entries: &mut Vec<Entry>) {
    let mut updaters: Vec<usize> =
        (0..entries.len()).filter(|index| entries[*index].operation == Operation::Update).collect();
    if updaters.len() <= MAX_UPDATERS {
        return;
    }
    updaters.sort_by(|a, b| entries[*a].time.cmp(&entries[*b].time));
    let surplus = updaters.len() - MAX_UPDATERS + 1;
    let mut gone: Vec<usize> = updaters.into_iter().take(surplus).collect();
    gone.sort_unstable();
    let mut merged: Option<Entry> = None;
    for index in gone.into_iter().rev() {
        let entry = entries.remove(index);
        match &mut merged {
            Some(merged) => merged.fields.union(&entry.fields),
            None => merged = Some(Entry { manager: ANCIENT.to_owned(), subresource: None, ..entry }),
        }
    }
    entries.extend(merged);
}

fn store_entries(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    entries.sort_by(|a, b| {
        (a.operation, &a.time, &a.manager, &a.subresource).cmp(&(
            b.operation,
            &b.time,
            &b.manager,
            &b.subresource,
        ))
    });
    let value: Vec<Value> = entries.into_iter().map(Entry::into_value).collect();
    set_metadata(object, "managedFields", (!value.is_empty()).then(|| value.into()));
}

/// Whether two `metadata` are the same but for the times in managed fields.
pub(crate) fn same_metadata(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return old == new };
    old.len() == new.len()
        && old.iter().all(|(key, value)| match (key.as_str(), new.get(key)) {
            ("managedFields", Some(other)) => same_entries(value, other),
            (_, other) => other == Some(value),
        })
}

fn same_entries(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_array(), new.as_array()) else { return old == new };
    let untimed = |entry: &Value| Entry::parse(entry).map(|entry| Entry { time: String::new(), ..entry });
    old.len() == new.len() && old.iter().zip(new).all(|(old, new)| old == new || untimed(old) == untimed(new))
}

#[cfg(test)]
mod tests;
