//! Lists: selectors, portions, and the rules for asking for a revision.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use crate::request::{ListOptions, Target};
use crate::selectors::Selectors;
use crate::store::{Key, Store};
use engine_kinds::{Cause, Kind, Status};

/// A portion of a collection.
#[derive(Clone)]
pub struct List {
    /// What kind the items are.
    pub kind: Arc<Kind>,
    /// The objects.
    pub items: Vec<Arc<Value>>,
    /// The list's revision.
    pub resource_version: u64,
    /// Where the next portion begins, if there is one.
    pub continue_token: Option<String>,
    /// How many objects follow, when that is known.
    pub remaining_item_count: Option<u64>,
}

/// What a continue token holds (upstream: `storage.EncodeContinue`).
#[derive(Serialize, Deserialize)]
struct Continue {
    v: String,
    rv: u64,
    start: String,
}

const CONTINUE_VERSION: &str = "meta.k8s.io/v1";

impl List {
    /// `metadata` of the list.
    #[must_use]
    pub fn metadata(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.resource_version.to_string()});
        if let Some(token) = &self.continue_token {
            metadata["continue"] = Value::from(token.as_str());
        }
        if let Some(count) = self.remaining_item_count {
            metadata["remainingItemCount"] = Value::from(count);
        }
        metadata
    }

    /// The list as the API shows it. Prefer serializing the list itself: it copies nothing.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("a list of JSON objects is JSON")
    }
}

impl Serialize for List {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("kind", &format!("{}List", self.kind.kind))?;
        map.serialize_entry("apiVersion", &self.kind.api_version())?;
        map.serialize_entry("metadata", &self.metadata())?;
        map.serialize_entry("items", &Items(&self.items))?;
        map.end()
    }
}

struct Items<'a>(&'a [Arc<Value>]);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut items = serializer.serialize_seq(Some(self.0.len()))?;
        for item in self.0 {
            items.serialize_element(&Item(item))?;
        }
        items.end()
    }
}

/// An object without kind and apiVersion, as it stands in a list.
struct Item<'a>(&'a Value);

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(object) = self.0.as_object() else { return self.0.serialize(serializer) };
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in object.iter().filter(|(key, _)| *key != "kind" && *key != "apiVersion") {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Store {
    /// Objects of a collection, ordered by namespace and name.
    ///
    /// # Errors
    /// 404 for an unknown resource, 400 and 422 for bad options, 410 for a revision that is gone, 504 for one that
    /// is not there yet (a transport may wait up to three seconds and ask again).
    pub fn list(&self, target: &Target, options: &ListOptions) -> Result<List, Status> {
        let id = self.registry().of_target(target)?;
        let kind = self.registry().kind(id);
        let selectors =
            Selectors::parse(kind, options.label_selector.as_deref(), options.field_selector.as_deref())?;
        self.check_revision(options)?;
        let start = options.continue_token.as_deref().map(parse_continue).transpose()?;
        let resource_version = start.as_ref().map_or(self.revision(), |start| start.rv);
        if resource_version < self.log().floor() {
            let message = "The provided continue parameter is too old to display a consistent list result. \
                           You can start a new list without the continue parameter.";
            return Err(Status::expired(message));
        }
        let start = start.map(|start| Key::parse(&start.start));
        let limit = options
            .limit
            .filter(|limit| *limit > 0)
            .map_or(usize::MAX, |limit| limit.try_into().unwrap_or(usize::MAX));
        let mut items = Vec::new();
        let mut scan = self
            .scan(self.registry().stored(id), target, start.as_ref())
            .filter(|(_, object)| selectors.matches(object));
        let mut next = None;
        for (key, object) in scan.by_ref() {
            if items.len() == limit {
                next = Some(key);
                break;
            }
            items.push(view_of(kind, object));
        }
        let remaining_item_count = (next.is_some() && selectors.is_empty()).then(|| scan.count() as u64 + 1);
        let continue_token = next.map(|key| encode_continue(resource_version, key));
        Ok(List { kind: Arc::clone(kind), items, resource_version, continue_token, remaining_item_count })
    }

    /// The rules for `resourceVersion` and `resourceVersionMatch` on lists (upstream: `ValidateListOptions`).
    fn check_revision(&self, options: &ListOptions) -> Result<(), Status> {
        let asked = options.resource_version.as_deref().unwrap_or_default();
        let rule = options.resource_version_match.as_deref().unwrap_or_default();
        let continued = options.continue_token.as_deref().is_some_and(|token| !token.is_empty());
        let wrong = |text: &str| Err(list_options_error("resourceVersionMatch", text));
        match rule {
            "" => {}
            "NotOlderThan" | "Exact" if continued => {
                return wrong("resourceVersionMatch is forbidden for continue");
            }
            "NotOlderThan" | "Exact" if asked.is_empty() => {
                return wrong("resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            "Exact" if asked == "0" => {
                return wrong("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
            }
            "NotOlderThan" | "Exact" => {}
            _ => return wrong("Unsupported value: supported values: \"Exact\", \"NotOlderThan\""),
        }
        if asked.is_empty() || asked == "0" || continued {
            return Ok(());
        }
        let revision = parse_revision(asked)?;
        if revision > self.revision() {
            return Err(Status::too_large_revision(revision, self.revision()));
        }
        if rule == "Exact" && revision != self.revision() {
            return Err(Status::expired(format!(
                "The resourceVersion for the provided list is too old: {revision}"
            )));
        }
        Ok(())
    }
}

/// Reads a resourceVersion from a query.
pub(crate) fn parse_revision(text: &str) -> Result<u64, Status> {
    text.parse().map_err(|_| {
        let message = format!("Invalid value: \"{text}\": resource version must be an unsigned integer");
        list_options_error("resourceVersion", &message)
    })
}

/// 422 about a list option.
pub(crate) fn list_options_error(field: &str, message: &str) -> Status {
    let forbidden = message.contains("forbidden");
    let text = if forbidden { format!("Forbidden: {message}") } else { message.to_owned() };
    let reason = if forbidden { "FieldValueForbidden" } else { "FieldValueInvalid" };
    let cause = Cause { reason, message: text, field: field.to_owned() };
    Status::invalid("meta.k8s.io", "ListOptions", "", vec![cause])
}

/// The object in the form of `kind`.
pub(crate) fn view_of(kind: &Kind, object: &Arc<Value>) -> Arc<Value> {
    match &kind.view_of {
        None => Arc::clone(object),
        Some(view) => Arc::new((view.from_stored)(object)),
    }
}

fn encode_continue(revision: u64, key: &Key) -> String {
    let token = Continue { v: CONTINUE_VERSION.to_owned(), rv: revision, start: key.to_string() };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).expect("a token is JSON"))
}

fn parse_continue(token: &str) -> Result<Continue, Status> {
    let bad = || Status::bad_request("continue key is not valid: the token was not made by this server");
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
    let token: Continue = serde_json::from_slice(&bytes).map_err(|_| bad())?;
    if token.v == CONTINUE_VERSION { Ok(token) } else { Err(bad()) }
}
