//! Lists: selectors, portions, and the rules for asking for a revision.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::collection::Collection;
use crate::key::Key;
use crate::request::{ListOptions, Target};
use crate::selectors::Selectors;
use crate::store::{Store, shown_as};
use crate::stored::{Head, Shown, Stored};
use engine_kinds::{Cause, Kind, Status};

/// A portion of a collection.
#[derive(Clone)]
pub struct List {
    /// What kind the items are.
    pub kind: Arc<Kind>,
    /// The objects.
    pub items: Vec<Stored>,
    /// What each item is.
    head: Head,
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

    /// The items as objects of their own.
    pub fn shown(&self) -> impl Iterator<Item = Shown> {
        self.items.iter().map(|item| Shown::new(&self.head, item.clone()))
    }

    /// What stands before the items, up to the opening bracket.
    #[must_use]
    pub fn opening(&self) -> String {
        let (kind, version) = (&self.kind.kind, self.kind.api_version());
        let metadata = self.metadata();
        format!("{{\"kind\":\"{kind}List\",\"apiVersion\":\"{version}\",\"metadata\":{metadata},\"items\":[")
    }

    /// An item's text as it stands in the list: objects of built-in kinds do not repeat what they are.
    #[must_use]
    pub fn item_text<'a>(&'a self, item: &'a Stored) -> [&'a str; 2] {
        match self.kind.form {
            engine_kinds::Form::Custom(_) => self.head.before(item),
            engine_kinds::Form::BuiltIn(_) => ["", item.text()],
        }
    }

    /// The list as the API shows it, parsed.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let items: Vec<String> = self.items.iter().map(|item| self.item_text(item).concat()).collect();
        let text = format!("{}{}]}}", self.opening(), items.join(","));
        serde_json::from_str(&text).expect("a list of JSON objects is JSON")
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
        let stored = self.registry().stored(id);
        if resource_version < self.log().floor(stored) {
            let message = "The provided continue parameter is too old to display a consistent list result. \
                           You can start a new list without the continue parameter.";
            return Err(Status::expired(message));
        }
        let start = start.map(|start| Key::parse(&start.start));
        let limit = options
            .limit
            .filter(|limit| *limit > 0)
            .map_or(usize::MAX, |limit| limit.try_into().unwrap_or(usize::MAX));
        let (head, mut items) = (Head::of(kind), Vec::new());
        let objects = self.objects(stored);
        let namespace = target.namespace.as_deref();
        let first = start.or_else(|| namespace.map(|namespace| Key::new(namespace, "")));
        let mut scan = objects
            .iter_from(first.map_or_else(Collection::<Stored>::start, |key| objects.place_of(&key)))
            .take_while(|(key, _)| namespace.is_none_or(|namespace| namespace == key.namespace()))
            .filter(|(_, object)| selectors.matches(object));
        let mut next = None;
        for (key, object) in scan.by_ref() {
            if items.len() == limit {
                next = Some(key);
                break;
            }
            items.push(shown_as(kind, &head, object).into_stored());
        }
        let remaining_item_count = (next.is_some() && selectors.is_empty()).then(|| scan.count() as u64 + 1);
        let continue_token = next.map(|key| encode_continue(resource_version, key));
        let kind = Arc::clone(kind);
        Ok(List { kind, items, head, resource_version, continue_token, remaining_item_count })
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
        if asked.is_empty() || asked == "0" {
            return Ok(());
        }
        if continued {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
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
