//! One object as the store keeps it: JSON text, ready to be sent, and where in it the often asked parts stand.
//!
//! Text is a small fraction of the size of parsed JSON, and the form in which objects leave for clients and the disk,
//! so it is what lasts; parsed values live for one request. Kind and apiVersion are left out: they belong to the
//! address under which an object is asked for, and lists leave them out.

use std::fmt;
use std::sync::Arc;

use engine_kinds::Kind;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// How each text begins; what is asked most often stands first.
const METADATA: &str = "{\"metadata\":";
/// How `metadata` begins where there are labels.
const LABELS: &str = "{\"labels\":";
/// Room for a usual object.
const USUAL_SIZE: usize = 1024;

/// An object as text. Copies share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored(Arc<Parts>);

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    /// A JSON map without kind and apiVersion.
    text: Box<str>,
    /// Where `metadata` ends.
    metadata_end: u32,
    /// Where `metadata.labels` end; 0 when there are none.
    labels_end: u32,
}

impl Stored {
    /// The text of an object.
    #[must_use]
    pub fn new(object: &Value) -> Self {
        let nothing = Map::new();
        let map = object.as_object().unwrap_or(&nothing);
        let metadata = map.get("metadata").and_then(Value::as_object).unwrap_or(&nothing);
        let mut text = Vec::with_capacity(USUAL_SIZE);
        text.extend_from_slice(METADATA.as_bytes());
        let mut labels_end = 0;
        match metadata.get("labels") {
            None => text.push(b'{'),
            Some(labels) => {
                text.extend_from_slice(LABELS.as_bytes());
                append(&mut text, labels);
                labels_end = place(text.len());
            }
        }
        append_entries(&mut text, metadata.iter().filter(|(key, _)| *key != "labels"));
        text.push(b'}');
        let metadata_end = place(text.len());
        let others =
            map.iter().filter(|(key, _)| !["kind", "apiVersion", "metadata"].contains(&key.as_str()));
        append_entries(&mut text, others);
        text.push(b'}');
        let text = String::from_utf8(text).expect("JSON is UTF-8").into_boxed_str();
        Self(Arc::new(Parts { text, metadata_end, labels_end }))
    }

    /// An object whose [`Stored::text`] was kept. It is checked to be JSON, and parsed only where it does not stand as
    /// it would be written today.
    pub(crate) fn of_text(text: &str) -> Result<Self, serde_json::Error> {
        match ends(text)? {
            Some((metadata_end, labels_end)) => {
                let (metadata_end, labels_end) = (place(metadata_end), place(labels_end));
                Ok(Self(Arc::new(Parts { text: text.into(), metadata_end, labels_end })))
            }
            None => Ok(Self::new(&serde_json::from_str(text)?)),
        }
    }

    /// The object without kind and apiVersion, as text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// `metadata`, as text.
    #[must_use]
    pub fn metadata(&self) -> &str {
        &self.0.text[METADATA.len()..self.0.metadata_end as usize]
    }

    /// `metadata.labels`.
    pub(crate) fn labels(&self) -> Option<Map<String, Value>> {
        let end = self.0.labels_end as usize;
        let text = &self.0.text;
        (end > 0).then(|| serde_json::from_str(&text[METADATA.len() + LABELS.len()..end]).ok()).flatten()
    }

    /// The object without kind and apiVersion, parsed.
    pub(crate) fn untyped(&self) -> Value {
        parse(&self.0.text)
    }

    /// The object as one of this kind, parsed.
    pub(crate) fn value(&self, kind: &Kind) -> Value {
        let mut object = self.untyped();
        if let Some(map) = object.as_object_mut() {
            map.insert("kind".to_owned(), Value::from(&*kind.kind));
            map.insert("apiVersion".to_owned(), kind.api_version().into());
        }
        object
    }

    /// Whether `metadata` may hold this field: a look at the text, so that it need not be parsed to learn that it does
    /// not.
    pub(crate) fn may_hold(&self, field: &str) -> bool {
        self.metadata().contains(field)
    }
}

/// What an object is, as the beginning of its JSON text: kind and apiVersion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head(Arc<str>);

impl Head {
    /// The head of the objects of a kind.
    #[must_use]
    pub fn of(kind: &Kind) -> Self {
        Self::new(&kind.kind, &kind.api_version())
    }

    /// The text of an object under this head, in two pieces.
    pub(crate) fn before<'a>(&'a self, object: &'a Stored) -> [&'a str; 2] {
        // The head ends with a comma, which takes the place of the text's opening brace.
        [&self.0, &object.text()[1..]]
    }

    /// Names come from tables and checked definitions: none needs escapes.
    fn new(kind: &str, api_version: &str) -> Self {
        Self(format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",").into())
    }
}

/// An object as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    head: Head,
    object: Stored,
}

impl Shown {
    /// A stored object under a head.
    #[must_use]
    pub fn new(head: &Head, object: Stored) -> Self {
        Self { head: head.clone(), object }
    }

    /// An object that says itself what it is.
    #[must_use]
    pub fn of_value(object: &Value) -> Self {
        let word = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        Self { head: Head::new(word("kind"), word("apiVersion")), object: Stored::new(object) }
    }

    /// Its JSON text, in two pieces.
    #[must_use]
    pub fn text(&self) -> [&str; 2] {
        self.head.before(&self.object)
    }

    /// `metadata`, as text.
    #[must_use]
    pub fn metadata(&self) -> &str {
        self.object.metadata()
    }

    /// The object, parsed.
    #[must_use]
    pub fn value(&self) -> Value {
        parse(&self.to_string())
    }

    pub(crate) fn into_stored(self) -> Stored {
        self.object
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [head, tail] = self.text();
        write!(f, "{head}{tail}")
    }
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).expect("what was written as JSON is JSON")
}

/// Where metadata and labels end in a text as [`Stored::new`] writes it; none when it is JSON of another form.
fn ends(text: &str) -> Result<Option<(usize, usize)>, serde_json::Error> {
    if !text.starts_with(METADATA) {
        return Ok(None);
    }
    let metadata_end = value_end(text, METADATA.len())?;
    let labels = METADATA.len() + LABELS.len();
    let has_labels = text[METADATA.len()..].starts_with(LABELS);
    let labels_end = if has_labels { value_end(text, labels)? } else { 0 };
    let mut end = metadata_end;
    while text[end..].starts_with(",\"") {
        let key_end = value_end(text, end + 1)?;
        if !text[key_end..].starts_with(':') {
            return Ok(None);
        }
        end = value_end(text, key_end + 1)?;
    }
    Ok((&text[end..] == "}").then_some((metadata_end, labels_end)))
}

/// Where the JSON value ends that begins at a place.
fn value_end(text: &str, begin: usize) -> Result<usize, serde_json::Error> {
    let mut values = serde_json::Deserializer::from_str(&text[begin..]).into_iter::<IgnoredAny>();
    values.next().transpose()?;
    Ok(begin + values.byte_offset())
}

/// Each entry after a comma, but for the first of a map.
fn append_entries<'a>(text: &mut Vec<u8>, entries: impl Iterator<Item = (&'a String, &'a Value)>) {
    for (key, value) in entries {
        if text.last() != Some(&b'{') {
            text.push(b',');
        }
        append(text, key);
        text.push(b':');
        append(text, value);
    }
}

fn append(text: &mut Vec<u8>, value: &impl serde::Serialize) {
    serde_json::to_writer(text, value).expect("JSON values are JSON");
}

fn place(length: usize) -> u32 {
    u32::try_from(length).expect("no object comes near four gigabytes")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_and_metadata_stand_first() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"annotations": {"a": "}\"{"}, "labels": {"app": "web"}, "name": "p"},
            "spec": {"nodeName": "n"},
        });
        let shown = Shown::of_value(&pod);
        assert_eq!(
            shown.to_string(),
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"labels":{"app":"web"},"annotations":{"a":"}\"{"},"name":"p"},"spec":{"nodeName":"n"}}"#
        );
        assert_eq!(shown.metadata(), r#"{"labels":{"app":"web"},"annotations":{"a":"}\"{"},"name":"p"}"#);
        assert_eq!(shown.object.labels().map(Value::from), Some(json!({"app": "web"})));
        assert_eq!(Stored::new(&json!({"metadata": {"name": "x"}})).labels(), None);
        assert_eq!(Stored::new(&json!({"data": 1})).text(), r#"{"metadata":{},"data":1}"#);
    }

    #[test]
    fn kept_text_is_checked() {
        let good = r#"{"metadata":{"labels":{"a":"b"},"name":"x"},"data":{"k":"v"},"n":1}"#;
        let kept = Stored::of_text(good).unwrap();
        assert_eq!((kept.text(), kept.labels().unwrap().len()), (good, 1));
        for other in [r#"{"data":1,"metadata":{"name":"x"}}"#, r#"{"metadata": {"name":"x"}, "data":1}"#] {
            let (kept, value) = (Stored::of_text(other).unwrap(), serde_json::from_str(other).unwrap());
            assert_eq!(kept, Stored::new(&value), "{other}");
        }
        for cut in 0..good.len() {
            assert!(Stored::of_text(&good[..cut]).is_err(), "{}", &good[..cut]);
        }
        for bad in
            ["", "{\"metadata\":{}} ,", "{\"metadata\":{},}", "{\"metadata\":{},1:2}", "{\"metadata\":{}}}"]
        {
            assert!(Stored::of_text(bad).is_err(), "{bad}");
        }
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("(labels|name|kind|.*)", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn an_object_comes_back_as_it_was(
            metadata in prop::collection::btree_map("(labels|name|.*)", json_value(), 0..5),
            rest in prop::collection::btree_map("(spec|data|.*)", json_value(), 0..5),
        ) {
            let mut object: Map<String, Value> = rest.into_iter().collect();
            object.insert("metadata".to_owned(), Value::Object(metadata.into_iter().collect()));
            object.insert("kind".to_owned(), "Pod".into());
            object.insert("apiVersion".to_owned(), "v1".into());
            let object = Value::Object(object);
            let shown = Shown::of_value(&object);
            prop_assert_eq!(shown.value(), object.clone());
            prop_assert_eq!(&parse::<Value>(shown.metadata()), &object["metadata"]);
            prop_assert_eq!(shown.object.labels().map(Value::from), object["metadata"].get("labels").cloned()
                .filter(Value::is_object));
            prop_assert_eq!(ends(shown.object.text()).unwrap().is_some(), true);
            prop_assert_eq!(&Stored::of_text(shown.object.text()).unwrap(), &shown.object);
        }
    }
}
